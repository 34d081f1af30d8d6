// SPDX-License-Identifier: Apache-2.0
// How much memory the control groups of this process let it have. A segment counts as its memory,
// and the kernel kills, without a word, whoever takes more.
//
// Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::core {

/// In bytes.
struct MemoryLimit {
  std::uint64_t limit = 0;  ///< Memory and swap together.
  std::uint64_t used = 0;   ///< What cannot be reclaimed of what is taken already.
};

/// The least limit that holds for this process; nullopt where there is none, or none can be read.
/// Knows cgroup v2 and v1. `root` is put in front of /proc and /sys.
std::optional<MemoryLimit> memory_limit(const std::string& root = "");

/// Why a segment of `size` bytes cannot be had, or should not be relied on: empty if nothing
/// speaks against it. An error (segment_unusable) if all of it is reserved at once and so the
/// process would be killed for certain.
Result<std::string> judge_memory_limit(std::uint64_t size, bool reserved_at_once,
                                       const std::optional<MemoryLimit>& limit);

}  // namespace hyperpod::emulator::core
