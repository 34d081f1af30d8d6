// SPDX-License-Identifier: Apache-2.0
#include "transport/http_connection.h"

#include <atomic>
#include <utility>

#include "transport/connection.h"
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
        give_up_(*loop_, [this] {
          const auto connection = connection_;
          connection->fail({ErrorCode::timed_out, "did not respond in time"});
        }) {}

  ~Peer() {
    Waiter<bool> closed;
    loop_->post([this, done = closed.handler()]() mutable {
      if (connection_) connection_->close();
      done(true);
    });
    closed.wait();
    loop_->stop();
  }

  HttpOutcome exchange(HttpRequest request, std::chrono::steady_clock::time_point deadline) {
    Waiter<HttpOutcome> waiter;
    loop_->post([this, request = std::move(request), deadline, ended = waiter.handler()]() mutable {
      ended_ = std::move(ended);
      give_up_.arm(deadline);
      if (!connection_ || connection_->is_closed()) {
        connection_ =
            std::make_shared<Connection>(*loop_, address_, tls_.get(), [](Connection&) {});
      }
      const auto connection = connection_;
      connection->exchange(std::move(request), *this);
    });
    return waiter.wait();
  }

  bool is_reusable() const { return reusable_; }

 private:
  void exchange_ended(HttpOutcome outcome) override {
    give_up_.cancel();
    reusable_ = !connection_->is_closed();
    std::exchange(ended_, {})(std::move(outcome));
  }

  const std::shared_ptr<Loop> loop_;
  const DaemonAddress address_;
  const std::unique_ptr<TlsContext> tls_;
  std::shared_ptr<Connection> connection_;
  Handler<HttpOutcome> ended_;
  Timer give_up_;
  std::atomic<bool> reusable_{false};
};

HttpConnection::HttpConnection(const DaemonAddress& address, const TlsOptions& tls) {
  if (auto loop = Loop::start(std::make_shared<RealClock>())) {
    peer_ = std::make_unique<Peer>(address, tls, *std::move(loop));
  }
}

HttpConnection::~HttpConnection() = default;

HttpOutcome HttpConnection::exchange(HttpRequest request,
                                     std::chrono::steady_clock::time_point deadline) {
  if (!peer_) {
    return tl::unexpected(TransportFailure{
        ErrorCode::out_of_resources, "cannot be asked: no thread or descriptor is to be had"});
  }
  auto outcome = peer_->exchange(request, deadline);
  if (!outcome && outcome.error().stale) outcome = peer_->exchange(std::move(request), deadline);
  return outcome;
}

bool HttpConnection::is_reusable() const { return peer_ && peer_->is_reusable(); }

}  // namespace hyperpod::client::transport
