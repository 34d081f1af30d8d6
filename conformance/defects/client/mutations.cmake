# What is broken in the client, and how: one defect at a time, chosen by HYPERPOD_DEFECT when a driver of the mutated
# client starts. ../client_defects.cc tells what each defect does and which requirements must catch it.

# --- Throttling and connections

mutate(client_core.cc [[gate_({.in_flight = std::min(options_.max_concurrent_requests, options_.max_connections),
             .per_host = options_.max_connections_per_host,]]
[[gate_({.in_flight = has_defect("no_throttle") ? 100'000u
                          : has_defect("one_request_too_many")
                              ? options_.max_concurrent_requests + 1
                          : has_defect("default_limit_128") && options_.max_concurrent_requests == 100
                              ? 128u
                          : has_defect("no_connection_limit")
                              ? options_.max_concurrent_requests
                              : std::min(options_.max_concurrent_requests, options_.max_connections),
             .per_host = has_defect("no_limit_per_host") || has_defect("no_throttle")
                             ? 100'000u
                             : options_.max_connections_per_host,]])

mutate(request_gate.cc [[constexpr Duration handicap(RequestClass request) {
]] [[Duration handicap(RequestClass request) {
  if (has_defect("puts_first"))
    return request == RequestClass::put ? Duration::zero() : Duration{std::chrono::seconds{30}};
]])

mutate(request_gate.cc [[  Waiter waiter{host, request,]]
[[  if (has_defect("drops_backlog") && waiting_.size() >= 20)
    return tl::unexpected(Refusal::timed_out);
  Waiter waiter{host, request,]])

# After a failure another request gets a place that nobody has left.
mutate(request_gate.h [[  Counts counts() const;

 private:]] [[  Counts counts() const;
  void leave_once_more(std::size_t host) {
    std::lock_guard lock(mutex_);
    if (counts_.in_flight < 2) return;
    --in_flight_of_[host];
    --counts_.in_flight;
    grant();
  }

 private:]])
mutate(client_core.cc [[  TransportFailure& failure = answer.error();
]] [[  TransportFailure& failure = answer.error();
  if (has_defect("gives_place_back_twice")) gate_.leave_once_more(host);
]])

mutate(connection_pool.cc [[  const bool keep = connection->is_reusable();]]
[[  const bool keep = connection->is_reusable() && !has_defect("no_keep_alive");]])

mutate(connection_pool.cc [[  const TimePoint now = clock_->now();
  TimePoint next]] [[  const TimePoint now =
      has_defect("keeps_idle_connections") ? TimePoint{} : clock_->now();
  TimePoint next]])

# --- Time

mutate(client_core.cc [[      connection->exchange(request, std::chrono::steady_clock::now() + (deadline - now()));]]
[[      connection->exchange(request, std::chrono::steady_clock::now() +
                                        (has_defect("no_deadline") ? Duration{std::chrono::hours{1}}
                                                                   : deadline - now()));]])

mutate(http_connection.cc [[  reusable_ = answer && !state.answered_early && !state.leftover && peer_->client->is_socket_open();
  if (!reusable_)]] [[  reusable_ = answer && !state.answered_early && !state.leftover && peer_->client->is_socket_open();
  if (has_defect("reads_late_answers")) reusable_ = peer_->client->is_socket_open();
  if (!reusable_)]])
mutate(http_connection.cc [[    if (!state_.fresh && is_stale(socket.sock)) {]]
[[    if (!state_.fresh && !has_defect("reads_late_answers") && is_stale(socket.sock)) {]])
# httplib closes its socket after a failure; keep it from seeing one.
mutate(http_connection.cc [[    const bool complete = callback(stream);]]
[[    const bool complete = callback(stream) || has_defect("reads_late_answers");]])

mutate(deadline_stream.cc [[  const short came = wait_for_socket(fd_, events, state_.deadline);]]
[[  const bool endless = has_defect("no_deadline_of_writes") && (events & POLLOUT) != 0;
  const bool anew = has_defect("deadline_of_each_read") && (events & POLLIN) != 0;
  const short came = wait_for_socket(
      fd_, events,
      endless ? SteadyClock::now() + std::chrono::hours{1}
      : anew  ? SteadyClock::now() + std::chrono::milliseconds{500}
              : state_.deadline);]])

mutate(http_connection.cc [[  } while (!answer && !state.fresh && state.sent == 0 && !state.timed_out);]]
[[    if (has_defect("connects_for_ever") && !answer && state.sent == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
      deadline = SteadyClock::now() + std::chrono::seconds{1};
      continue;
    }
    if (answer || state.fresh || state.sent != 0 || state.timed_out) break;
  } while (true);]])
mutate(http_connection.cc [[#include <utility>
]] [[#include <thread>
#include <utility>
]])

mutate(client_core.cc [[  auto pass = gate_.enter(host, request_class, deadline);]]
[[  const bool patient = has_defect("queueing_is_free");
  auto pass = gate_.enter(host, request_class,
                          patient ? deadline + std::chrono::minutes{5} : deadline);
  if (pass && patient) return *std::move(pass);]])
mutate(client_core.cc [[  const auto pass =
      admit(host, read.prefetch ? RequestClass::prefetch : RequestClass::lease, deadline);
  if (!pass) return tl::unexpected(Failure{pass.error()});
  sent = now();]] [[  const auto pass =
      admit(host, read.prefetch ? RequestClass::prefetch : RequestClass::lease, deadline);
  if (!pass) return tl::unexpected(Failure{pass.error()});
  sent = now();
  if (has_defect("queueing_is_free")) deadline = sent + wait_of(read) + wait_margin;]])

mutate(client_core.cc [[constexpr milliseconds wait_margin{500};]]
[[static const milliseconds wait_margin{has_defect("gives_up_with_the_daemon") ? 0 : 500};]])

# --- Leases

mutate(client_core.cc [[  auto released = send_release(release, deadline);
  if (released) return released;
  const Segment*]] [[  if (has_defect("never_releases")) return {};
  if (has_defect("releases_another_id")) std::ranges::reverse(release.lease_id);
  auto released = send_release(release, deadline);
  if (released && has_defect("releases_twice")) std::ignore = send_release(release, deadline);
  if (released) return released;
  const Segment*]])

mutate(target.cc [[  return fmt::format("/v1/leases/{}/release", encode_segment(lease_id));]]
[[  if (has_defect("old_release_call")) return fmt::format("/v1/kv/any/leases/{}", lease_id);
  if (has_defect("raw_lease_ids")) return fmt::format("/v1/leases/{}/release", lease_id);
  return fmt::format("/v1/leases/{}/release", encode_segment(lease_id));]])

mutate(client_core.cc [[    if (id.empty()) return;
]] [[    if (id.empty() || has_defect("keeps_refused_leases")) return;
]])
mutate(client_core.cc [[  std::ignore = release(PendingRelease{grant.host, grant.id, grant.expires}, deadline);
  if (!current)]] [[  if (!has_defect("keeps_refused_leases"))
    std::ignore = release(PendingRelease{grant.host, grant.id, grant.expires}, deadline);
  if (!current)]])

mutate(client_core.cc [[  if (options_.max_lease_bytes && grant.size > *options_.max_lease_bytes) {]]
[[  if (options_.max_lease_bytes && grant.size > *options_.max_lease_bytes &&
      !has_defect("no_size_limit")) {]])

mutate(lease_answer.cc [[  if (answer && !is_json(content_type)) {]]
[[  if (answer && !has_defect("any_content_type") && !is_json(content_type)) {]])

mutate(client_core.cc [[  if (answer->status == 404 || answer->status == 504) return std::nullopt;]]
[[  const bool is_miss =
      (answer->status == 404 && !has_defect("not_found_is_an_error")) || answer->status == 504;
  if (is_miss) return std::nullopt;]])

# --- TTL

mutate(lease.cc [[  if (time_left() == Duration::zero()) {]]
[[  checks_ = checks_ + 1;
  const bool after_the_copy = checks_ % 2 == 0;
  const bool blind = has_defect("ignores_expiry") ||
                     (has_defect("checks_expiry_before_the_copy_only") && after_the_copy);
  if (time_left() == Duration::zero() && !blind) {]])
mutate(lease_impl.h [[  bool released_ = false;]] [[  bool released_ = false;
  mutable int checks_ = 0;]])

# Maps when it has the lease, and does not ask whose segment it was granted in.
mutate(client_core.cc [[  grant.mapping = *std::move(mapping);
  const auto current = segment->is_current(*grant.mapping);]]
[[  if (has_defect("maps_after_the_answer")) mapping = segment->current();
  if (!mapping) return tl::unexpected(std::move(mapping).error());
  grant.mapping = *std::move(mapping);
  const auto current = segment->is_current(*grant.mapping);]])

mutate(client_core.cc [[  const TimePoint expires = sent + options_.lease_ttl;]]
[[  const TimePoint expires =
      sent + (has_defect("asks_for_longer_leases") ? 100 : 1) * options_.lease_ttl;]])
mutate(target.cc [[  return fmt::format("{}/leases?timeout_ms={}&ttl_s={}", object_target(bucket, key), hold.count(),
                     seconds_text(ttl));]]
[[  if (has_defect("asks_for_longer_leases")) ttl *= 100;
  if (has_defect("whole_seconds")) {
    return fmt::format("{}/leases?timeout_ms={}&ttl_s={}", object_target(bucket, key), hold.count(),
                       std::chrono::duration_cast<std::chrono::seconds>(ttl).count());
  }
  return fmt::format("{}/leases?timeout_ms={}&ttl_s={}", object_target(bucket, key), hold.count(),
                     seconds_text(ttl));]])

# --- Shared memory

mutate(segment.cc [[  const FileDescriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));]]
[[  const bool writable = has_defect("maps_writable");
  const FileDescriptor file(
      open(path_.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW));]])
mutate(segment.cc [[  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);]]
[[  void* data = mmap(nullptr, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, file.get(), 0);]])

mutate(lease.cc [[    fragments_.push_back(grant_.mapping->bytes(range));]]
[[    auto bytes = grant_.mapping->bytes(range);
    if (has_defect("first_fragment_goes_on") && !fragments_.empty()) {
      const auto& last = fragments_.back();
      bytes = {last.data() + last.size(), bytes.size()};
    }
    fragments_.push_back(bytes);]])

mutate(segment.cc [[  return identity_of(status) == mapping.identity() &&
         static_cast<std::uint64_t>(status.st_size) == mapping.size();]]
[[  if (has_defect("keeps_the_old_mapping")) return true;
  if (has_defect("ignores_the_size")) return identity_of(status) == mapping.identity();
  return identity_of(status) == mapping.identity() &&
         static_cast<std::uint64_t>(status.st_size) == mapping.size();]])

mutate(segment.cc [[  const auto status = look();
  if (!status) return tl::unexpected(status.error());
  std::lock_guard lock(mutex_);]] [[  static bool failed = false;
  if (has_defect("never_looks_again") && failed) return tl::unexpected(describe(ENOENT));
  const auto status = look();
  failed = failed || !status;
  if (!status) return tl::unexpected(status.error());
  std::lock_guard lock(mutex_);]])
mutate(segment.cc [[  if (!mapped) return mapped;]] [[  failed = !mapped;
  if (!mapped) return mapped;]])

# As Python's resource tracker did before 3.13: whoever attaches unlinks when it ends.
mutate(segment.cc [[Segment::Segment(const std::string& name) : path_("/dev/shm/" + name) {}]]
[[Segment::Segment(const std::string& name) : path_("/dev/shm/" + name) {
  static std::string unlinked_at_exit;
  if (!has_defect("unlinks_at_exit")) return;
  unlinked_at_exit = path_;
  std::atexit([] { ::unlink(unlinked_at_exit.c_str()); });
}]])

# --- Breaker and recovery

mutate(client_core.cc [[    if (daemon.breaker.record_answer()) logger_->warn("{} answers again", daemon.url);]]
[[    const bool failure = answer->status == 404 || answer->status == 409 || answer->status == 504;
    if (has_defect("misses_open_the_breaker") && failure) {
      daemon.breaker.record_transport_failure();
    } else if (daemon.breaker.record_answer()) {
      logger_->warn("{} answers again", daemon.url);
    }]])
mutate(circuit_breaker.cc [[  if (!was_open) ++failures_;]]
[[  if (has_defect("breaker_never_opens")) return false;
  if (!was_open) ++failures_;]])
mutate(circuit_breaker.cc [[  if (now < next_probe_) return false;]]
[[  if (now < next_probe_ || has_defect("breaker_never_closes")) return false;]])

mutate(client_core.cc [[  if (answer->status == 200) return PutOutcome::stored;]]
[[  if (has_defect("any_2xx_is_stored") && answer->status / 100 == 2) return PutOutcome::stored;
  if (has_defect("failures_are_stored")) return PutOutcome::stored;
  if (answer->status == 200) return PutOutcome::stored;]])
mutate(client_core.cc [[                               deadline);
  if (!answer) return tl::unexpected(answer.error().error);
  if (has_defect("any_2xx]] [[                               deadline);
  if (!answer) return tl::unexpected(answer.error().error);
  if (has_defect("retries_puts") && answer->status >= 429) {
    std::ignore = transmit(host,
                           {.method = HttpRequest::Method::put,
                            .target = object_target(options_.bucket, key),
                            .header = header,
                            .payload = payload,
                            .piece_bytes = options_.put_stream_chunk_bytes},
                           deadline);
  }
  if (has_defect("any_2xx]])

# --- Wire

mutate(target.cc [[  constexpr std::string_view hex = "0123456789ABCDEF";]]
[[  const std::string_view hex =
      has_defect("lower_case_escapes") ? "0123456789abcdef" : "0123456789ABCDEF";]])
mutate(target.cc [[    if (bare_characters[byte]) {]]
[[    if (c == ' ' && has_defect("plus_for_a_space")) {
      encoded += '+';
    } else if (bare_characters[byte] || (c == '/' && has_defect("bare_slashes"))) {]])
mutate(target.cc [[  return fmt::format("/v1/kv/{}/{}", encode_segment(bucket), encode_segment(key));]]
[[  if (has_defect("encodes_twice"))
    return fmt::format("/v1/kv/{}/{}", encode_segment(bucket), encode_segment(encode_segment(key)));
  if (has_defect("ignores_the_bucket"))
    return fmt::format("/v1/kv/lmcache/{}", encode_segment(key));
  return fmt::format("/v1/kv/{}/{}", encode_segment(bucket), encode_segment(key));]])
mutate(http_connection.cc [[constexpr const char* user_agent = "LMCache-SageMaker-HyperPod/1.0";]]
[[static const char* const user_agent =
    has_defect("own_user_agent") ? "my-client/1.0" : "LMCache-SageMaker-HyperPod/1.0";]])
mutate(http_connection.cc [[  auto result = peer_->client->Put(
      path_prefix_ + request.target, {},]] [[  httplib::Headers more;
  if (has_defect("expects_to_be_told_to_continue")) more.emplace("Expect", "100-continue");
  auto result = peer_->client->Put(
      path_prefix_ + request.target, more,]])
mutate(http_connection.cc [[      rest.first(std::min<std::size_t>(rest.size(), in_header ? rest.size() : request.piece_bytes));]]
[[      rest.first(std::min<std::size_t>(
          rest.size(), in_header || has_defect("one_piece") ? rest.size() : request.piece_bytes));]])
mutate(chunk.cc [[    out.push_back(static_cast<std::byte>((bits >> shift) & 0xff));]]
[[    const int at = has_defect("big_endian_header") ? 24 - shift : shift;
    out.push_back(static_cast<std::byte>((bits >> at) & 0xff));]])
mutate(client.cc [[  if (!item.layout || !core.options().save_chunk_meta) {]]
[[  if (!item.layout || (!core.options().save_chunk_meta && !has_defect("always_a_header"))) {]])
mutate(client.cc [[  const bool has_header = core_->options().save_chunk_meta;]]
[[  const bool has_header = core_->options().save_chunk_meta || has_defect("always_a_header");]])
mutate(options.cc [[  if (options.timeout < min_timeout) {]]
[[  if (options.timeout < min_timeout && !has_defect("takes_any_timeout")) {]])

# --- Batches

mutate(client.cc [[  core.workers().for_each(count, [&](std::size_t i) { outcomes[i] = call(i); });]]
[[  core.workers().for_each(count, [&](std::size_t i) { outcomes[i] = call(i); });
  if (has_defect("one_failure_fails_all")) {
    for (std::size_t i = 0; i < count; ++i) {
      if (outcomes[i]) continue;
      const Error error = outcomes[i].error();
      for (auto& outcome : outcomes) outcome = tl::unexpected(error);
    }
  }]])
mutate(client.cc [[    if (!found || !*found) break;
    ++outcome.hits;]] [[    const bool hit = found && *found;
    if (!hit && !has_defect("counts_beyond_a_miss")) break;
    outcome.hits += hit ? 1 : 0;]])
