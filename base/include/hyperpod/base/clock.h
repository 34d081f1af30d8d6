// SPDX-License-Identifier: Apache-2.0
// Time as emulator and client see it: leases, holds, deadlines and time limits all read one Clock,
// which is handed in. One ManualClock may drive an emulator and its clients together.
//
// Every member may be called from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace hyperpod::base {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// Something that has timers which a clock moved by hand must fire: an emulator or a client.
class Ticker {
 public:
  virtual ~Ticker() = default;
  /// When the earliest timer falls due; nullopt if none is armed.
  virtual std::optional<TimePoint> next_due() const = 0;
  /// Fires every timer due at or before `now` and returns when all that follows from them
  /// (responses sent, connections closed) has happened.
  virtual void run_due(TimePoint now) = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  /// Never goes back.
  virtual TimePoint now() const = 0;
  /// True if timers are to fire by themselves as real time passes. False for a clock that fires
  /// them through attached tickers alone.
  virtual bool runs_by_itself() const { return true; }
  /// Called by an emulator or a client when it starts and stops. A clock that is never moved by
  /// hand ignores both. detach() returns once no call of the ticker is under way.
  virtual void attach(Ticker& /*ticker*/) {}
  virtual void detach(Ticker& /*ticker*/) {}
};

/// The machine's monotonic clock.
class RealClock final : public Clock {
 public:
  TimePoint now() const override;
};

/// What the clocks that a caller moves have in common: the tickers, and how they are fired.
class MovableClock : public Clock {
 public:
  void attach(Ticker& ticker) override;
  void detach(Ticker& ticker) override;

  /// Moves time forward by `step` (negative steps count as zero). Stops on the way at each moment
  /// at which a timer falls due, so that what one timer sets in motion sees the right time. Returns
  /// when all that fell due has happened. Callers on several threads take turns; must not be called
  /// from inside a ticker's callback.
  void advance(Duration step);

 protected:
  /// Makes now() at least `time`.
  virtual void move_to(TimePoint time) = 0;

 private:
  std::optional<TimePoint> earliest_due() const;

  std::mutex tickers_mutex_;  // held while tickers run, so that none is detached under a call
  std::vector<Ticker*> tickers_;
};

/// A clock that stands still until it is told to move.
///
///   auto clock = std::make_shared<ManualClock>();
///   auto emulator = Emulator::start({.clock = clock});
///   clock->advance(30s);  // every lease of 30 s or less has expired when this returns
class ManualClock final : public MovableClock {
 public:
  explicit ManualClock(TimePoint start = TimePoint{} + std::chrono::hours{1});

  TimePoint now() const override;
  bool runs_by_itself() const override { return false; }

 private:
  void move_to(TimePoint time) override;

  mutable std::mutex mutex_;  // guards now_
  TimePoint now_;
};

/// The machine's clock with jumps: time passes by itself, and advance() moves it ahead.
class AdjustableClock final : public MovableClock {
 public:
  TimePoint now() const override;

 private:
  void move_to(TimePoint time) override;

  mutable std::mutex mutex_;  // guards ahead_
  Duration ahead_{};          // how far this clock is ahead of the machine's
};

}  // namespace hyperpod::base
