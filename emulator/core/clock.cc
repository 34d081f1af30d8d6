#include "hyperpod/emulator/clock.h"

#include <algorithm>

namespace hyperpod::emulator {

TimePoint RealClock::now() const { return std::chrono::steady_clock::now(); }

ManualClock::ManualClock(TimePoint start) : now_(start) {}

TimePoint ManualClock::now() const {
  std::lock_guard lock(time_mutex_);
  return now_;
}

void ManualClock::attach(Ticker& ticker) {
  std::lock_guard lock(tickers_mutex_);
  tickers_.push_back(&ticker);
}

void ManualClock::detach(Ticker& ticker) {
  std::lock_guard lock(tickers_mutex_);
  std::erase(tickers_, &ticker);
}

std::optional<TimePoint> ManualClock::earliest_due() const {
  std::optional<TimePoint> earliest;
  for (const Ticker* ticker : tickers_) {
    if (auto due = ticker->next_due(); due && (!earliest || *due < *earliest)) earliest = due;
  }
  return earliest;
}

void ManualClock::advance(Duration step) {
  std::lock_guard lock(tickers_mutex_);
  const TimePoint target = now() + std::max(step, Duration::zero());
  while (true) {
    const auto due = earliest_due();
    const bool last = !due || *due > target;
    const TimePoint stop = last ? target : std::max(*due, now());
    {
      std::lock_guard time_lock(time_mutex_);
      now_ = stop;
    }
    for (Ticker* ticker : tickers_) ticker->run_due(stop);
    if (last) return;
  }
}

}  // namespace hyperpod::emulator
