// SPDX-License-Identifier: Apache-2.0
// Tells a process from the children that it forks: what has threads, sockets or locks is of no use
// on the other side of a fork().
#pragma once

#include <cstdint>
#include <memory>

namespace hyperpod::client {

/// A number that differs in a child from what it was in the parent before the fork. Any thread.
std::uint32_t fork_generation() noexcept;

/// Keeps `object` from ever being destroyed, as in a child, where its threads and the holders of
/// its locks are not. Any thread.
void keep_forever(std::shared_ptr<const void> object) noexcept;

}  // namespace hyperpod::client
