// SPDX-License-Identifier: Apache-2.0
// Which blocks of the segment are free, and how new objects are laid out in them.
//
// Pure bookkeeping in block numbers: no memory is touched. Not thread-safe: the owner locks.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory_resource>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::core {

/// A run of `count` neighbouring blocks.
struct Extent {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  friend bool operator==(const Extent&, const Extent&) = default;
};

using Extents = std::vector<Extent>;

/// What one call may take, so that whoever holds a lock meanwhile does not hold it for long.
struct Portion {
  std::size_t extents = std::numeric_limits<std::size_t>::max();
  std::uint64_t blocks = std::numeric_limits<std::uint64_t>::max();
};

/// Stays where it is made.
class BlockAllocator {
 public:
  explicit BlockAllocator(std::uint64_t blocks);

  std::uint64_t free_blocks() const { return free_blocks_; }

  /// The first block behind the free run that `block` lies in. REQUIRES that it is free.
  std::uint64_t end_of_free(std::uint64_t block) const;

  /// At most `most` free runs, in order: those that begin at `first` or behind it.
  Extents free_extents(std::uint64_t first, std::size_t most) const;

  // The calls below take `count` blocks, or as many of them as `portion` allows; a further call
  // takes the rest. They REQUIRE count <= free_blocks().

  /// One run if there is one so long, else as few as possible.
  Extents allocate(std::uint64_t count, Portion portion = {});
  /// As allocate(), but begins where `in_all` blocks would begin, of which these are the first.
  /// REQUIRES count <= in_all.
  Extents allocate_first(std::uint64_t count, std::uint64_t in_all, Portion portion = {});
  /// No two blocks side by side, from block `from` on; `from` is moved to where a further call goes
  /// on. Where there is no more room for gaps, and if `from` is nullopt, neighbours are taken,
  /// still an extent each.
  Extents allocate_apart(std::uint64_t count, std::optional<std::uint64_t>& from,
                         Portion portion = {});
  /// Takes up to `most` free blocks that follow each other from block `first` on; returns how many.
  std::uint64_t take_at(std::uint64_t first, std::uint64_t most);

  /// Gives blocks back. REQUIRES that they are allocated.
  void release(Extent extent);

 private:
  void take(Extent wanted);
  void insert(Extent extent);
  void erase(Extent extent);

  std::uint64_t free_blocks_;
  // Nodes come from here and go back here: a call that frees one leaves the heap alone, which now
  // and then takes milliseconds to put together what a million others have left.
  std::pmr::unsynchronized_pool_resource nodes_;
  std::pmr::map<std::uint64_t, std::uint64_t> free_by_first_{&nodes_};  // first block -> count
  std::pmr::set<std::pair<std::uint64_t, std::uint64_t>> free_by_count_{
      &nodes_};  // (count, first block)
};

}  // namespace hyperpod::emulator::core
