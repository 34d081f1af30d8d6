// SPDX-License-Identifier: Apache-2.0
#include "core/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace hyperpod::emulator::core {
namespace {

using Tick = std::chrono::milliseconds;

}  // namespace

TimerWheel::TimerWheel(TimePoint now) : origin_(now) {}

void TimerWheel::arm(Timer& timer, TimePoint due) {
  timer.disarm();
  timer.due_ = due;
  place(timer);
}

void TimerWheel::place(Timer& timer) {
  const auto wanted = std::chrono::floor<Tick>(timer.due_ - origin_).count();
  if (wanted <= static_cast<std::int64_t>(tick_)) {
    present_.insert(timer);
    return;
  }
  // Beyond the horizon a timer waits in the furthest slot and is placed again from there.
  const auto tick = std::min(static_cast<std::uint64_t>(wanted), tick_ + horizon / 2);
  const auto differing = std::min<std::uint64_t>(tick ^ tick_, horizon - 1);
  const int level = (std::bit_width(differing) - 1) / slot_bits;
  const auto slot = (tick >> (level * slot_bits)) % slots;
  wheel_[static_cast<std::size_t>(level)][slot].push_back(timer);
  // Nearly always set, and then left as it is, in the cache of each processor that arms timers.
  auto& occupied = occupied_[static_cast<std::size_t>(level)];
  if ((occupied >> slot & 1) == 0) occupied |= 1ull << slot;
}

std::optional<TimerWheel::Stop> TimerWheel::next_stop() const {
  // A lower level always holds earlier ticks than a higher one, so the first found is the earliest.
  for (int level = 0; level < levels; ++level) {
    const auto index = static_cast<std::size_t>(level);
    const int shift = level * slot_bits;
    const auto here = (tick_ >> shift) % slots;
    while (occupied_[index] != 0) {
      const int ahead = std::countr_zero(std::rotr(occupied_[index], static_cast<int>(here)));
      const auto slot = (here + static_cast<std::uint64_t>(ahead)) % slots;
      if (wheel_[index][slot].empty()) {
        occupied_[index] &= ~(1ull << slot);
        continue;
      }
      return Stop{((tick_ >> shift) + static_cast<std::uint64_t>(ahead)) << shift, level, slot};
    }
  }
  return std::nullopt;
}

std::optional<TimePoint> TimerWheel::next_due() const {
  if (!moving_.empty()) return origin_ + Tick(tick_);
  if (!present_.empty()) return present_.begin()->due_;
  const auto stop = next_stop();
  if (!stop) return std::nullopt;
  return origin_ + Tick(stop->tick);
}

bool TimerWheel::run_due(TimePoint now, std::size_t most) {
  const auto elapsed = std::chrono::floor<Tick>(now - origin_).count();
  const auto target =
      std::max(tick_, static_cast<std::uint64_t>(std::max<std::int64_t>(elapsed, 0)));
  while (true) {
    // First, for they may be due before what has been placed.
    while (!moving_.empty()) {
      if (most-- == 0) return true;
      Timer& timer = moving_.front();
      moving_.pop_front();
      place(timer);
    }
    while (!present_.empty() && present_.begin()->due_ <= now) {
      if (most-- == 0) return true;
      Timer& timer = *present_.begin();
      timer.disarm();
      timer.on_due();
    }
    const auto stop = next_stop();
    if (!stop || stop->tick > target) break;
    tick_ = stop->tick;
    moving_.swap(wheel_[static_cast<std::size_t>(stop->level)][stop->slot]);
  }
  tick_ = target;
  return false;
}

}  // namespace hyperpod::emulator::core
