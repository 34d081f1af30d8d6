// SPDX-License-Identifier: Apache-2.0
// What several rows need before they can measure.
#pragma once

#include <cstdint>

#include "error.h"
#include "servers.h"

namespace hyperpod::bench {

/// Threads of the load generator, for every server alike: one a core. bench/README.md has the
/// figures behind it.
std::size_t load_threads();

constexpr std::uint64_t small_segment = 64ull << 20;

/// Stores objects 0 … count - 1 of 1 KiB over so many connections.
Result<void> store_objects(std::uint16_t port, std::uint64_t count, std::size_t connections);

/// An emulator with a small segment that holds objects 0 … count - 1.
Result<Server> start_emulator_with_objects(std::uint64_t count,
                                           const std::vector<std::string>& more = {});

}  // namespace hyperpod::bench
