// SPDX-License-Identifier: Apache-2.0
// Which process the connections to a daemon belong to, as /proc tells.
//
// Pure functions of what the kernel says at the moment.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace hyperpod::conformance::client {

/// Whether all connections to this port of the loopback address are this process's own.
bool owns_all_connections(pid_t pid, std::uint16_t port);

}  // namespace hyperpod::conformance::client
