// SPDX-License-Identifier: Apache-2.0
// How many descriptors the process may have open (RLIMIT_NOFILE).
#pragma once

#include <cstdint>

namespace hyperpod::base {

/// Raises the soft limit to the hard one, which child processes inherit: the usual soft limit of
/// 1,024 is less than a thousand connections need. For programs; a library leaves limits alone.
void raise_descriptor_limit() noexcept;

/// The soft limit: every descriptor that is opened has a number below it.
std::uint64_t descriptor_limit() noexcept;

}  // namespace hyperpod::base
