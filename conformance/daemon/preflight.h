// SPDX-License-Identifier: Apache-2.0
// Is there such a daemon at all, and is this its segment? Asked once before a run, so that a wrong
// address or name gives one sentence instead of a hundred failures.
#pragma once

#include <memory>

#include "daemon/suite.h"

namespace hyperpod::conformance::daemon {

/// The mapped segment of the daemon, or what stands in the way. Lenient: a daemon that gets much
/// wrong passes, for telling that is the checks' business. `seed` is that of no earlier run, for
/// the bytes made from it are looked for in the segment.
tl::expected<std::shared_ptr<const Segment>, Obstacle> preflight(const Target& target,
                                                                 std::uint64_t seed);

}  // namespace hyperpod::conformance::daemon
