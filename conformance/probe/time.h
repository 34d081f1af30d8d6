// SPDX-License-Identifier: Apache-2.0
// Real time, by which daemons and clients are judged.
#pragma once

#include <chrono>
#include <string>

#include "rooms.h"

namespace hyperpod::conformance::probe {

inline TimePoint now() { return std::chrono::steady_clock::now(); }

/// For messages: milliseconds with one decimal, as "1234.5 ms".
std::string in_ms(Duration duration);

}  // namespace hyperpod::conformance::probe
