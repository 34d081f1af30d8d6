// SPDX-License-Identifier: Apache-2.0
// Time as the emulator sees it: hyperpod/base/clock.h under this library's names.
#pragma once

#include "hyperpod/base/clock.h"

namespace hyperpod::emulator {

using base::AdjustableClock;
using base::Clock;
using base::Duration;
using base::ManualClock;
using base::RealClock;
using base::Ticker;
using base::TimePoint;

}  // namespace hyperpod::emulator
