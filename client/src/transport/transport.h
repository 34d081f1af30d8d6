// SPDX-License-Identifier: Apache-2.0
// Who sends: the way of each request through circuit breaker, gate, pool and connection.
//
// Belongs to the loop's thread, except what says otherwise and what is constant.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "address.h"
#include "hyperpod/base/log.h"
#include "hyperpod/client/options.h"
#include "hyperpod/client/statistics.h"
#include "transport/circuit_breaker.h"
#include "transport/connection.h"
#include "transport/connection_pool.h"
#include "transport/http.h"
#include "transport/lent_connections.h"
#include "transport/loop.h"
#include "transport/request_gate.h"
#include "transport/tls.h"

namespace hyperpod::client::transport {

/// The way of a request has an error of the caller's kind, or a response.
struct Failure {
  Error error;
  std::string body = {};  // as much of a response's body as came
};
using Outcome = tl::expected<HttpResponse, Failure>;

class Transport;

/// A request on its way. Its owner derives from it, and the transport shares it from start() until
/// complete() has returned.
class Exchange : public RequestGate::Waiter,
                 public std::enable_shared_from_this<Exchange>,
                 private Connection::Listener {
 public:
  Exchange(Transport& transport, std::size_t host, RequestClass request_class, TimePoint deadline);
  virtual ~Exchange() = default;

  TimePoint deadline() const { return deadline_; }
  /// Moves the deadline of an exchange under way to a later time.
  void postpone(TimePoint deadline) { deadline_ = deadline; }
  /// What it is on; null while it waits.
  const std::shared_ptr<Connection>& connection() const { return connection_; }

 protected:
  /// The request, asked for right before it is sent, and once more if it is sent again. An error
  /// ends the exchange.
  virtual Result<HttpRequest> request(TimePoint now) = 0;
  /// Called once, when all is over and nothing of the request is used any more. If it throws
  /// std::bad_alloc, it is called once more, with that for an error, and must not throw then.
  virtual void complete(Outcome outcome) = 0;
  /// Whether complete() may be called with this response on any thread, see try_here().
  virtual bool completes_anywhere(const HttpResponse& /*response*/) const { return false; }

 private:
  friend class Transport;
  void exchange_ended(HttpOutcome&& outcome) override;

  Transport& transport_;
  TimePoint deadline_;
  std::size_t place_ = 0;       // among those under way
  bool is_let_in_ = false;      // it has a place of the gate
  bool is_waited_for_ = false;  // by the thread that has called try_here()
  std::shared_ptr<Connection> connection_;
  bool may_repeat_ = true;
  bool is_given_up_ = false;  // see Transport::cancel()
  Timer timer_;
};

class Transport {
 public:
  /// REQUIRES: options are normalised.
  Transport(Loop& loop, const ClientOptions& options, const std::shared_ptr<const Clock>& clock,
            std::vector<DaemonAddress> addresses, base::LogSink& logger);
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// Index of the daemon that holds `key`. Any thread.
  std::size_t host_of(std::string_view key) const;
  /// "http://10.0.0.1:9200". Any thread.
  const std::string& url(std::size_t host) const { return daemons_[host]->url; }
  std::size_t hosts() const { return daemons_.size(); }

  /// Sends it when its turn has come. All is over by its deadline, queueing, resolving, connecting
  /// and handshake included. If the connection was used before and closes before any byte of a
  /// response, the request is sent once more, on a new connection.
  void start(const std::shared_ptr<Exchange>& exchange);

  /// Begins it with the calling thread, which is going to wait for the outcome: it sends and
  /// receives on a connection that the loop has lent, and where the response comes soon,
  /// complete() may have been called when this returns. Otherwise the loop goes on with it. False
  /// if there is no connection for that, and the loop is to start() it. `owner` keeps the
  /// transport. Any thread except the loop's. Throws std::bad_alloc, and has begun nothing then.
  bool try_here(const std::shared_ptr<Exchange>& exchange, const std::shared_ptr<void>& owner);

  /// Ends it in `cancelled`. What waits is not sent; what has been sent loses its connection, so
  /// that the daemon can drop what it may still be holding. A request that has been sent whole and
  /// whose response matters to somebody, that of a lease, goes on as far as the daemon has
  /// responded by now, and may complete otherwise. REQUIRES: it is under way.
  void cancel(Exchange& exchange);
  /// The same for what waits in the queue; false if it does not wait.
  bool cancel_queued(Exchange& exchange);

  /// From now on only releases are let in. What waits in the queue or for a name's addresses ends
  /// in `closed`.
  void refuse_all_but_releases();
  /// Ends what is under way in `closed`.
  void abort_all();
  /// Whether nothing is under way.
  bool is_idle() const { return under_way_.empty() && !lent_.any_borrowed(); }
  /// Called whenever the last exchange under way has been completed.
  void on_idle(std::function<void()> function) { on_idle_ = std::move(function); }
  /// Closes the idle connections, and others once they are idle.
  void close_connections() { pool_.close(); }

  /// Fills in what is counted here. Any thread.
  void add_to(Statistics& statistics) const;
  /// Any thread.
  std::vector<DaemonState> daemons() const;

 private:
  struct Daemon {
    Daemon(DaemonAddress daemon_address, const TlsOptions& tls, std::shared_ptr<const Clock> clock);
    const DaemonAddress address;
    const std::string authority;
    const std::string url;
    const std::unique_ptr<TlsContext> tls;  // null: plain HTTP
    CircuitBreaker breaker;
  };

  friend class Exchange;
  template <class Step>
  void guarded(Exchange& exchange, Step step);
  bool put_under_way(const std::shared_ptr<Exchange>& exchange);
  void enter(Exchange& exchange);
  void admit_waiting();
  void dispatch(Exchange& exchange);
  void send(Exchange& exchange, bool on_fresh_connection);
  void expire(Exchange& exchange);
  bool lend(Exchange& exchange);
  void leave(std::size_t host, const std::shared_ptr<Connection>& connection,
             const std::shared_ptr<void>& owner);
  void go_on(const std::shared_ptr<Exchange>& exchange,
             const std::shared_ptr<Connection>& connection);
  void take_back(std::size_t host, const std::shared_ptr<Connection>& connection);
  void take_back_borrowed(std::size_t host, const std::shared_ptr<Connection>& connection);
  void take_back_unused();
  void note_end();
  void exchange_ended(Exchange& exchange, HttpOutcome&& outcome);
  void record_response(std::size_t host);
  Outcome judge(std::size_t host, HttpOutcome&& outcome);
  void end(Exchange& exchange, Outcome outcome);
  static void complete(Exchange& exchange, Outcome outcome);
  Outcome circuit_is_open(std::size_t host) const;

  Loop& loop_;
  const std::shared_ptr<const Clock> clock_;
  base::LogSink& logger_;
  std::vector<std::unique_ptr<Daemon>> daemons_;
  std::vector<std::string> authorities_;
  RequestGate gate_;
  ConnectionPool pool_;
  LentConnections lent_;
  bool recalled_ = false;  // nothing is lent now
  Timer unused_;           // until some of what is lent may be unused
  std::vector<std::shared_ptr<Exchange>> under_way_;
  std::atomic<std::uint64_t> repeated_{0}, leases_repeated_{0};
  std::function<void()> on_idle_;
  bool refusing_ = false;
  bool admitting_ = false;
};

}  // namespace hyperpod::client::transport
