// SPDX-License-Identifier: Apache-2.0
// Time as the client sees it: hyperpod/base/clock.h under this library's names. Leases, deadlines,
// the circuit breaker, the queue's order, idle connections, connection attempts and the retries of
// releases all read one Clock.
#pragma once

#include "hyperpod/base/clock.h"

namespace hyperpod::client {

using base::AdjustableClock;
using base::Clock;
using base::Duration;
using base::ManualClock;
using base::RealClock;
using base::TimePoint;

}  // namespace hyperpod::client
