// SPDX-License-Identifier: Apache-2.0
// The bytes of one connection: reading ahead, time limits, pauses, and a clean end.
//
// A connection lives on one worker and is touched by that worker's thread only.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string_view>

#include "http/event.h"
#include "http/input_buffer.h"
#include "http/transport.h"
#include "http/worker.h"
#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::http {

/// What the data port counts; see Statistics. Any thread. What nearly every request counts is no
/// member: processors would take it from each other (Worker::count_request()).
struct PortCounters {
  std::atomic<std::uint64_t> rejected{0};
  /// But for those that are served in one go.
  std::atomic<std::uint64_t> in_flight{0};
  std::atomic<std::uint64_t> open{0};
  std::atomic<std::uint64_t> peak{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> numbered{0};  ///< Connections so far; never reset.
  std::atomic<std::uint64_t> abandoned{0};
  /// How often the daemon has restarted; a connection ends with the daemon that accepted it.
  std::atomic<std::uint64_t> restarts{0};
  /// What time has set in motion and is not done yet.
  std::atomic<std::uint64_t> unsettled{0};
};

class Connection : public Managed,
                   public core::Timer,
                   private Transport::Receiver,
                   public std::enable_shared_from_this<Connection> {
 public:
  Connection(Worker& worker, const Limits& limits, PortCounters& counters,
             std::unique_ptr<Transport> transport);
  ~Connection() override;

  /// Runs the connection to its end; it keeps itself alive meanwhile.
  void start();
  void finish() override;
  void cut() override { close(); }

 protected:
  /// Serves until the connection is to end.
  virtual Awaitable<void> serve() = 0;
  /// Called by finish: whatever waits is to be decided now.
  virtual void end_waits() {}

  /// True once nothing can be sent or received any more.
  bool peer_gone() const { return peer_gone_; }
  /// True once this side has ended the connection, before the peer did.
  bool closed() const { return closed_; }
  /// True once the daemon that accepted the connection has restarted: nothing may be done or said
  /// in its name any more.
  bool outlived() const { return counters_.restarts.load() != restarts_; }
  /// True once the daemon stops: the request under way is the last.
  bool finishing() const { return finishing_; }
  /// Says whether the connection is between two requests, and so may be closed at any moment.
  void set_idle(bool idle) { idle_ = idle; }

  InputBuffer& input() { return in_; }
  /// Waits until something has come that serve_now() leaves to serve(), or the peer has gone.
  /// REQUIRES an empty input() and !watching().
  Awaitable<void> wait_for_request() { return transport_->receive(*this); }
  enum class Served {
    not_at_all,  ///< Nothing has been done; the bytes go to input().
    all,         ///< The next request is waited for.
    in_part,     ///< The rest is for serve() to do.
  };
  /// Serves what has come between two requests, as far as nothing has to be waited for. `bytes` are
  /// valid during the call; more may have come, for available() and read_now().
  virtual Served serve_now(std::string_view) { return Served::not_at_all; }
  /// Bytes that have come and were not read yet, as far as that can be told.
  std::size_t available() { return transport_->available(); }
  /// Reads what has come into `window`, without waiting; nothing where the peer has gone, too.
  std::size_t read_now(std::span<std::byte> window);
  /// Lets other connections of the worker have their turn.
  Awaitable<void> yield();
  /// Reads more into input(). False when the peer has gone.
  Awaitable<bool> read_more();
  /// The halves of read_more(), for who would rather not have its coroutine. REQUIRES !watching().
  Awaitable<std::size_t> begin_read(IoError& ec) {
    return transport_->read_some(in_.prepare(), {}, ec);
  }
  void end_read(std::size_t got, const IoError& ec) {
    in_.commit(got);
    if (ec) peer_gone_ = true;
  }
  /// Whether a background read is under way.
  bool watching() const { return watching_; }
  /// Reads up to window.size() bytes of a body, from input() or the transport. What follows the
  /// window, if `ends_here`, is framing or the next request and goes to input().
  Awaitable<std::size_t> read_body(std::span<std::byte> window, bool ends_here);
  /// While on, reads of a body may wait until gather_bytes have come.
  void gather(bool on);
  static constexpr std::uint64_t gather_bytes = 512 * 1024;

  /// Sends what can be sent without waiting, nothing where a pace is to be kept. Returns the rest,
  /// for write().
  std::string_view write_now(std::string_view bytes);
  Awaitable<void> write(std::string_view bytes);
  void close();
  void reset();

  /// Limits both ways to so many bytes a second; 0: no limit.
  void set_pace(std::uint64_t bytes_per_second) { pace_ = bytes_per_second; }

  /// Lets `time` pass on the emulator's clock; less if the daemon stops, or if the peer goes away
  /// and that is seen, which takes `watches`.
  Awaitable<void> pause(Duration time, bool watches);
  /// Waits for wake(), or for the peer to go away.
  Awaitable<void> wait();
  void wake() { event_.raise(worker_.io()); }
  /// Reads on in the background, to notice when the peer goes away. Requests that it pipelines
  /// meanwhile wait in input(). Goes on until stop_watching, and at most one read beyond.
  void watch();
  void stop_watching() { wants_watching_ = false; }

  /// Something that time has brought about is being done; see PortCounters::unsettled.
  void unsettle();
  void settle();

  void limit_time(Duration limit) { limit_time(worker_.clock().now(), limit); }
  void limit_time(TimePoint from, Duration limit);
  void lift_time_limit() { disarm(); }

  Worker& worker() { return worker_; }
  const Worker& worker() const { return worker_; }
  std::string peer() const { return transport_->peer(); }

 private:
  class Pause;

  bool receive_now() override;
  void peer_ended() override;
  void on_due() override;
  Awaitable<void> run();
  Awaitable<void> keep_watching();
  Awaitable<void> linger();
  /// As many bytes as may pass in one go.
  std::size_t slice(std::size_t wanted) const;
  Awaitable<void> keep_pace(std::size_t bytes);

  Worker& worker_;
  const Limits& limits_;
  PortCounters& counters_;
  std::unique_ptr<Transport> transport_;
  InputBuffer in_;
  Event event_;
  TimePoint time_limit_;  // the timer may be due sooner, and is armed anew then
  std::uint64_t pace_ = 0;
  const std::uint64_t restarts_;      // of the daemon, when this began
  std::uint64_t passed_in_turn_ = 0;  // of bodies, since other connections had their turn
  bool gathering_ = false;
  bool wants_watching_ = false;
  bool watching_ = false;  // a background read is under way
  bool idle_ = true;
  bool peer_gone_ = false;
  bool closed_ = false;
  bool finishing_ = false;
  bool unsettled_ = false;
};

}  // namespace hyperpod::emulator::http
