#include "client_core.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "lease_impl.h"
#include "placement.h"
#include "target.h"

namespace hyperpod::client {
namespace {

using std::chrono::milliseconds;

// The client gives up this much later than the daemon, so that the daemon's miss arrives first
// (protocol section 6). If queueing has eaten more than half of it, the daemon is asked for less.
constexpr milliseconds wait_margin{500};

Error empty_key() { return {ErrorCode::invalid_argument, "a key must not be empty"}; }

Error circuit_is_open(const std::string& url) {
  return {ErrorCode::unreachable,
          fmt::format("{} failed {} times in a row and is tried again every {} s", url,
                      CircuitBreaker::failure_threshold, CircuitBreaker::probe_interval.count())};
}

Error refused(const std::string& url, std::string_view what, int status) {
  Error error{ErrorCode::refused, fmt::format("{} refused to {}: status {}", url, what, status)};
  error.status = status;
  return error;
}

}  // namespace

ClientCore::Daemon::Daemon(DaemonAddress daemon_address, std::shared_ptr<const Clock> clock)
    : address(std::move(daemon_address)),
      url(fmt::format("{}://{}{}", address.https ? "https" : "http", address.authority(),
                      address.path_prefix)),
      breaker(std::move(clock)),
      segment(address.segment ? std::make_unique<Segment>(*address.segment) : nullptr) {}

ClientCore::ClientCore(ClientOptions options, std::vector<DaemonAddress> addresses,
                       std::shared_ptr<spdlog::logger> logger)
    : options_(std::move(options)),
      clock_(options_.clock ? options_.clock : std::make_shared<RealClock>()),
      logger_(std::move(logger)),
      addresses_(std::move(addresses)),
      gate_({.in_flight = std::min(options_.max_concurrent_requests, options_.max_connections),
             .per_host = options_.max_connections_per_host,
             .hosts = addresses_.size()},
            clock_),
      pool_(addresses_, options_.tls, options_.max_connections, clock_),
      workers_(options_.max_concurrent_requests - 1) {
  for (const DaemonAddress& address : addresses_) {
    authorities_.push_back(address.authority());
    daemons_.push_back(std::make_unique<Daemon>(address, clock_));
  }
  housekeeper_ = std::thread([this] { keep_house(); });
}

ClientCore::~ClientCore() { close(); }

void ClientCore::close() {
  {
    std::lock_guard lock(house_mutex_);
    if (closing_) return;
    closing_ = true;
    house_changed_.notify_all();
  }
  gate_.close();
  housekeeper_.join();
  gate_.drain(std::max(put_deadline(), read_deadline({})));
  {
    std::lock_guard lock(house_mutex_);
    closed_ = true;
  }
  const TimePoint deadline = put_deadline();
  for (const PendingRelease& release : releases_.take_all()) retry(release, deadline);
  pool_.close();
}

TimePoint ClientCore::read_deadline(const ReadOptions& read) const {
  return now() + wait_of(read) + wait_margin;
}

Statistics ClientCore::statistics() const {
  const RequestGate::Counts gate = gate_.counts();
  Statistics s;
  s.get_success = counters_.get_success;
  s.get_failure = counters_.get_failure;
  s.get_miss = counters_.get_miss;
  s.put_success = counters_.put_success;
  s.put_failure = counters_.put_failure;
  s.lease_acquired = counters_.lease_acquired;
  s.lease_released = counters_.lease_released;
  s.lease_release_failed = counters_.lease_release_failed;
  s.lease_lost = counters_.lease_lost;
  s.requests_in_flight = gate.in_flight;
  s.peak_requests_in_flight = gate.peak_in_flight;
  s.requests_queued = gate.queued;
  s.peak_requests_queued = gate.peak_queued;
  s.connections_open = pool_.open();
  s.peak_connections_open = pool_.peak();
  return s;
}

std::vector<DaemonState> ClientCore::daemons() const {
  std::vector<DaemonState> states;
  for (const auto& daemon : daemons_) states.push_back({daemon->url, daemon->breaker.is_open()});
  return states;
}

std::size_t ClientCore::host_of(std::string_view key) const { return place(authorities_, key); }

std::chrono::milliseconds ClientCore::wait_of(const ReadOptions& read) const {
  const auto wait = read.wait.value_or(options_.lease_wait_timeout.value_or(options_.timeout));
  return std::clamp<milliseconds>(wait, milliseconds::zero(), std::chrono::hours{24 * 365});
}

Result<RequestGate::Pass> ClientCore::admit(std::size_t host, RequestClass request_class,
                                            TimePoint deadline) {
  const Daemon& daemon = *daemons_[host];
  if (daemon.breaker.refuses()) return tl::unexpected(circuit_is_open(daemon.url));
  auto pass = gate_.enter(host, request_class, deadline);
  if (!pass && pass.error() == RequestGate::Refusal::closed) {
    return tl::unexpected(Error{ErrorCode::closed, "the client has been closed"});
  }
  if (!pass || now() >= deadline) {
    return tl::unexpected(
        Error{ErrorCode::timed_out,
              fmt::format("no request could be sent to {} in time: {} are in flight", daemon.url,
                          gate_.counts().in_flight)});
  }
  return *std::move(pass);
}

tl::expected<HttpAnswer, ClientCore::Failure> ClientCore::transmit(std::size_t host,
                                                                   const HttpRequest& request,
                                                                   TimePoint deadline) {
  Daemon& daemon = *daemons_[host];
  if (!daemon.breaker.admit()) return tl::unexpected(Failure{circuit_is_open(daemon.url)});
  auto connection = pool_.take(host);
  auto answer =
      connection->exchange(request, std::chrono::steady_clock::now() + (deadline - now()));
  pool_.give_back(host, std::move(connection));
  if (answer) {
    if (daemon.breaker.record_answer()) logger_->warn("{} answers again", daemon.url);
    return *std::move(answer);
  }
  TransportFailure& failure = answer.error();
  logger_->debug("{} {}", daemon.url, failure.reason);
  if (daemon.breaker.record_transport_failure()) {
    logger_->warn("{} failed {} times in a row and is tried only every {} s: it {}", daemon.url,
                  CircuitBreaker::failure_threshold, CircuitBreaker::probe_interval.count(),
                  failure.reason);
  }
  return tl::unexpected(Failure{{failure.code, fmt::format("{} {}", daemon.url, failure.reason)},
                                std::move(failure.body)});
}

Result<PutOutcome> ClientCore::put(std::string_view key, std::span<const std::byte> header,
                                   std::span<const std::byte> payload, TimePoint deadline) {
  auto outcome = store(key, header, payload, deadline);
  ++(outcome ? counters_.put_success : counters_.put_failure);
  return outcome;
}

Result<PutOutcome> ClientCore::store(std::string_view key, std::span<const std::byte> header,
                                     std::span<const std::byte> payload, TimePoint deadline) {
  if (key.empty()) return tl::unexpected(empty_key());
  const std::size_t host = host_of(key);
  const auto pass = admit(host, RequestClass::put, deadline);
  if (!pass) return tl::unexpected(pass.error());
  const auto answer = transmit(host,
                               {.method = HttpRequest::Method::put,
                                .target = object_target(options_.bucket, key),
                                .header = header,
                                .payload = payload,
                                .piece_bytes = options_.put_stream_chunk_bytes},
                               deadline);
  if (!answer) return tl::unexpected(answer.error().error);
  if (answer->status == 200) return PutOutcome::stored;
  if (answer->status == 409) return PutOutcome::already_stored;
  const auto what = fmt::format("store '{}' ({} bytes)", key, header.size() + payload.size());
  Error error = refused(daemons_[host]->url, what, answer->status);
  if (answer->status == 413) error.code = ErrorCode::too_large;
  return tl::unexpected(std::move(error));
}

tl::expected<HttpAnswer, ClientCore::Failure> ClientCore::ask_for_lease(std::size_t host,
                                                                        std::string_view key,
                                                                        const ReadOptions& read,
                                                                        TimePoint deadline,
                                                                        TimePoint& sent) {
  const auto pass =
      admit(host, read.prefetch ? RequestClass::prefetch : RequestClass::lease, deadline);
  if (!pass) return tl::unexpected(Failure{pass.error()});
  sent = now();
  const auto affordable =
      std::chrono::floor<milliseconds>(deadline - sent - Duration{wait_margin} / 2);
  if (affordable < milliseconds::zero()) {
    return tl::unexpected(
        Failure{{ErrorCode::timed_out,
                 fmt::format("the lease of '{}' waited too long to be asked for", key)}});
  }
  const auto wait = std::min(wait_of(read), affordable);
  return transmit(host, {.target = lease_target(options_.bucket, key, wait, options_.lease_ttl)},
                  deadline);
}

// Asks for a lease, with no thought of the segment. A lease of which no use can be made is released
// if the answer, or what came of it, tells its id.
Result<std::optional<ClientCore::Grant>> ClientCore::lease(std::string_view key,
                                                           const ReadOptions& read,
                                                           TimePoint deadline) {
  if (key.empty()) return tl::unexpected(empty_key());
  const std::size_t host = host_of(key);
  const std::string& url = daemons_[host]->url;
  TimePoint sent;
  const auto answer = ask_for_lease(host, key, read, deadline, sent);
  const TimePoint expires = sent + options_.lease_ttl;
  const auto give_up = [&](const std::string& id) {
    if (id.empty()) return;
    ++counters_.lease_acquired;
    std::ignore = release(PendingRelease{host, id, expires}, deadline);
  };

  if (!answer) {
    const auto remains = parse_lease_answer({}, answer.error().body);
    if (!remains) give_up(remains.error().id);
    return tl::unexpected(answer.error().error);
  }
  if (answer->status == 404 || answer->status == 504) return std::nullopt;
  if (answer->status != 200) {
    return tl::unexpected(refused(url, fmt::format("lease '{}'", key), answer->status));
  }
  auto parsed = parse_lease_answer(answer->content_type, answer->body);
  if (!parsed) {
    give_up(parsed.error().id);
    return tl::unexpected(
        Error{ErrorCode::malformed_response,
              fmt::format("the lease answer of {} for '{}' {}", url, key, parsed.error().reason)});
  }
  ++counters_.lease_acquired;
  return Grant{host,   std::move(parsed->id), std::move(parsed->fragments), parsed->size, expires,
               nullptr};
}

Result<void> ClientCore::check_grant(const Grant& grant) const {
  if (options_.max_lease_bytes && grant.size > *options_.max_lease_bytes) {
    return tl::unexpected(
        Error{ErrorCode::too_large,
              fmt::format("the object's {} bytes exceed max_lease_size_mb, {} bytes", grant.size,
                          *options_.max_lease_bytes)});
  }
  for (const FragmentRange& range : grant.ranges) {
    if (grant.mapping->contains(range)) continue;
    return tl::unexpected(Error{
        ErrorCode::malformed_response,
        fmt::format("{} leased {} bytes at offset {}, beyond the {} bytes of its segment",
                    daemons_[grant.host]->url, range.length, range.offset, grant.mapping->size())});
  }
  return {};
}

Result<bool> ClientCore::exists(std::string_view key, const ReadOptions& read, TimePoint deadline) {
  auto grant = lease(key, read, deadline);
  if (!grant) return tl::unexpected(std::move(grant).error());
  if (!*grant) return false;
  std::ignore = release(**grant, deadline);
  return true;
}

Result<std::optional<Lease>> ClientCore::acquire(std::string_view key, const ReadOptions& read,
                                                 TimePoint deadline) {
  Segment* const segment = daemons_[host_of(key)]->segment.get();
  if (segment == nullptr) {
    return tl::unexpected(
        Error{ErrorCode::segment_missing,
              "shared memory is disabled (shared_memory_name is None), so nothing can be read"});
  }
  // Steps A and B of segment.h.
  auto mapping = segment->current();
  if (!mapping) return tl::unexpected(std::move(mapping).error());
  auto granted = lease(key, read, deadline);
  if (!granted) return tl::unexpected(std::move(granted).error());
  if (!*granted) return std::nullopt;
  Grant grant = **std::move(granted);
  grant.mapping = *std::move(mapping);
  const auto current = segment->is_current(*grant.mapping);
  const auto usable = check_grant(grant);
  if (current && *current && usable) {
    return Lease(std::make_unique<Lease::Impl>(shared_from_this(), std::move(grant)));
  }

  // Whichever daemon granted it is the one that answers now, so the segment plays no part here.
  std::ignore = release(PendingRelease{grant.host, grant.id, grant.expires}, deadline);
  if (!current) return tl::unexpected(current.error());
  if (*current) return tl::unexpected(usable.error());
  logger_->info("{} was restarted while it was asked for '{}'; that is a miss",
                daemons_[grant.host]->url, key);
  return std::nullopt;
}

void ClientCore::count_get(GetStatus status) {
  ++(status == GetStatus::hit ? counters_.get_success : counters_.get_failure);
  if (status == GetStatus::miss) ++counters_.get_miss;
}

void ClientCore::count_get_error() { ++counters_.get_failure; }

Result<bool> ClientCore::is_current(const Grant& grant) const {
  return daemons_[grant.host]->segment->is_current(*grant.mapping);
}

// Whether the daemon that had this segment has been replaced, and its leases have gone with it.
bool ClientCore::is_replaced(std::size_t host,
                             const std::optional<SegmentIdentity>& identity) const {
  const Segment* segment = daemons_[host]->segment.get();
  if (segment == nullptr || !identity) return false;
  const auto current = segment->identity();
  return current && current != identity;
}

Result<void> ClientCore::release(const Grant& grant, TimePoint deadline) {
  if (grant.mapping && is_replaced(grant.host, grant.mapping->identity())) {
    ++counters_.lease_lost;
    return {};
  }
  return release(PendingRelease{grant.host, grant.id, grant.expires}, deadline);
}

void ClientCore::release(Lease& lease, TimePoint deadline) {
  std::ignore = lease.impl_->release(deadline);
}

Result<void> ClientCore::release(PendingRelease release, TimePoint deadline) {
  auto released = send_release(release, deadline);
  if (released) return released;
  const Segment* segment = daemons_[release.host]->segment.get();
  if (segment != nullptr) release.segment = segment->identity();
  if (released.error().status == 404 || !put_off(release)) {
    count_failed_release(release, released.error().message);
  }
  return released;
}

Result<void> ClientCore::send_release(const PendingRelease& release, TimePoint deadline) {
  const auto pass = admit(release.host, RequestClass::release, deadline);
  if (!pass) return tl::unexpected(pass.error());
  const auto answer =
      transmit(release.host, {.target = release_target(release.lease_id)}, deadline);
  if (!answer) return tl::unexpected(answer.error().error);
  if (answer->status != 200) {
    return tl::unexpected(refused(daemons_[release.host]->url,
                                  fmt::format("release the lease '{}'", release.lease_id),
                                  answer->status));
  }
  ++counters_.lease_released;
  return {};
}

// False if nobody will try again.
bool ClientCore::put_off(PendingRelease release) {
  std::lock_guard lock(house_mutex_);
  if (closed_ || !releases_.put_off(std::move(release), now())) return false;
  house_changed_.notify_all();
  return true;
}

void ClientCore::retry(const PendingRelease& release, TimePoint deadline) {
  if (is_replaced(release.host, release.segment)) {
    ++counters_.lease_lost;
    return;
  }
  const auto released = send_release(release, deadline);
  if (released) return;
  if (released.error().status == 404 || !put_off(release)) {
    count_failed_release(release, released.error().message);
  }
}

void ClientCore::count_failed_release(const PendingRelease& release, const std::string& reason) {
  ++counters_.lease_release_failed;
  logger_->warn("lease {} was not released and ends with its TTL: {}", release.lease_id, reason);
}

// Repeats failed releases and closes idle connections.
void ClientCore::keep_house() {
  std::unique_lock lock(house_mutex_);
  while (!closing_) {
    lock.unlock();
    const TimePoint next_idle = pool_.close_idle();
    for (const PendingRelease& release : releases_.take_due(now())) {
      retry(release, std::min(put_deadline(), release.expires));
    }
    lock.lock();
    const TimePoint next = std::min(next_idle, releases_.next_due().value_or(next_idle));
    if (!closing_ && now() < next) clock_->wait_until(lock, house_changed_, next);
  }
}

}  // namespace hyperpod::client
