// SPDX-License-Identifier: Apache-2.0
// Timers whose cost does not grow with their number: arming and cancelling are O(1), firing grows
// with the logarithm of those due in the same millisecond.
//
// A hierarchical wheel: six levels of 64 slots, the lowest a millisecond wide, each level 64 times
// as coarse as the one below. A timer stands in the level of the highest bit in which its
// millisecond differs from the present one, and moves down as that time nears. Only the timers of
// the present millisecond are sorted, so that each fires at its own nanosecond. Not thread-safe:
// the owner locks.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "hyperpod/emulator/clock.h"

namespace hyperpod::emulator::core {

/// Something that happens at a time. Derive from it and arm it in a wheel; destroying it disarms
/// it.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() = default;
  bool armed() const { return in_slot_.is_linked() || in_present_.is_linked(); }
  void disarm() {
    in_slot_.unlink();
    in_present_.unlink();
  }
  /// The time given when it was last armed.
  TimePoint due() const { return due_; }

 protected:
  /// Called by TimerWheel::run_due, disarmed already; may arm and disarm any timer, and destroy
  /// itself.
  virtual void on_due() = 0;

 private:
  friend class TimerWheel;
  using AutoUnlink = boost::intrusive::link_mode<boost::intrusive::auto_unlink>;
  friend bool operator<(const Timer& a, const Timer& b) { return a.due_ < b.due_; }

  TimePoint due_;
  boost::intrusive::list_member_hook<AutoUnlink> in_slot_;
  boost::intrusive::set_member_hook<AutoUnlink> in_present_;
};

class TimerWheel {
 public:
  explicit TimerWheel(TimePoint now);

  /// Arms or re-arms `timer`. It fires at the first run_due whose time is not before `due`.
  void arm(Timer& timer, TimePoint due);

  /// A time not after the first moment at which run_due would have something to do; nullopt if
  /// nothing is armed. May name a moment at which timers only move down a level.
  std::optional<TimePoint> next_due() const;

  /// Fires what is due at `now`, in order of time. No more than `most` timers are fired or moved
  /// down a level; true if some are left for another call. `now` must not go back.
  bool run_due(TimePoint now, std::size_t most = std::numeric_limits<std::size_t>::max());

 private:
  static constexpr int levels = 6;
  static constexpr int slot_bits = 6;
  static constexpr std::uint64_t slots = 1u << slot_bits;
  static constexpr std::uint64_t horizon = 1ull << (levels * slot_bits);

  using Slot = boost::intrusive::list<
      Timer, boost::intrusive::member_hook<Timer, decltype(Timer::in_slot_), &Timer::in_slot_>,
      boost::intrusive::constant_time_size<false>>;
  using Present = boost::intrusive::multiset<
      Timer,
      boost::intrusive::member_hook<Timer, decltype(Timer::in_present_), &Timer::in_present_>,
      boost::intrusive::constant_time_size<false>>;
  struct Stop {
    std::uint64_t tick;
    int level;
    std::uint64_t slot;
  };

  void place(Timer& timer);
  std::optional<Stop> next_stop() const;

  TimePoint origin_;
  std::uint64_t tick_ = 0;  // every tick before this one has been run
  Slot moving_;             // reached by tick_, and on their way down
  Present present_;         // due in this tick, or overdue
  std::array<std::array<Slot, slots>, levels> wheel_;
  // A bit per slot that may hold timers; bits of emptied slots are cleared when come across.
  mutable std::array<std::uint64_t, levels> occupied_{};
};

}  // namespace hyperpod::emulator::core
