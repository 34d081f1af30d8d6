#include "hyperpod/client/clock.h"

#include <algorithm>

namespace hyperpod::client {

TimePoint RealClock::now() const { return std::chrono::steady_clock::now(); }

void RealClock::wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& condition,
                           TimePoint until) const {
  condition.wait_until(lock, until);
}

ManualClock::ManualClock(TimePoint start) : now_(start) {}

TimePoint ManualClock::now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

void ManualClock::wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& condition,
                             TimePoint until) const {
  // advance() knows none of the conditions waited on, so each waiter looks again every millisecond.
  if (now() < until) condition.wait_for(lock, std::chrono::milliseconds{1});
}

void ManualClock::advance(Duration step) {
  std::lock_guard lock(mutex_);
  now_ += std::max(step, Duration::zero());
}

}  // namespace hyperpod::client
