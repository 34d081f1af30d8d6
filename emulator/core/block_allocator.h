// SPDX-License-Identifier: Apache-2.0
// Which blocks of the segment are free, and how new objects are laid out in them.
//
// Pure bookkeeping in block numbers: no memory is touched. Not thread-safe: the owner locks.
#pragma once

#include <cstdint>
#include <map>
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

class BlockAllocator {
 public:
  explicit BlockAllocator(std::uint64_t blocks);

  std::uint64_t free_blocks() const { return free_blocks_; }

  /// The first block behind the free run that `block` lies in. REQUIRES that it is free.
  std::uint64_t end_of_free(std::uint64_t block) const;

  /// Every free run, in order.
  Extents free_extents() const;

  /// Takes `count` blocks, laid out as `placement` says. REQUIRES count <= free_blocks().
  Extents allocate(std::uint64_t count, Placement placement);
  /// As allocate() with Placement::contiguous, but begins where `in_all` blocks would begin, of
  /// which these are the first. REQUIRES count <= in_all.
  Extents allocate_first(std::uint64_t count, std::uint64_t in_all);
  /// Takes up to `most` free blocks that follow each other from block `first` on; returns how many.
  std::uint64_t take_at(std::uint64_t first, std::uint64_t most);

  /// Gives blocks back. REQUIRES that they are allocated.
  void release(Extent extent);

 private:
  Extents allocate_contiguous(std::uint64_t count);
  Extents allocate_apart(std::uint64_t count);
  void take(Extent wanted);
  void insert(Extent extent);
  void erase(Extent extent);

  std::uint64_t free_blocks_;
  std::map<std::uint64_t, std::uint64_t> free_by_first_;             // first block -> count
  std::set<std::pair<std::uint64_t, std::uint64_t>> free_by_count_;  // (count, first block)
};

}  // namespace hyperpod::emulator::core
