// SPDX-License-Identifier: Apache-2.0
// Who holds the segment's blocks, one by one and in bins: for whoever lists or draws them.
//
// Taking and freeing a block costs a store for it and a few additions for each bin that is touched;
// what else becomes of blocks costs only the additions. A look at the bins copies a fixed number of
// them, however many objects there are. Not thread-safe: the owner locks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/block_allocator.h"
#include "hyperpod/emulator/state.h"

namespace hyperpod::emulator::core {

/// Whoever changes it changes what the map says of all blocks that it holds.
struct BlockHolder {
  BlockRun::Owner kind = BlockRun::Owner::free;
  const void* who = nullptr;  ///< What the owner of the map passed.
};

class BlockMap {
 public:
  static constexpr std::uint64_t most_cells = 1024;

  /// Buckets beyond the palette share its last colour.
  static constexpr std::uint8_t shared_colour = MapState::colours;

  /// So many blocks in one bin.
  struct Share {
    std::uint64_t cell = 0;
    std::uint64_t blocks = 0;
  };
  using Shares = std::vector<Share>;

  explicit BlockMap(std::uint64_t blocks);

  /// What `extents` have in each bin: at most most_cells, however many they are. Reads nothing that
  /// changes, so it needs no lock.
  Shares shares_of(const Extents& extents) const;

  // Blocks go from free to a PUT, from the PUT to an object or back, and from the object to free;
  // or from free to a checkpoint and back. `holder` must live until the blocks are free again.
  void reserve(Extent extent, const BlockHolder& holder);
  void give_back(Extent extent);
  void discard(Extent extent, std::uint8_t colour);

  // What follows counts in the bins alone, of an extent or of its shares.

  /// Blocks of a PUT are an object's from now on; their holder says so by itself.
  template <class Part>
  void store(const Part& part, std::uint8_t colour);
  /// The object was evicted to make room for others.
  template <class Part>
  void count_eviction(const Part& part) {
    add(part, &Cell::evicted, +1);
  }
  template <class Part>
  void pin(const Part& part) {
    add(part, &Cell::pinned, +1);
  }
  template <class Part>
  void unpin(const Part& part) {
    add(part, &Cell::pinned, -1);
  }

  /// A colour for a bucket that comes into being, and its return when the bucket goes.
  std::uint8_t claim_colour(std::string_view bucket);
  void return_colour(std::uint8_t colour);

  std::uint64_t blocks() const { return holders_.size(); }
  /// Null if the block is free.
  const BlockHolder* holder(std::uint64_t block) const { return holders_[block]; }
  MapState state() const;

 private:
  struct Cell {
    std::int64_t put = 0;
    std::int64_t checkpoint = 0;
    std::int64_t pinned = 0;
    std::int64_t evicted = 0;
    std::array<std::int64_t, MapState::colours + 1> objects{};  // by colour; none has 0
  };

  /// Calls `change` with each cell that the extent touches and the number of its blocks there.
  template <class Change>
  void for_each_cell(Extent extent, Change change) const;
  template <class Change>
  void for_each_cell(Share share, Change change) const {
    change(share.cell, static_cast<std::int64_t>(share.blocks));
  }
  template <class Part>
  void add(const Part& part, std::int64_t Cell::*member, std::int64_t sign) {
    for_each_cell(part, [&](std::uint64_t cell, std::int64_t count) {
      cells_[cell].*member += sign * count;
    });
  }
  void hold(Extent extent, const BlockHolder* holder);

  std::vector<const BlockHolder*> holders_;  // by block; null: free
  std::vector<Cell> cells_;
  std::array<std::string, MapState::colours> names_;  // by colour; empty: free
};

template <class Change>
void BlockMap::for_each_cell(Extent extent, Change change) const {
  const std::uint64_t cells = cells_.size();
  const std::uint64_t blocks = holders_.size();
  std::uint64_t block = extent.first;
  const std::uint64_t end = extent.first + extent.count;
  while (block < end) {
    const std::uint64_t cell = block * cells / blocks;
    // Cell c has the blocks b with b * cells / blocks == c.
    const std::uint64_t next = ((cell + 1) * blocks + cells - 1) / cells;
    const std::uint64_t until = std::min(end, next);
    change(cell, static_cast<std::int64_t>(until - block));
    block = until;
  }
}

template <class Part>
void BlockMap::store(const Part& part, std::uint8_t colour) {
  for_each_cell(part, [&](std::uint64_t cell, std::int64_t count) {
    cells_[cell].put -= count;
    cells_[cell].objects[colour] += count;
  });
}

}  // namespace hyperpod::emulator::core
