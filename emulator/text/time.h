// SPDX-License-Identifier: Apache-2.0
// Times of the machine's clock as text.
//
// Pure functions; any thread.
#pragma once

#include <chrono>
#include <string>

namespace hyperpod::emulator::text {

/// "2026-11-28T23:05:16.123456Z" (RFC 3339, UTC); right before 1970 as well.
std::string utc_time(std::chrono::system_clock::time_point time);

}  // namespace hyperpod::emulator::text
