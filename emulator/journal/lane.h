// SPDX-License-Identifier: Apache-2.0
// Where a thread records: memory of its own, which processors do not take from each other.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>

#include "journal/chunk.h"
#include "journal/head_ring.h"
#include "journal/totals.h"

namespace hyperpod::emulator::journal {

/// The mutex guards the rest.
struct alignas(64) Lane {
  /// REQUIRES a chunk that has room for so many bytes, which are Chunk::size_of(entry).
  void append(const JournalEntry& entry, std::size_t size, const HeadPlace& heads);

  std::mutex mutex;
  std::uint16_t number = 0;
  std::uint64_t recorded = 0;    // ever
  std::unique_ptr<Chunk> chunk;  // none before the first entry
  HeadRing heads;
  Totals totals;

  // What is to be added to a time of the steady clock to have that of the system's, and when that
  // was found out.
  std::chrono::nanoseconds to_system_time{};
  std::optional<std::chrono::steady_clock::time_point> looked_at_system_time;
};

/// Threads have lanes of their own while no more than sixteen have recorded; those that share one
/// wait for each other.
using Lanes = std::array<Lane, 16>;

/// How many entries the lanes have ever recorded. REQUIRES AllLanes.
std::uint64_t recorded(const Lanes& lanes);

/// Holds the mutexes of all lanes.
class AllLanes {
 public:
  explicit AllLanes(Lanes& lanes) {
    for (std::size_t i = 0; i < lanes.size(); ++i) locks_[i] = std::unique_lock(lanes[i].mutex);
  }

 private:
  std::array<std::unique_lock<std::mutex>, std::tuple_size_v<Lanes>> locks_;
};

}  // namespace hyperpod::emulator::journal
