// SPDX-License-Identifier: Apache-2.0
// Sizes and durations as people write them: "64MiB", "30s".
//
// Pure functions; any thread. An Error's message is complete but for the name of the option.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::text {

/// Bytes of a whole number with a binary unit: B, KiB, MiB, GiB, TiB or PiB, nothing between or
/// around them. The unit is required, as in the real daemon's file ("1GiB"), so that nobody takes
/// bytes for megabytes.
Result<std::uint64_t> parse_size(std::string_view text);

/// The shortest form that parse_size reads back: the largest unit that divides `bytes`.
std::string format_size(std::uint64_t bytes);

/// A whole number with a unit: ms, s, min or h. The unit is required.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

/// The shortest form that parse_duration reads back. `duration` is not negative.
std::string format_duration(std::chrono::milliseconds duration);

}  // namespace hyperpod::emulator::text
