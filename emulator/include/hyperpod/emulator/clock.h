// Time as the emulator sees it: leases, holds and time limits all read one Clock.
//
// Every member may be called from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace hyperpod::emulator {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// Something that has timers which a clock moved by hand must fire: a running emulator.
class Ticker {
 public:
  virtual ~Ticker() = default;
  /// When the earliest timer falls due; nullopt if none is armed.
  virtual std::optional<TimePoint> next_due() const = 0;
  /// Fires every timer due at or before `now` and returns when all that follows from them (answers
  /// sent, connections closed) has happened.
  virtual void run_due(TimePoint now) = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  /// Never goes back.
  virtual TimePoint now() const = 0;
  /// True if the emulator is to fire its timers by itself as real time passes. False for a clock
  /// that fires them through attached tickers.
  virtual bool runs_by_itself() const { return true; }
  /// Called by an emulator when it starts and stops; a clock that runs by itself ignores both.
  virtual void attach(Ticker& /*ticker*/) {}
  virtual void detach(Ticker& /*ticker*/) {}
};

/// The machine's monotonic clock.
class RealClock final : public Clock {
 public:
  TimePoint now() const override;
};

/// A clock that stands still until it is told to move. One may drive several emulators.
///
///   auto clock = std::make_shared<ManualClock>();
///   auto emulator = Emulator::start({.clock = clock});
///   clock->advance(30s);  // every lease of 30 s or less has expired when this returns
class ManualClock final : public Clock {
 public:
  explicit ManualClock(TimePoint start = TimePoint{} + std::chrono::hours{1});

  TimePoint now() const override;
  bool runs_by_itself() const override { return false; }
  void attach(Ticker& ticker) override;
  void detach(Ticker& ticker) override;

  /// Moves time forward by `step` (negative steps count as zero). Stops on the way at each moment
  /// at which a timer falls due, so that what one timer sets in motion sees the right time. Returns
  /// when all that fell due has happened. Callers on several threads take turns; must not be called
  /// from inside a ticker's callback.
  void advance(Duration step);

 private:
  std::optional<TimePoint> earliest_due() const;

  mutable std::mutex time_mutex_;  // guards now_
  TimePoint now_;
  std::mutex tickers_mutex_;  // held while tickers run, so that none is detached under a call
  std::vector<Ticker*> tickers_;
};

}  // namespace hyperpod::emulator
