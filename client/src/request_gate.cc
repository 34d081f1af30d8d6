#include "request_gate.h"

#include <algorithm>

namespace hyperpod::client {
namespace {

constexpr Duration handicap(RequestClass request) {
  switch (request) {
    case RequestClass::prefetch:
      return std::chrono::milliseconds{500};
    case RequestClass::put:
      return std::chrono::seconds{1};
    case RequestClass::lease:
    case RequestClass::release:
      break;
  }
  return Duration::zero();
}

}  // namespace

RequestGate::RequestGate(Limits limits, std::shared_ptr<const Clock> clock)
    : limits_(limits), clock_(std::move(clock)), in_flight_of_(limits.hosts) {}

bool RequestGate::has_place(std::size_t host) const {
  return counts_.in_flight < limits_.in_flight && in_flight_of_[host] < limits_.per_host;
}

void RequestGate::take_place(std::size_t host) {
  ++in_flight_of_[host];
  counts_.peak_in_flight = std::max(counts_.peak_in_flight, ++counts_.in_flight);
}

tl::expected<RequestGate::Pass, RequestGate::Refusal> RequestGate::enter(std::size_t host,
                                                                         RequestClass request,
                                                                         TimePoint deadline) {
  std::unique_lock lock(mutex_);
  const auto refused = [&] { return closed_ && request != RequestClass::release; };
  if (refused()) return tl::unexpected(Refusal::closed);
  // Whoever waits while there is a place waits for another host, so nobody is overtaken here.
  if (has_place(host)) {
    take_place(host);
    return Pass(*this, host);
  }

  Waiter waiter{host, request, clock_->now() + handicap(request), next_number_++, false, {}};
  waiting_.insert(&waiter);
  counts_.queued = waiting_.size();
  counts_.peak_queued = std::max(counts_.peak_queued, counts_.queued);
  while (!waiter.granted && !refused() && clock_->now() < deadline) {
    clock_->wait_until(lock, waiter.changed, deadline);
  }
  if (waiter.granted) return Pass(*this, host);
  waiting_.erase(&waiter);
  counts_.queued = waiting_.size();
  return tl::unexpected(refused() ? Refusal::closed : Refusal::timed_out);
}

void RequestGate::leave(std::size_t host) {
  std::lock_guard lock(mutex_);
  --in_flight_of_[host];
  if (--counts_.in_flight == 0) drained_.notify_all();
  grant();
}

void RequestGate::grant() {
  for (auto next = waiting_.begin();
       next != waiting_.end() && counts_.in_flight < limits_.in_flight;) {
    Waiter& waiter = **next;
    if (!has_place(waiter.host)) {
      ++next;
      continue;
    }
    take_place(waiter.host);
    next = waiting_.erase(next);
    waiter.granted = true;
    waiter.changed.notify_one();
  }
  counts_.queued = waiting_.size();
}

void RequestGate::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (Waiter* waiter : waiting_) waiter->changed.notify_one();
}

void RequestGate::drain(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  while (counts_.in_flight > 0 && clock_->now() < deadline) {
    clock_->wait_until(lock, drained_, deadline);
  }
}

RequestGate::Counts RequestGate::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace hyperpod::client
