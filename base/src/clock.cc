// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/clock.h"

#include <algorithm>

namespace hyperpod::base {

TimePoint RealClock::now() const { return std::chrono::steady_clock::now(); }

void MovableClock::attach(Ticker& ticker) {
  std::lock_guard lock(tickers_mutex_);
  tickers_.push_back(&ticker);
}

void MovableClock::detach(Ticker& ticker) {
  std::lock_guard lock(tickers_mutex_);
  std::erase(tickers_, &ticker);
}

std::optional<TimePoint> MovableClock::earliest_due() const {
  std::optional<TimePoint> earliest;
  for (const Ticker* ticker : tickers_) {
    if (auto due = ticker->next_due(); due && (!earliest || *due < *earliest)) earliest = due;
  }
  return earliest;
}

void MovableClock::advance(Duration step) {
  std::lock_guard lock(tickers_mutex_);
  const TimePoint target = now() + std::max(step, Duration::zero());
  while (true) {
    const auto due = earliest_due();
    const bool last = !due || *due > target;
    const TimePoint stop = last ? target : std::max(*due, now());
    move_to(stop);
    for (Ticker* ticker : tickers_) ticker->run_due(stop);
    if (last) return;
  }
}

ManualClock::ManualClock(TimePoint start) : now_(start) {}

TimePoint ManualClock::now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

void ManualClock::move_to(TimePoint time) {
  std::lock_guard lock(mutex_);
  now_ = std::max(now_, time);
}

TimePoint AdjustableClock::now() const {
  std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() + ahead_;
}

void AdjustableClock::move_to(TimePoint time) {
  std::lock_guard lock(mutex_);
  ahead_ = std::max(ahead_, Duration(time - std::chrono::steady_clock::now()));
}

}  // namespace hyperpod::base
