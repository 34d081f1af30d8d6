// SPDX-License-Identifier: Apache-2.0
#include "leases/leases.h"

#include <algorithm>
#include <new>
#include <utility>

#include "body_json.h"
#include "hyperpod/base/text.h"
#include "log.h"
#include "no_memory.h"
#include "points.h"
#include "transport/target.h"

namespace hyperpod::client::leases {
namespace {

using base::LogLevel;
using std::chrono::milliseconds;
using transport::Failure;
using transport::HttpRequest;
using transport::Outcome;
using transport::RequestClass;

Error refused(const std::string& url, std::string_view what,
              const transport::HttpResponse& response) {
  return {ErrorCode::refused,
          fmt::format("{} refused to {}: status {}{}", url, what, response.status,
                      told_in(response.body)),
          response.status};
}

// Whether two of the ranges share a byte.
bool overlap(std::vector<memory::FragmentRange> ranges) {
  std::ranges::sort(ranges, {}, &memory::FragmentRange::offset);
  return std::ranges::adjacent_find(ranges, [](const auto& a, const auto& b) {
           return a.offset + a.length > b.offset;
         }) != ranges.end();
}

}  // namespace

Leases::Retries::Retries(Leases& leases, std::size_t host)
    : timer(leases.loop_, [&leases, host] { leases.retry_due(host); }) {}

Leases::Leases(transport::Loop& loop, transport::Transport& transport, const ClientOptions& options,
               const std::vector<std::unique_ptr<memory::Segment>>& segments, Counters& counters,
               base::LogSink& logger)
    : loop_(loop),
      transport_(transport),
      options_(options),
      segments_(segments),
      counters_(counters),
      logger_(logger) {
  for (std::size_t host = 0; host < segments.size(); ++host) {
    retries_.push_back(std::make_unique<Retries>(*this, host));
  }
}

// Whether the daemon that had this segment has been replaced, and its leases have gone with it.
bool Leases::is_replaced(std::size_t host,
                         const std::optional<memory::SegmentIdentity>& identity) const {
  const memory::Segment* const segment = segments_[host].get();
  if (segment == nullptr || !identity) return false;
  const auto current = segment->identity();
  return current && current != identity;
}

std::shared_ptr<Leases::Request> Leases::make_request(Wanted wanted, TimePoint deadline,
                                                      Granted granted,
                                                      std::shared_ptr<void> keep_alive) {
  return std::make_shared<Request>(*this, std::move(wanted), deadline, std::move(granted),
                                   std::move(keep_alive));
}

void Leases::start(const std::shared_ptr<Request>& request) {
  if (!request->wanted_.error) return transport_.start(request);
  loop_.retire(std::move(request->keep_alive_));
  std::exchange(request->granted_, {})(tl::unexpected(*request->wanted_.error));
}

bool Leases::try_here(const std::shared_ptr<Request>& request, const std::shared_ptr<void>& owner) {
  bool ahead = posted_ > 0;
  HYPERPOD_POINT("lease.ahead", ahead);
  return !ahead && !request->wanted_.error && transport_.try_here(request, owner);
}

void Leases::cancel(Request& request) {
  if (!request.granted_) return;
  Error cancelled{ErrorCode::cancelled, "the call was cancelled"};
  Granted granted = std::exchange(request.granted_, {});
  transport_.cancel(request);
  granted(tl::unexpected(std::move(cancelled)));
}

Leases::Request::Request(Leases& leases, Wanted wanted, TimePoint deadline, Granted granted,
                         std::shared_ptr<void> keep_alive)
    : Exchange(leases.transport_, wanted.host, wanted.request_class, deadline),
      leases_(leases),
      wanted_(std::move(wanted)),
      granted_(std::move(granted)),
      keep_alive_(std::move(keep_alive)),
      owner_(keep_alive_) {}

void Leases::Request::cancel() try {
  const auto owner = owner_.lock();
  if (!owner) return;
  leases_.loop_.post([owner, self = std::static_pointer_cast<Request>(shared_from_this())] {
    self->leases_.cancel(*self);
  });
} catch (const std::bad_alloc&) {  // it ends by its deadline
}

Result<HttpRequest> Leases::Request::request(TimePoint now) {
  // The TTL counts from the first sending: whichever of two was granted, it ends later.
  if (!sent_) sent_ = now;
  milliseconds margin = wait_margin;
  HYPERPOD_POINT("lease.margin", margin);
  const auto affordable = std::chrono::floor<milliseconds>(deadline() - now - Duration{margin} / 2);
  if (affordable < milliseconds::zero()) {
    return tl::unexpected(Error{
        ErrorCode::timed_out,
        fmt::format("the lease of {} waited too long to be asked for", base::quoted(wanted_.key))});
  }
  const auto wait = std::min(wanted_.wait, affordable);
  HttpRequest request;
  request.target = transport::lease_target(leases_.options_.bucket, wanted_.key, wait,
                                           leases_.options_.lease_ttl);
  HYPERPOD_POINT("lease.target", request.target);
  return request;
}

void Leases::Request::complete(Outcome outcome) {
  if (keep_alive_) leases_.loop_.retire(std::move(keep_alive_));
  auto granted = judge(std::move(outcome));
  if (granted_) return std::exchange(granted_, {})(std::move(granted));
  if (granted && *granted) {  // it was cancelled
    leases_.release(**granted, owner_.lock());
  }
}

// What became of the request, with no thought of the segment yet.
Result<std::optional<Grant>> Leases::Request::judge(Outcome outcome) {
  const std::string& url = leases_.transport_.url(host());
  Grant grant;
  grant.host = host();
  grant.expires = sent_.value_or(TimePoint{}) + leases_.options_.lease_ttl;
  HYPERPOD_POINT("lease.expires", grant.expires);
  if (!outcome) {
    Failure& failure = outcome.error();
    if (!failure.body.empty()) {
      const auto remains = parse_lease_response({}, failure.body);
      if (!remains) grant.id = remains.error().id;
      leases_.give_up(grant, owner_.lock());
    }
    return tl::unexpected(std::move(failure.error));
  }
  bool is_miss = outcome->status == 404 || outcome->status == 504;
  HYPERPOD_POINT("lease.is_miss", is_miss, outcome->status);
  if (is_miss) return std::nullopt;
  if (outcome->status != 200) {
    return tl::unexpected(refused(url, "lease " + base::quoted(wanted_.key), *outcome));
  }
  auto parsed = parse_lease_response(outcome->content_type, outcome->body);
  if (!parsed) {
    grant.id = std::move(parsed.error().id);
    leases_.give_up(grant, owner_.lock());
    return tl::unexpected(Error{ErrorCode::malformed_response,
                                fmt::format("the lease response of {} for {} {}", url,
                                            base::quoted(wanted_.key), parsed.error().reason)});
  }
  ++leases_.counters_.lease_acquired;
  grant.id = std::move(parsed->id);
  grant.ranges = std::move(parsed->fragments);
  grant.size = parsed->size;
  return accept(std::move(grant));
}

// Whether it can be read: step B of memory/segment.h, and the fragments.
Result<std::optional<Grant>> Leases::Request::accept(Grant grant) {
  if (!wanted_.mapping) return std::optional<Grant>(std::move(grant));
  const memory::Segment& segment = *leases_.segments_[host()];
  grant.mapping = wanted_.mapping;
  HYPERPOD_POINT("lease.mapping", grant.mapping, *leases_.segments_[host()]);
  const auto current = segment.is_current(*grant.mapping);
  auto usable = leases_.check(grant);
  if (current && *current && usable) return std::optional<Grant>(std::move(grant));

  // Whichever daemon granted it is the one that responds now, so the segment plays no part here.
  grant.mapping = nullptr;
  bool releases = true;
  HYPERPOD_POINT("lease.refused", releases);
  if (releases) leases_.release(grant, owner_.lock());
  if (!current) return tl::unexpected(current.error());
  if (*current) return tl::unexpected(usable.error());
  log(leases_.logger_, LogLevel::info, "{} was restarted while it was asked for {}; that is a miss",
      leases_.transport_.url(host()), base::quoted(wanted_.key));
  return std::nullopt;
}

Result<void> Leases::check(const Grant& grant) const {
  const std::string& url = transport_.url(grant.host);
  bool is_too_large = options_.max_lease_bytes && grant.size > *options_.max_lease_bytes;
  HYPERPOD_POINT("lease.is_too_large", is_too_large);
  if (is_too_large) {
    return tl::unexpected(
        Error{ErrorCode::too_large,
              fmt::format("the object's {} bytes exceed the {} that "
                          "sagemaker_hyperpod_max_lease_size_mb allows; raise it to read them",
                          grant.size, *options_.max_lease_bytes)});
  }
  for (const memory::FragmentRange& range : grant.ranges) {
    if (grant.mapping->contains(range)) continue;
    return tl::unexpected(
        Error{ErrorCode::malformed_response,
              fmt::format("{} leased {} bytes at offset {}, beyond the {} bytes of its segment",
                          url, range.length, range.offset, grant.mapping->size())});
  }
  // An object has each of its bytes once: no more than there are, and none in two places.
  bool is_absurd =
      grant.size > grant.mapping->size() || (grant.ranges.size() > 1 && overlap(grant.ranges));
  HYPERPOD_POINT("lease.is_absurd", is_absurd);
  if (is_absurd) {
    return tl::unexpected(Error{ErrorCode::malformed_response,
                                fmt::format("{} leased {} bytes in {} fragments that overlap", url,
                                            grant.size, grant.ranges.size())});
  }
  return {};
}

// Releases what can only be released, if its id could be made out.
void Leases::give_up(const Grant& grant, std::shared_ptr<void> keep_alive) {
  if (grant.id.empty()) return;
  ++counters_.lease_acquired;
  bool releases = true;
  HYPERPOD_POINT("lease.refused", releases);
  if (releases) release(grant, std::move(keep_alive));
}

class Leases::ReleaseRequest final : public transport::Exchange {
 public:
  ReleaseRequest(Leases& leases, PendingRelease&& release, TimePoint deadline, bool is_retry)
      : Exchange(leases.transport_, release.host, RequestClass::release, deadline),
        leases_(leases),
        release_(std::move(release)),
        is_retry_(is_retry) {}

 private:
  friend class Leases;

  Result<HttpRequest> request(TimePoint) override {
    HttpRequest request;
    request.target = transport::release_target(release_.lease_id);
    HYPERPOD_POINT("release.target", request.target, release_.lease_id);
    return request;
  }

  bool completes_anywhere(const transport::HttpResponse& response) const override {
    return response.status == 200;
  }

  void complete(Outcome outcome) override {
    Result<void> released;
    if (!outcome) {
      released = tl::unexpected(std::move(outcome.error().error));
    } else if (outcome->status != 200) {
      released = tl::unexpected(refused(leases_.transport_.url(host()),
                                        fmt::format("release the lease '{}'", release_.lease_id),
                                        *outcome));
    }
    leases_.release_ended(std::move(release_), released, is_retry_);
    end(std::move(released));
  }

  void end(Result<void> released) {
    mapping_ = nullptr;
    if (keep_alive_) leases_.loop_.retire(std::move(keep_alive_));
    if (released_) released_(std::move(released));
  }

  Leases& leases_;
  PendingRelease release_;
  std::shared_ptr<const memory::SegmentMapping> mapping_;  // so that no other has its identity
  const bool is_retry_;
  Released released_;
  std::shared_ptr<void> keep_alive_;
};

std::shared_ptr<Leases::ReleaseRequest> Leases::make_release(const Grant& grant, TimePoint deadline,
                                                             Released&& released,
                                                             std::shared_ptr<void> keep_alive) {
  auto request = std::make_shared<ReleaseRequest>(
      *this, PendingRelease{grant.host, grant.id, grant.expires}, deadline, false);
  request->mapping_ = grant.mapping;
  request->released_ = std::move(released);
  request->keep_alive_ = std::move(keep_alive);
  return request;
}

// Notes the segment that it is about, and tells whether the lease has gone with that.
bool Leases::is_lost(ReleaseRequest& request) const {
  PendingRelease& release = request.release_;
  // Before it is sent: a daemon that restarts meanwhile fails it, and has another segment by then.
  if (const auto& mapping = request.mapping_) {
    release.segment = mapping->identity();
  } else if (const auto& segment = segments_[release.host]) {
    release.segment = segment->identity();
  }
  return request.mapping_ && is_replaced(release.host, release.segment);
}

template <class Function>
void Leases::post_release(Function function, transport::Loop::Order order) {
  ++posted_;
  try {
    loop_.post(
        [this, function = std::move(function)] {
          --posted_;
          function();
        },
        order);
  } catch (const std::bad_alloc&) {
    --posted_;
    throw;
  }
}

void Leases::post(std::shared_ptr<ReleaseRequest> request, transport::Loop::Order order) {
  post_release([this, request = std::move(request)] { start(request); }, order);
}

bool Leases::try_here(const std::shared_ptr<ReleaseRequest>& request,
                      const std::shared_ptr<void>& owner) {
  return !is_lost(*request) && transport_.try_here(request, owner);
}

void Leases::start(const std::shared_ptr<ReleaseRequest>& request) {
  if (is_lost(*request)) {
    ++counters_.lease_lost;
    return request->end({});
  }
  bool sends = true;
  HYPERPOD_POINT("release.begin", sends, request->release_.lease_id);
  if (!sends) return request->end({});
  transport_.start(request);
}

void Leases::release(const Grant& grant, std::shared_ptr<void> keep_alive) {
  std::shared_ptr<ReleaseRequest> request;
  try {
    if (!loop_.on_thread()) {
      post_release(
          [this, grant, keep_alive = std::move(keep_alive)] { release(grant, keep_alive); },
          transport::Loop::Order::last);
      return;
    }
    request = make_release(grant, release_deadline(), {}, std::move(keep_alive));
  } catch (const std::bad_alloc&) {
    ++counters_.lease_release_failed;
    return;
  }
  start(request);
}

void Leases::release_ended(PendingRelease release, const Result<void>& released, bool is_retry) {
  if (released && !is_retry) {  // on any thread
    ++counters_.lease_released;
    HYPERPOD_POINT("release.released", *this, release);
    return;
  }
  Retries& retries = *retries_[release.host];
  if (is_retry) --retries.in_flight;
  if (released) {
    ++counters_.lease_released;
    HYPERPOD_POINT("release.released", *this, release);
  } else {
    if (released.error().status == 404 || !put_off(release)) {
      ++counters_.lease_release_failed;
      if (released.error().status == 404) {
        log(logger_, LogLevel::info,
            "lease {} had ended before it was released: its TTL had passed, or its daemon has "
            "dropped it or restarted",
            release.lease_id);
      } else {
        log(logger_, LogLevel::warn, "lease {} was not released and ends with its TTL: {}",
            release.lease_id, released.error().message);
      }
    }
  }
  set_timer(retries);
}

// False if nobody will try again.
bool Leases::put_off(const PendingRelease& release) try {
  return !flushed_ && retries_[release.host]->queue.put_off(release, loop_.now());
} catch (const std::bad_alloc&) {
  return false;
}

void Leases::set_timer(Retries& retries) {
  const auto due = retries.queue.next_due();
  if (due && retries.in_flight < max_retries_in_flight) {
    retries.timer.arm(*due);
  } else {
    retries.timer.cancel();
  }
}

void Leases::retry_due(std::size_t host) {
  Retries& retries = *retries_[host];
  std::vector<PendingRelease> due;
  try {
    due = retries.queue.take_due(loop_.now(), max_retries_in_flight - retries.in_flight);
  } catch (const std::bad_alloc&) {  // they are still due
  }
  retries.in_flight += due.size();
  for (PendingRelease& release : due) {
    const TimePoint deadline = std::min(release_deadline(), release.expires);
    retry(std::move(release), deadline);
  }
  set_timer(retries);
}

// REQUIRES: it is counted among those in flight.
void Leases::retry(PendingRelease release, TimePoint deadline) {
  if (is_replaced(release.host, release.segment)) {
    --retries_[release.host]->in_flight;
    ++counters_.lease_lost;
    return;
  }
  std::shared_ptr<ReleaseRequest> request;
  try {
    request = std::make_shared<ReleaseRequest>(*this, std::move(release), deadline, true);
  } catch (const std::bad_alloc&) {  // which has moved nothing
    --retries_[release.host]->in_flight;
    ++counters_.lease_release_failed;
    return;
  }
  transport_.start(request);
}

void Leases::flush() {
  flushed_ = true;
  for (std::size_t host = 0; host < retries_.size(); ++host) {
    Retries& retries = *retries_[host];
    retries.timer.cancel();
    auto pending = retries.queue.take_all();
    retries.in_flight += pending.size();
    for (PendingRelease& release : pending) {
      retry(std::move(release), release_deadline());
    }
  }
}

}  // namespace hyperpod::client::leases
