// SPDX-License-Identifier: Apache-2.0
// A client's I/O thread: its event loop, the work that other threads hand to it, the sockets that
// it waits for, and its timers, which go by the client's clock.
//
// All of the transport and the leases' bookkeeping live on this thread, and so need no lock. Only
// post(), insist(), stop() and on_thread() may be called from elsewhere.
//
// The thread outlives any want of memory: a step that runs out of it ends, and whoever waits for
// what it was to do learns so then or at its deadline. Timers, sockets that are waited for, and
// waking the thread take none.
//
// Asio waits for the set of the connections' sockets, and reads from none of them itself.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/intrusive/set.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "hyperpod/base/socket_set.h"
#include "hyperpod/client/call.h"
#include "hyperpod/client/clock.h"
#include "hyperpod/client/error.h"

namespace hyperpod::client::transport {

namespace asio = boost::asio;

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using IoError = boost::system::error_code;

class Loop;

/// Calls its function once when the clock has come to a time. Belongs to the loop's thread, except
/// its construction.
class Timer : public boost::intrusive::set_base_hook<> {
 public:
  Timer(Loop& loop, std::function<void()> function);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  /// Replaces what it was armed for. A time that has come fires it soon, not at once.
  void arm(TimePoint due);
  void cancel();
  bool is_armed() const { return is_linked(); }

  friend bool operator<(const Timer& a, const Timer& b) { return a.due_ < b.due_; }

 private:
  friend class Loop;
  Loop& loop_;
  const std::function<void()> function_;
  TimePoint due_{};  // what it is armed for
};

class Loop final : private base::Ticker, public std::enable_shared_from_this<Loop> {
 public:
  ~Loop() override;

  /// Starts the thread, with all signals blocked: those of the process are for its own threads.
  /// Errors: out_of_resources.
  static Result<std::shared_ptr<Loop>> start(std::shared_ptr<Clock> clock);

  /// Lets the thread end once nothing is under way on it, and waits for that, unless it is called
  /// on the thread itself. To be called once.
  void stop();

  bool on_thread() const noexcept;

  /// What the clock showed when the thread first asked for it in what it is doing now. On the
  /// thread only.
  TimePoint now() {
    if (!time_) time_ = clock_->now();
    return *time_;
  }
  /// The same after what may have taken long, a source or a sink.
  TimePoint now_again() {
    time_.reset();
    return now();
  }

  /// Whether a task can wait until those are done that have been posted by then.
  enum class Order { next, last };

  /// Has the thread do `task`, later. False if the thread has ended. Throws std::bad_alloc, and has
  /// left `task` as it was then.
  bool post(Task&& task, Order order = Order::next);

  /// The same for what must be done: waits for memory if need be.
  template <class Function>
  void insist(const Function& task, Order order = Order::next) {
    while (true) {
      try {
        post(task, order);
        return;
      } catch (const std::bad_alloc&) {
        std::this_thread::yield();
      }
    }
  }

  /// Tells `watcher` of all that comes for `socket` until unwatch(). False and errno if the system
  /// refuses. On the thread only, as unwatch().
  bool watch(int socket, base::SocketWatcher& watcher);
  /// To be called before the socket is closed.
  void unwatch(int socket, base::SocketWatcher& watcher) noexcept;

  /// Lets go of `object` once the call under way on the thread has returned, for that may be the
  /// end of what makes the call. On another thread, whose caller keeps that, at once.
  void retire(std::shared_ptr<void> object) noexcept;

  asio::io_context& context() { return context_; }

 private:
  friend class Timer;
  using Armed = boost::intrusive::multiset<Timer, boost::intrusive::constant_time_size<false>>;

  // What wakes the thread is under way once at a time, so that one place for it is enough; and so
  // is what waits for the sockets.
  struct Place {
    alignas(std::max_align_t) std::array<std::byte, 160> bytes{};
  };
  struct Wake;
  struct SocketsReady;

  explicit Loop(std::shared_ptr<Clock> clock);
  void run();
  void take_turn();
  void run_tasks();
  void wait_for_sockets();
  void tell_watchers();
  void fire_due();
  void note_earliest();
  std::optional<TimePoint> next_due() const override;
  void run_due(TimePoint now) override;

  const std::shared_ptr<Clock> clock_;
  Place wake_place_, sockets_place_;  // outlive what context_ has not run
  asio::io_context context_;
  base::SocketSet sockets_;
  asio::posix::basic_stream_descriptor<Executor> sockets_ready_;  // borrows that of sockets_
  bool waits_for_sockets_ = false;
  std::optional<asio::executor_work_guard<Executor>> work_;
  std::thread thread_;

  // Tasks by their Order.
  using Tasks = std::array<std::vector<Task>, 2>;

  std::mutex inbox_mutex_;  // guards the next three
  Tasks inbox_;
  bool inbox_noticed_ = false;  // the thread is going to look into it
  bool ended_ = false;

  std::optional<TimePoint> time_;  // see now()
  Tasks tasks_;                    // of which the thread is doing one
  std::vector<std::shared_ptr<void>> retired_;
  Armed armed_;
  std::atomic<Duration::rep> earliest_;  // of armed_, for next_due()
};

}  // namespace hyperpod::client::transport
