// Timers whose cost does not grow with their number: arming, cancelling and firing are O(1).
//
// A hierarchical wheel: six levels of 64 slots, the lowest a millisecond wide, each level 64 times
// as coarse as the one below. A timer stands in the level of the highest bit in which its tick
// differs from the present one, and moves down as that time nears. Not thread-safe: the owner
// locks.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <optional>

#include "hyperpod/emulator/clock.h"

namespace hyperpod::emulator {

/// Something that happens at a time. Derive from it and arm it in a wheel; destroying it disarms
/// it.
class Timer : public boost::intrusive::list_base_hook<
                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~Timer() = default;
  bool armed() const { return is_linked(); }
  void disarm() {
    if (is_linked()) unlink();
  }
  /// The time given when it was last armed.
  TimePoint due() const { return due_; }

 protected:
  /// Called by TimerWheel::run_due, disarmed already; may arm and disarm any timer, and destroy
  /// itself.
  virtual void on_due() = 0;

 private:
  friend class TimerWheel;
  TimePoint due_;
};

class TimerWheel {
 public:
  explicit TimerWheel(TimePoint now);

  /// Arms or re-arms `timer`. It fires at the first run_due whose time is not before `due`, and
  /// never early; resolution is a millisecond.
  void arm(Timer& timer, TimePoint due);

  /// A time not after the first moment at which run_due would have something to do; nullopt if
  /// nothing is armed. May name a moment at which timers only move down a level.
  std::optional<TimePoint> next_due() const;

  /// Fires what is due at `now`, in order of milliseconds. `now` must not go back.
  void run_due(TimePoint now);

 private:
  static constexpr int levels = 6;
  static constexpr int slot_bits = 6;
  static constexpr std::uint64_t slots = 1u << slot_bits;
  static constexpr std::uint64_t horizon = 1ull << (levels * slot_bits);

  using Slot = boost::intrusive::list<Timer, boost::intrusive::constant_time_size<false>>;
  struct Stop {
    std::uint64_t tick;
    int level;
    std::uint64_t slot;
  };

  void place(Timer& timer);
  std::optional<Stop> next_stop() const;

  TimePoint origin_;
  std::uint64_t tick_ = 0;  // every tick up to this one has been run
  Slot due_now_;            // armed for a tick that has been run already
  std::array<std::array<Slot, slots>, levels> wheel_;
  // A bit per slot that may hold timers; bits of emptied slots are cleared when come across.
  mutable std::array<std::uint64_t, levels> occupied_{};
};

}  // namespace hyperpod::emulator
