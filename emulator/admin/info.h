// SPDX-License-Identifier: Apache-2.0
// What runs, since when, and whether it is ready.
//
// Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "admin/control.h"
#include "admin/views.h"

namespace hyperpod::emulator::admin {

std::string_view version();

/// Version, address, start and the options in force, each under its key of the configuration file.
/// It does not change while the emulator runs.
Json info_view(const Control& control);

struct Readiness {
  bool ready = false;
  std::string reason{};  ///< Why not, with the way out.
};
/// Ready: requests are taken, the segment has its name, and a PUT could be given room.
Readiness readiness_of(const Control& control);
Json readiness_view(const Control& control);

/// What kind of clock, and whether it can be moved.
Json clock_view(Control& control);
/// The emulator's time in whole microseconds.
std::int64_t emulator_time(Control& control);
/// Moves a clock that can be moved, and returns when all that fell due has happened. False: this
/// one cannot.
bool move_clock(Clock& clock, std::chrono::milliseconds step);

}  // namespace hyperpod::emulator::admin
