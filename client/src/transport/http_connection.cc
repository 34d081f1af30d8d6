// SPDX-License-Identifier: Apache-2.0
#include "transport/http_connection.h"

#include <atomic>
#include <utility>

#include "transport/connection.h"
#include "transport/connection_pool.h"
#include "transport/loop.h"
#include "waiter.h"

namespace hyperpod::client::transport {

// Everything but the constructor, the destructor and is_reusable() belongs to the loop's thread.
class HttpConnection::Peer final : private Connection::Listener {
 public:
  Peer(const DaemonAddress& address, const TlsOptions& tls, std::shared_ptr<Loop> loop)
      : loop_(std::move(loop)),
        address_(address),
        tls_(address.https ? std::make_unique<TlsContext>(tls, address.host) : nullptr),
        timer_(*loop_, [this] { time_is_up(); }) {}

  ~Peer() {
    Waiter<bool> closed;
    loop_->post([this, done = closed.handler()]() mutable {
      timer_.cancel();
      if (connection_) connection_->close();
      done(true);
    });
    closed.wait();
    loop_->stop();
  }

  HttpOutcome exchange(HttpRequest request, TimePoint deadline, Duration stall) {
    Waiter<HttpOutcome> waiter;
    loop_->post(
        [this, request = std::move(request), deadline, stall, ended = waiter.handler()]() mutable {
          if (cancelled_) return ended(tl::unexpected(given_up()));
          ended_ = std::move(ended);
          deadline_ = deadline;
          stall_ = stall;
          timer_.arm(due(loop_->now()));
          if (!connection_ || connection_->is_closed()) {
            connection_ =
                std::make_shared<Connection>(*loop_, address_, tls_.get(), [](Connection&) {});
          }
          const auto connection = connection_;
          connection->exchange(std::move(request), *this);
        });
    return waiter.wait();
  }

  void rest(TimePoint time) {
    Waiter<bool> waiter;
    loop_->post([this, time, rested = waiter.handler()]() mutable {
      if (cancelled_) return rested(false);
      rested_ = std::move(rested);
      if (connection_ && time > loop_->now() + ConnectionPool::idle_limit) close();
      timer_.arm(time);
    });
    waiter.wait();
  }

  void set_cancelled(bool cancelled) {
    loop_->post([this, cancelled] {
      cancelled_ = cancelled;
      if (!cancelled) return;
      if (rested_) return end_rest();
      if (!ended_) return;
      const auto connection = connection_;
      connection->fail(given_up());
    });
  }

  bool is_reusable() const { return reusable_; }

 private:
  static TransportFailure given_up() { return {ErrorCode::cancelled, "was given up"}; }

  // The earlier of the deadline and the time at which nothing has moved for too long.
  TimePoint due(TimePoint last_moved) const {
    return stall_ < deadline_ - last_moved ? last_moved + stall_ : deadline_;
  }

  void time_is_up() {
    if (rested_) return end_rest();
    const auto connection = connection_;
    if (!ended_) return close();
    const TimePoint next = due(connection->last_moved());
    if (loop_->now() < next) return timer_.arm(next);
    connection->fail({ErrorCode::timed_out,
                      next == deadline_ ? "did not respond in time" : "has stopped responding"});
  }

  void close() {
    reusable_ = false;
    connection_->close();
  }

  void end_rest() {
    begin_idling();
    std::exchange(rested_, {})(true);
  }

  void begin_idling() {
    timer_.cancel();
    if (reusable_) timer_.arm(loop_->now() + ConnectionPool::idle_limit);
  }

  void exchange_ended(HttpOutcome&& outcome) override {
    reusable_ = !connection_->is_closed();
    begin_idling();
    std::exchange(ended_, {})(std::move(outcome));
  }

  const std::shared_ptr<Loop> loop_;
  const DaemonAddress address_;
  const std::unique_ptr<TlsContext> tls_;
  std::shared_ptr<Connection> connection_;
  Handler<HttpOutcome> ended_;  // empty unless an exchange is under way
  Handler<bool> rested_;        // empty unless somebody rests
  TimePoint deadline_{};
  Duration stall_{};
  bool cancelled_ = false;
  Timer timer_;  // ends the exchange or rest under way, or else the idle connection
  std::atomic<bool> reusable_{false};
};

HttpConnection::HttpConnection(const DaemonAddress& address, const TlsOptions& tls,
                               std::shared_ptr<Clock> clock) {
  if (!clock) clock = std::make_shared<RealClock>();
  if (auto loop = Loop::start(std::move(clock))) {
    peer_ = std::make_unique<Peer>(address, tls, *std::move(loop));
  }
}

HttpConnection::~HttpConnection() = default;

HttpOutcome HttpConnection::exchange(HttpRequest request, TimePoint deadline, Duration stall) {
  if (!peer_) {
    return tl::unexpected(TransportFailure{
        ErrorCode::out_of_resources, "cannot be asked: no thread or descriptor is to be had"});
  }
  auto outcome = peer_->exchange(request, deadline, stall);
  if (!outcome && outcome.error().stale) {
    outcome = peer_->exchange(std::move(request), deadline, stall);
  }
  return outcome;
}

void HttpConnection::rest(TimePoint time) {
  if (peer_) peer_->rest(time);
}

void HttpConnection::cancel() {
  if (peer_) peer_->set_cancelled(true);
}

void HttpConnection::resume() {
  if (peer_) peer_->set_cancelled(false);
}

bool HttpConnection::is_reusable() const { return peer_ && peer_->is_reusable(); }

}  // namespace hyperpod::client::transport
