// SPDX-License-Identifier: Apache-2.0
// One I/O thread: its event loop, its timers and the connections that live on it.
//
// Members may be used on the worker's own thread only, unless they say otherwise.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/intrusive/list.hpp>
#include <functional>
#include <future>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/timer_wheel.h"
#include "http/asio.h"
#include "hyperpod/base/socket_set.h"

namespace hyperpod::emulator::http {

/// A connection, as its worker sees it. Leaves its worker's list when it is destroyed.
class Managed : public boost::intrusive::list_base_hook<
                    boost::intrusive::tag<struct ManagedTag>,
                    boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~Managed() = default;
  /// Ends the connection as soon as the request under way, if any, has been answered; a held one is
  /// answered at once.
  virtual void finish() = 0;
  /// Ends the connection at once.
  virtual void cut() = 0;
};

class Worker {
 public:
  explicit Worker(const Clock& clock);
  ~Worker();  ///< Cuts off what still runs, if join() was not called.
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  asio::io_context& io() { return io_; }
  const Clock& clock() const { return clock_; }

  void start();
  /// From any other thread. Asks every connection to finish; the loop ends when all have.
  void finish();
  /// True once the connections have been asked to finish: no new one may begin.
  bool finishing() const { return finishing_; }
  /// From any other thread, after finish(). Waits for the end of the loop, at most until
  /// `deadline`; what still runs then is cut off.
  void join(std::chrono::steady_clock::time_point deadline);

  /// From any thread. Ends every connection at once, soon.
  void cut_connections();

  /// Runs `work` on the worker's thread and waits for it. From any other thread, between start and
  /// finish.
  void run_and_wait(const std::function<void()>& work);

  /// Arms a timer of this worker.
  void arm(core::Timer& timer, TimePoint due);
  std::optional<TimePoint> next_due() const { return wheel_.next_due(); }
  void run_due();

  void add(Managed& connection) { connections_.push_back(connection); }

  /// Tells `watcher` of all that comes for `socket` until unwatch(). False and errno if the system
  /// refuses.
  bool watch(int socket, base::SocketWatcher& watcher);
  /// To be called before the socket is closed.
  void unwatch(int socket, base::SocketWatcher& watcher);

  /// Counts a body as under way, in either direction, while it lives.
  class Body {
   public:
    explicit Body(Worker& worker) : worker_(worker) { ++worker_.bodies_; }
    ~Body() { --worker_.bodies_; }
    Body(const Body&) = delete;
    Body& operator=(const Body&) = delete;

   private:
    Worker& worker_;
  };
  /// So much of a body that comes or goes without a pause may pass before other connections have
  /// their turn. The fewer bodies are under way, the more: long turns save system time, and what
  /// another connection waits for all of them grows only with their number.
  std::uint64_t turn_bytes() const;

  /// Lets what has been posted meanwhile go first.
  Awaitable<void> yield();

  /// Counts a response as sent. By the worker's thread.
  void count_request() {
    requests_.store(requests_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  /// Since the worker was made. Any thread.
  std::uint64_t requests() const { return requests_.load(std::memory_order_relaxed); }

  /// Room for bytes that nobody wants.
  std::span<std::byte> scratch() { return scratch_; }
  /// Where the beginning of a request is received: most requests whole, PUTs of 4 KiB among them.
  std::span<std::byte> first_read() { return first_read_; }

 private:
  void run();
  void schedule();
  void wait_for_sockets();
  void tell_watchers();

  const Clock& clock_;
  // These come before io_, whose end ends those that use them.
  std::uint64_t bodies_ = 0;
  std::atomic<std::uint64_t> requests_{0};
  base::SocketSet sockets_;
  bool waits_for_sockets_ = false;
  // Run by one thread, and its descriptors are used and closed by that thread alone: no lock each.
  asio::io_context io_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<Executor> work_{io_.get_executor()};
  asio::posix::basic_stream_descriptor<Executor> sockets_ready_{io_};
  core::TimerWheel wheel_;
  SystemTimer wake_{io_};
  std::optional<TimePoint> wakes_at_;
  boost::intrusive::list<Managed,
                         boost::intrusive::base_hook<boost::intrusive::list_base_hook<
                             boost::intrusive::tag<ManagedTag>,
                             boost::intrusive::link_mode<boost::intrusive::auto_unlink>>>,
                         boost::intrusive::constant_time_size<false>>
      connections_;
  std::vector<std::byte> scratch_;
  std::array<std::byte, 8 * 1024> first_read_{};
  bool finishing_ = false;
  std::promise<void> ended_;
  std::thread thread_;
};

}  // namespace hyperpod::emulator::http
