// SPDX-License-Identifier: Apache-2.0
#include "transport/transport.h"

#include <algorithm>
#include <new>
#include <utility>

#include "log.h"
#include "no_memory.h"
#include "points.h"
#include "transport/placement.h"

namespace hyperpod::client::transport {
namespace {

using base::LogLevel;

// What is lent and has not been used for so long goes back to the loop.
constexpr std::chrono::milliseconds unused_limit{20};

Outcome failed_with(ErrorCode code, std::string message) {
  return tl::unexpected(Failure{Error{code, std::move(message)}});
}

Outcome client_is_closed() { return failed_with(ErrorCode::closed, "the client has been closed"); }
Outcome call_is_cancelled() { return failed_with(ErrorCode::cancelled, "the call was cancelled"); }

RequestGate::Limits gate_limits(const ClientOptions& options, std::size_t hosts) {
  RequestGate::Limits limits{
      .in_flight = std::min(options.max_concurrent_requests, options.max_connections),
      .per_host = options.max_connections_per_host,
      .hosts = hosts};
  HYPERPOD_POINT("gate.limits", limits, options);
  return limits;
}

}  // namespace

Exchange::Exchange(Transport& transport, std::size_t host, RequestClass request_class,
                   TimePoint deadline)
    : Waiter(host, request_class),
      transport_(transport),
      deadline_(deadline),
      timer_(transport.loop_, [this] { transport_.expire(*this); }) {}

void Exchange::exchange_ended(HttpOutcome&& outcome) {
  transport_.exchange_ended(*this, std::move(outcome));
}

Transport::Daemon::Daemon(DaemonAddress daemon_address, const TlsOptions& tls_options,
                          std::shared_ptr<const Clock> clock)
    : address(std::move(daemon_address)),
      authority(address.authority()),
      url(fmt::format("{}://{}{}", address.https ? "https" : "http", authority,
                      address.path_prefix)),
      tls(address.https ? std::make_unique<TlsContext>(tls_options, address.host) : nullptr),
      breaker(std::move(clock)) {}

Transport::Transport(Loop& loop, const ClientOptions& options,
                     const std::shared_ptr<const Clock>& clock,
                     std::vector<DaemonAddress> addresses, base::LogSink& logger)
    : loop_(loop),
      clock_(clock),
      logger_(logger),
      gate_(gate_limits(options, addresses.size())),
      pool_(loop, addresses.size(), options.max_connections,
            [this](std::size_t host) {
              Daemon& daemon = *daemons_[host];
              return std::make_shared<Connection>(loop_, daemon.address, daemon.tls.get(),
                                                  [this](Connection& c) { pool_.forget(c); });
            }),
      unused_(loop, [this] { take_back_unused(); }) {
  for (DaemonAddress& address : addresses) {
    daemons_.push_back(std::make_unique<Daemon>(std::move(address), options.tls, clock));
    authorities_.push_back(daemons_.back()->authority);
  }
}

std::size_t Transport::host_of(std::string_view key) const { return place(authorities_, key); }

Outcome Transport::circuit_is_open(std::size_t host) const {
  return failed_with(
      ErrorCode::unreachable,
      fmt::format("{} failed {} times in a row and is tried again every {} s", url(host),
                  CircuitBreaker::failure_threshold, CircuitBreaker::probe_interval.count()));
}

// Takes a step of its way; running out of memory there ends it.
template <class Step>
void Transport::guarded(Exchange& exchange, Step step) {
  const auto self = exchange.shared_from_this();
  try {
    step();
  } catch (const std::bad_alloc&) {
    const bool is_under_way =
        exchange.place_ < under_way_.size() && under_way_[exchange.place_] == self;
    if (!is_under_way) return;
    if (const auto connection = exchange.connection_) {
      connection->fail({ErrorCode::out_of_resources, {}});
    } else {
      end(exchange, tl::unexpected(Failure{no_memory()}));
    }
  }
}

// False if there is no memory for it.
bool Transport::put_under_way(const std::shared_ptr<Exchange>& exchange) try {
  under_way_.push_back(exchange);
  exchange->place_ = under_way_.size() - 1;
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

void Transport::start(const std::shared_ptr<Exchange>& shared) {
  Exchange& exchange = *shared;
  if (!put_under_way(shared)) return exchange.complete(tl::unexpected(Failure{no_memory()}));
  guarded(exchange, [&] { enter(exchange); });
}

void Transport::enter(Exchange& exchange) {
  if (refusing_ && exchange.request_class() != RequestClass::release) {
    return end(exchange, client_is_closed());
  }
  if (daemons_[exchange.host()]->breaker.refuses()) {
    return end(exchange, circuit_is_open(exchange.host()));
  }
  exchange.timer_.arm(exchange.deadline_);
  while (!recalled_ && !gate_.has_place(exchange)) {
    if (const auto loan = lent_.recall()) {
      take_back(loan->host, loan->connection);
    } else {
      recalled_ = true;
    }
  }
  if (gate_.enter(exchange, loop_.now())) {
    exchange.is_let_in_ = true;
    dispatch(exchange);
  } else {
    HYPERPOD_POINT("transport.queued", *this, exchange);
  }
}

void Transport::admit_waiting() {
  if (admitting_) return;  // the loop below goes on
  admitting_ = true;
  while (RequestGate::Waiter* const waiter = gate_.next()) {
    Exchange& exchange = static_cast<Exchange&>(*waiter);
    exchange.is_let_in_ = true;
    guarded(exchange, [&] { dispatch(exchange); });
  }
  admitting_ = false;
}

// REQUIRES: it has a place.
void Transport::dispatch(Exchange& exchange) {
  HYPERPOD_POINT("transport.admitted", exchange);
  if (loop_.now() >= exchange.deadline_) return expire(exchange);
  if (!daemons_[exchange.host()]->breaker.admit()) {
    return end(exchange, circuit_is_open(exchange.host()));
  }
  send(exchange, false);
}

void Transport::send(Exchange& exchange, bool on_fresh_connection) {
  auto request = exchange.request(loop_.now());
  if (!request) return end(exchange, tl::unexpected(Failure{std::move(request).error()}));
  if (!on_fresh_connection && !pool_.has_idle(exchange.host())) {
    if (const auto loan = lent_.take_unused(exchange.host())) {
      take_back(loan->host, loan->connection);
    }
  }
  const auto connection = pool_.take(exchange.host(), on_fresh_connection);
  exchange.connection_ = connection;
  connection->exchange(*std::move(request), exchange);
  // Nobody waits for a resolver to close a client.
  if (refusing_ && connection->is_resolving()) {
    connection->fail({ErrorCode::closed, "cannot be resolved any more"});
  }
}

bool Transport::try_here(const std::shared_ptr<Exchange>& shared,
                         const std::shared_ptr<void>& owner) {
  Exchange& exchange = *shared;
  const std::size_t host = exchange.host();
  exchange.is_waited_for_ = true;
  // Deadlines are the loop's to keep, and so is what a daemon does that has just failed.
  if (clock_->now() + 4 * Connection::patience >= exchange.deadline_) return false;
  if (daemons_[host]->breaker.has_failed()) return false;
  const auto connection = lent_.borrow(host);
  if (!connection) return false;

  gate_.begin();
  std::optional<HttpResponse> response;
  try {
    auto request = exchange.request(clock_->now());
    if (!request) {
      leave(host, connection, owner);
      return false;
    }
    response = connection->exchange_here(*std::move(request));
  } catch (const std::bad_alloc&) {
    leave(host, connection, owner);
    throw;
  }
  if (!response) {
    loop_.insist([this, shared, connection, owner] {
      go_on(shared, connection);
      loop_.retire(owner);
    });
    return true;
  }
  HYPERPOD_POINT("transport.here", exchange);
  if (daemons_[host]->breaker.has_failed()) {
    loop_.insist([this, host, owner] {
      record_response(host);
      loop_.retire(owner);
    });
  }
  if (exchange.completes_anywhere(*response)) {
    complete(exchange, *std::move(response));
    leave(host, connection, owner);
  } else {
    gate_.end();
    loop_.insist([this, shared, connection, response, owner] {
      complete(*shared, *response);
      take_back_borrowed(shared->host(), connection);
      loop_.retire(owner);
    });
  }
  return true;
}

// Leaves what was borrowed for others, or for the loop.
void Transport::leave(std::size_t host, const std::shared_ptr<Connection>& connection,
                      const std::shared_ptr<void>& owner) {
  gate_.end();
  if (connection->is_idle() && lent_.leave({host, connection, clock_->now()})) return;
  loop_.insist([this, host, connection, owner] {
    take_back_borrowed(host, connection);
    loop_.retire(owner);
  });
}

void Transport::take_back_borrowed(std::size_t host,
                                   const std::shared_ptr<Connection>& connection) {
  take_back(host, connection);
  lent_.settle();
  admit_waiting();
  note_end();
}

// With what another thread has begun.
void Transport::go_on(const std::shared_ptr<Exchange>& shared,
                      const std::shared_ptr<Connection>& connection) {
  Exchange& exchange = *shared;
  lent_.settle();
  if (!put_under_way(shared)) {
    connection->close();
    gate_.end();
    take_back(exchange.host(), connection);
    exchange.complete(tl::unexpected(Failure{no_memory()}));
    admit_waiting();
    return note_end();
  }
  exchange.is_let_in_ = true;
  exchange.connection_ = connection;
  exchange.timer_.arm(exchange.deadline_);
  guarded(exchange, [&] { connection->take_back(&exchange); });
  HYPERPOD_POINT("transport.goes_on", exchange);
}

// REQUIRES: unused.
void Transport::take_back(std::size_t host, const std::shared_ptr<Connection>& connection) {
  connection->take_back(nullptr);
  pool_.give_back(host, connection);
  gate_.give_back(host);
}

void Transport::take_back_unused() {
  const TimePoint now = loop_.now();
  Duration limit = unused_limit;
  HYPERPOD_POINT("transport.unused_limit", limit);
  while (const auto loan = lent_.take_unused_since(now - limit)) {
    take_back(loan->host, loan->connection);
  }
  if (lent_.any()) unused_.arm(now + unused_limit);
}

// Whether the connection of an exchange that has ended well goes to threads that wait, and its
// place of the gate with it. Whoever waits for a release is likely to lease again; after a get the
// loop itself needs the connection, for the release.
bool Transport::lend(Exchange& exchange) {
  const auto& connection = exchange.connection_;
  bool lends = exchange.is_waited_for_ && exchange.request_class() == RequestClass::release &&
               clock_->runs_by_itself() && !recalled_;
  HYPERPOD_POINT("transport.lend", lends);
  if (!lends || !connection->lend()) return false;
  const TimePoint now = loop_.now();
  gate_.end();  // before another request begins in its place
  if (!lent_.lend({exchange.host(), connection, now})) {
    gate_.begin();
    connection->take_back(nullptr);
    return false;
  }
  exchange.is_let_in_ = false;
  exchange.connection_ = nullptr;
  if (!unused_.is_armed()) unused_.arm(now + unused_limit);
  return true;
}

// What is to be seen to whenever an exchange has ended.
void Transport::note_end() {
  if (recalled_ && !refusing_ && gate_.counts().queued == 0) {
    recalled_ = false;
    lent_.accept();
  }
  if (is_idle() && on_idle_) on_idle_();
}

void Transport::expire(Exchange& exchange) {
  HYPERPOD_POINT("transport.expired", exchange);
  if (loop_.now() < exchange.deadline_) return exchange.timer_.arm(exchange.deadline_);
  guarded(exchange, [&] {
    if (const auto connection = exchange.connection_) {
      return connection->fail({ErrorCode::timed_out, "did not respond in time"});
    }
    end(exchange,
        failed_with(ErrorCode::timed_out,
                    fmt::format("no request could be sent to {} in time: {} are in flight",
                                url(exchange.host()), gate_.counts().in_flight)));
  });
}

void Transport::exchange_ended(Exchange& exchange, HttpOutcome&& outcome) {
  if (!outcome || !lend(exchange)) {
    pool_.give_back(exchange.host(), std::exchange(exchange.connection_, nullptr));
  }
  // The daemon may well close what this side has half closed; that says nothing of it.
  if (!outcome && exchange.is_given_up_) outcome.error().code = ErrorCode::cancelled;
  bool again = !outcome && outcome.error().stale && exchange.may_repeat_ && !exchange.is_given_up_;
  HYPERPOD_POINT("transport.send_again", again, exchange, outcome);
  if (again) {
    exchange.may_repeat_ = false;
    ++repeated_;
    if (exchange.request_class() == RequestClass::lease ||
        exchange.request_class() == RequestClass::prefetch) {
      ++leases_repeated_;
    }
  }
  guarded(exchange, [&] {
    if (again) return send(exchange, true);
    end(exchange, judge(exchange.host(), std::move(outcome)));
  });
}

void Transport::record_response(std::size_t host) {
  Daemon& daemon = *daemons_[host];
  if (daemon.breaker.record_response()) {
    log(logger_, LogLevel::warn, "{} responds again", daemon.url);
  }
}

// What the caller is told, and what it says of the daemon.
Outcome Transport::judge(std::size_t host, HttpOutcome&& outcome) {
  Daemon& daemon = *daemons_[host];
  std::optional<bool> alive;  // what this machine lacks or gives up says nothing of the daemon
  if (outcome) {
    alive = true;
  } else if (const ErrorCode code = outcome.error().code;
             code != ErrorCode::out_of_resources && code != ErrorCode::invalid_option &&
             code != ErrorCode::cancelled && code != ErrorCode::closed) {
    alive = false;
  }
  HYPERPOD_POINT("transport.judge", alive, outcome);
  if (alive == true) record_response(host);
  const bool opened = alive == false && daemon.breaker.record_transport_failure();
  if (outcome) return *std::move(outcome);

  TransportFailure& failure = outcome.error();
  if (opened) {
    log(logger_, LogLevel::warn, "{} failed {} times in a row and is tried only every {} s: it {}",
        daemon.url, CircuitBreaker::failure_threshold, CircuitBreaker::probe_interval.count(),
        failure.reason);
  }
  if (failure.code == ErrorCode::cancelled) {
    auto cancelled = call_is_cancelled();
    cancelled.error().body = std::move(failure.body);
    return cancelled;
  }
  if (failure.code == ErrorCode::closed) return client_is_closed();
  log(logger_, LogLevel::debug, "{} {}", daemon.url, failure.reason);
  return tl::unexpected(Failure{
      Error{failure.code,
            fmt::format("{} {}", daemon.url,
                        failure.reason.empty() ? "cannot be spoken to: no memory is to be had"
                                               : failure.reason)},
      std::move(failure.body)});
}

// REQUIRES: it is under way, and on no connection.
void Transport::end(Exchange& exchange, Outcome outcome) {
  if (exchange.is_queued()) gate_.withdraw(exchange);
  if (std::exchange(exchange.is_let_in_, false)) {
    HYPERPOD_POINT("transport.leave", gate_, exchange, outcome);
    gate_.leave(exchange.host());
    admit_waiting();
  }
  const auto self = std::move(under_way_[exchange.place_]);
  if (under_way_.back()) {
    under_way_.back()->place_ = exchange.place_;
    under_way_[exchange.place_] = std::move(under_way_.back());
  }
  under_way_.pop_back();
  exchange.timer_.cancel();
  complete(exchange, std::move(outcome));
  note_end();
}

void Transport::complete(Exchange& exchange, Outcome outcome) try {
  exchange.complete(std::move(outcome));
} catch (const std::bad_alloc&) {
  exchange.complete(tl::unexpected(Failure{no_memory()}));
}

void Transport::cancel(Exchange& exchange) {
  if (cancel_queued(exchange) || !exchange.connection_) return;
  exchange.is_given_up_ = true;
  const bool is_lease = exchange.request_class() == RequestClass::lease ||
                        exchange.request_class() == RequestClass::prefetch;
  const auto connection = exchange.connection_;
  if (is_lease && connection->half_close()) return;
  connection->fail({ErrorCode::cancelled, "was given up"});
}

bool Transport::cancel_queued(Exchange& exchange) {
  if (!exchange.is_queued()) return false;
  guarded(exchange, [&] { end(exchange, call_is_cancelled()); });
  return true;
}

void Transport::refuse_all_but_releases() {
  refusing_ = true;
  recalled_ = true;
  unused_.cancel();
  while (const auto loan = lent_.recall()) take_back(loan->host, loan->connection);
  while (RequestGate::Waiter* const waiter = gate_.any_refusable()) {
    Exchange& exchange = static_cast<Exchange&>(*waiter);
    guarded(exchange, [&] { end(exchange, client_is_closed()); });
  }
  for (std::size_t i = 0; i < under_way_.size();) {
    const auto connection = under_way_[i]->connection_;
    if (connection && connection->is_resolving()) {
      connection->fail({ErrorCode::closed, {}});  // and another stands in its place
    } else {
      ++i;
    }
  }
}

void Transport::abort_all() {
  for (std::size_t left = under_way_.size(); left > 0 && !under_way_.empty(); --left) {
    const auto exchange = under_way_.back();
    if (const auto connection = exchange->connection_) {
      connection->fail({ErrorCode::closed, {}});
    } else {
      guarded(*exchange, [&] { end(*exchange, client_is_closed()); });
    }
  }
}

void Transport::add_to(Statistics& statistics) const {
  const RequestGate::Counts gate = gate_.counts();
  statistics.requests_in_flight = gate.in_flight;
  statistics.peak_requests_in_flight = gate.peak_in_flight;
  statistics.requests_queued = gate.queued;
  statistics.peak_requests_queued = gate.peak_queued;
  statistics.connections_open = pool_.open();
  statistics.peak_connections_open = pool_.peak();
  statistics.requests_repeated = repeated_;
  statistics.leases_repeated = leases_repeated_;
}

std::vector<DaemonState> Transport::daemons() const {
  std::vector<DaemonState> states;
  for (const auto& daemon : daemons_) states.push_back({daemon->url, daemon->breaker.is_open()});
  return states;
}

}  // namespace hyperpod::client::transport
