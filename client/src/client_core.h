// SPDX-License-Identifier: Apache-2.0
// What stands behind a Client and the leases that it granted: an I/O thread, and on it who sends
// (transport/) and who owns leases (leases/); the segments that are read (memory/); and how calls
// go in and outcomes come out.
//
// Every public member may be called from any thread, except what says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "address.h"
#include "counters.h"
#include "hyperpod/client/client.h"
#include "leases/leases.h"
#include "memory/copy_threads.h"
#include "memory/segment.h"
#include "transport/loop.h"
#include "transport/transport.h"

namespace hyperpod::client {

class WaitingThread;

class ClientCore : public std::enable_shared_from_this<ClientCore> {
 public:
  /// REQUIRES: options are normalised. Errors: out_of_resources.
  static Result<std::shared_ptr<ClientCore>> create(ClientOptions options,
                                                    std::vector<DaemonAddress> addresses);
  ClientCore(const ClientCore&) = delete;
  ClientCore& operator=(const ClientCore&) = delete;
  ~ClientCore();

  /// See Client::close(). On the I/O thread it only begins.
  void close();

  const ClientOptions& options() const { return options_; }
  TimePoint now() const { return clock_->now(); }
  Statistics statistics() const;
  std::vector<DaemonState> daemons() const { return transport_.daemons(); }

  /// Whether this is a child, made by fork(), of the process that made it. Nothing else may be
  /// called then, except now() and options().
  bool is_forked() const noexcept;
  bool is_closed() const { return closed_; }
  bool on_loop() const { return loop_->on_thread(); }
  /// Why no call, or no call that waits, can be made here.
  Result<void> check_caller(bool blocks) const;

  /// When a call that begins now has to be over.
  TimePoint put_deadline() const { return now() + options_.timeout; }
  TimePoint read_deadline(const ReadOptions& read) const;

  // The handlers of these are called on the loop's thread, never before they return. Keys are
  // copied; what spans show must stay until the handler is called.
  // `waiting`, if any, is going to wait for the outcome on the calling thread, and does what it can
  // of the call itself: a put's body is handed to it, and a lease may be there when these return.
  Call put(std::string_view key, std::vector<std::byte> header, std::span<const std::byte> payload,
           TimePoint deadline, Handler<Result<PutOutcome>> handler, WaitingThread* waiting);
  Call acquire(std::string_view key, const ReadOptions& read, TimePoint deadline,
               Handler<Result<std::optional<Lease>>> handler, WaitingThread* waiting = nullptr);
  /// Its lease is released in the background.
  std::shared_ptr<leases::Leases::Request> exists(std::string_view key, const ReadOptions& read,
                                                  TimePoint deadline, Handler<Result<bool>> handler,
                                                  WaitingThread* waiting = nullptr);
  /// Takes a request that still waits out of the queue. On the loop's thread.
  void cancel_queued(leases::Leases::Request& request) { transport_.cancel_queued(request); }
  /// Throws std::bad_alloc; then nothing has been begun.
  void release(const leases::Grant& grant, leases::Leases::Released&& released,
               WaitingThread* waiting = nullptr);
  /// Counts a lease that could not be released.
  void count_left_to_its_ttl() { ++counters_.lease_release_failed; }

  /// Counts the outcome of a get.
  void count_get(GetStatus status);
  void count_get_error() { ++counters_.get_failure; }

  /// As Lease::copy_to(), for a lease that has just been granted, and its segment looked at.
  /// REQUIRES: the object has these bytes.
  static Result<void> copy_granted(const Lease& lease, std::span<std::byte> destination,
                                   std::uint64_t offset = 0);

  /// Whether the segment's name still stands for the one that the grant lies in.
  Result<bool> is_current(const leases::Grant& grant) const;

  /// Hands an outcome to a caller's handler, where the caller wants it.
  template <class Outcome>
  void deliver(Handler<Outcome>& handler, Outcome outcome) const {
    if (!options_.executor) return handler(std::move(outcome));
    auto telling = [handler = std::move(handler), outcome = std::move(outcome)]() mutable {
      handler(std::move(outcome));
    };
    Task task;
    while (!task) {
      try {
        // It moves nothing where it throws. NOLINTNEXTLINE(bugprone-use-after-move)
        task = Task(std::move(telling));
      } catch (const std::bad_alloc&) {  // nobody else can tell it
        std::this_thread::yield();
      }
    }
    options_.executor(std::move(task));
  }

  /// Has the loop's thread do `task`.
  void post(Task&& task) { loop_->post(std::move(task)); }
  /// The same for what must be done: waits for memory if need be.
  template <class Function>
  void insist(const Function& task) {
    loop_->insist(task);
  }
  /// Does `task` where bytes are copied for asynchronous calls.
  template <class Function>
  void post_copy(Function task) {
    try {
      Task posted(std::move(task));
      if (!copiers_.post(posted)) posted();  // no thread is to be had
    } catch (const std::bad_alloc&) {        // and `task` is as it was
      task();
    }
  }
  /// For a copy that several threads may share; null if none may.
  memory::CopyThreads* copy_helpers() { return options_.copy_threads > 1 ? &helpers_ : nullptr; }

 private:
  class PutRequest;

  ClientCore(ClientOptions options, std::vector<DaemonAddress> addresses,
             std::shared_ptr<transport::Loop> loop);
  std::shared_ptr<leases::Leases::Request> lease(leases::Wanted wanted, const ReadOptions& read,
                                                 TimePoint deadline,
                                                 leases::Leases::Granted granted,
                                                 WaitingThread* waiting);
  struct Closing;  // a close() that waits
  void begin_close(Closing* closing);
  void continue_close();

  const ClientOptions options_;
  const std::shared_ptr<Clock> clock_;
  const std::shared_ptr<base::LogSink> logger_;
  const std::uint32_t fork_generation_;
  std::vector<std::unique_ptr<memory::Segment>> segments_;  // by host; null: disabled
  Counters counters_;
  const std::shared_ptr<transport::Loop> loop_;
  transport::Transport transport_;
  leases::Leases leases_;
  memory::CopyThreads copiers_;  // for asynchronous calls
  memory::CopyThreads helpers_;  // beside those who copy

  // Closing, on the loop's thread.
  enum class Phase { open, draining, flushing, closed };
  Phase phase_ = Phase::open;
  Closing* closing_ = nullptr;
  transport::Timer drain_limit_;
  std::atomic<bool> closed_{false};
};

}  // namespace hyperpod::client
