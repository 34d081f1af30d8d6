// SPDX-License-Identifier: Apache-2.0
#include "transport/request_gate.h"

#include <algorithm>

#include "hyperpod/base/assertions.h"
#include "points.h"

namespace hyperpod::client::transport {
namespace {

Duration handicap(RequestClass request) {
  Duration put_back = Duration::zero();
  if (request == RequestClass::prefetch) put_back = std::chrono::milliseconds{500};
  if (request == RequestClass::put) put_back = std::chrono::seconds{1};
  HYPERPOD_POINT("gate.handicap", put_back, request);
  return put_back;
}

}  // namespace

RequestGate::RequestGate(const Limits& limits)
    : limits_(limits), waiting_(limits.hosts), taken_of_(limits.hosts) {}

bool RequestGate::has_place(const Waiter& waiter) const {
  bool place = taken_ < limits_.in_flight && taken_of_[waiter.host_] < limits_.per_host;
  HYPERPOD_POINT("gate.place", place, waiter);
  return place;
}

void RequestGate::take_place(std::size_t host) {
  ++taken_of_[host];
  ++taken_;
  begin();
}

void RequestGate::begin() {
  const std::uint64_t now = ++in_flight_;
  std::uint64_t peak = peak_in_flight_;
  while (peak < now && !peak_in_flight_.compare_exchange_weak(peak, now)) {
  }
}

void RequestGate::set_queued(std::uint64_t queued) {
  queued_ = queued;
  peak_queued_ = std::max(peak_queued_.load(), queued);
}

bool RequestGate::enter(Waiter& waiter, TimePoint now) {
  // Whoever waits while there is a place waits for another host, so nobody is overtaken here.
  if (has_place(waiter)) {
    take_place(waiter.host_);
    return true;
  }
  waiter.order_ = {now + handicap(waiter.request_), next_number_++};
  waiting_[waiter.host_].emplace(waiter.order_, &waiter);
  waiter.queued_ = true;
  set_queued(queued_ + 1);
  return false;
}

void RequestGate::give_back(std::size_t host) {
  HYPERPOD_REQUIRE(taken_of_[host] > 0);
  --taken_of_[host];
  --taken_;
}

void RequestGate::withdraw(Waiter& waiter) {
  HYPERPOD_REQUIRE(waiter.queued_);
  waiting_[waiter.host_].erase(waiter.order_);
  waiter.queued_ = false;
  set_queued(queued_ - 1);
}

RequestGate::Waiter* RequestGate::next() {
  Waiter* first = nullptr;
  for (std::size_t host = 0; queued_ > 0 && host < waiting_.size(); ++host) {
    if (waiting_[host].empty()) continue;
    Waiter* const front = waiting_[host].begin()->second;
    if (!has_place(*front)) continue;
    if (first == nullptr || front->order_ < first->order_) first = front;
  }
  if (first == nullptr) return nullptr;
  withdraw(*first);
  take_place(first->host_);
  return first;
}

RequestGate::Waiter* RequestGate::any_refusable() {
  for (const Queue& queue : waiting_) {
    for (const auto& [order, waiter] : queue) {
      if (waiter->request_ != RequestClass::release) return waiter;
    }
  }
  return nullptr;
}

RequestGate::Counts RequestGate::counts() const {
  return {in_flight_, peak_in_flight_, queued_, peak_queued_};
}

}  // namespace hyperpod::client::transport
