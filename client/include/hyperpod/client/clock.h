// Time as the client sees it: leases, deadlines, the circuit breaker, the queue's ageing, idle
// connections and the retries of releases all read one Clock.
//
// Every member may be called from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace hyperpod::client {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;

  /// Never goes back.
  virtual TimePoint now() const = 0;

  /// Waits on `condition` until it is notified or, as this clock sees it, `until` has come. May
  /// return earlier: callers test what they wait for in a loop. REQUIRES: `lock` is held.
  virtual void wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& condition,
                          TimePoint until) const = 0;
};

/// The machine's monotonic clock.
class RealClock final : public Clock {
 public:
  TimePoint now() const override;
  void wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& condition,
                  TimePoint until) const override;
};

/// A clock that stands still until it is told to move, for tests of programs that use a client.
/// What a socket waits for is the one thing that it does not govern: a daemon that never answers
/// is given up on after the same span of real time.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(TimePoint start = TimePoint{} + std::chrono::hours{1});

  TimePoint now() const override;
  void wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& condition,
                  TimePoint until) const override;

  /// Moves time forward by `step`; negative steps count as zero.
  void advance(Duration step);

 private:
  mutable std::mutex mutex_;  // guards now_
  TimePoint now_;
};

}  // namespace hyperpod::client
