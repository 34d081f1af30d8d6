// SPDX-License-Identifier: Apache-2.0
// Who holds the segment's blocks, one by one and in bins: for whoever lists or draws them.
//
// A change costs a store for each block and a few additions for each bin that it touches; a look at
// the bins copies a fixed number of them, however many objects there are. Not thread-safe: the
// owner locks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/block_allocator.h"
#include "hyperpod/emulator/state.h"

namespace hyperpod::emulator::core {

struct BlockHolder {
  BlockRun::Owner kind = BlockRun::Owner::free;
  const void* who = nullptr;  ///< What the owner of the map passed.
  friend bool operator==(const BlockHolder&, const BlockHolder&) = default;
};

class BlockMap {
 public:
  static constexpr std::uint64_t most_cells = 1024;

  /// Buckets beyond the palette share its last colour.
  static constexpr std::uint8_t shared_colour = MapState::colours;

  explicit BlockMap(std::uint64_t blocks);

  // Blocks go from free to a PUT, from the PUT to an object or back, and from the object to free;
  // or from free to a checkpoint and back.
  void reserve(Extent extent, BlockHolder holder);
  void give_back(Extent extent);
  void store(Extent extent, const void* object, std::uint8_t colour);
  void discard(Extent extent, std::uint8_t colour);
  /// The object was evicted to make room for others.
  void count_eviction(Extent extent) { add(extent, &Cell::evicted, +1); }
  void pin(Extent extent) { add(extent, &Cell::pinned, +1); }
  void unpin(Extent extent) { add(extent, &Cell::pinned, -1); }

  /// A colour for a bucket that comes into being, and its return when the bucket goes.
  std::uint8_t claim_colour(std::string_view bucket);
  void return_colour(std::uint8_t colour);

  std::uint64_t blocks() const { return holders_.size(); }
  BlockHolder holder(std::uint64_t block) const { return holders_[block]; }
  MapState state() const;

 private:
  struct Cell {
    std::int64_t put = 0;
    std::int64_t checkpoint = 0;
    std::int64_t pinned = 0;
    std::int64_t evicted = 0;
    std::array<std::int64_t, MapState::colours + 1> objects{};  // by colour; none has 0
  };

  /// Calls `change` with each cell that `extent` touches and the number of its blocks there.
  template <class Change>
  void for_each_cell(Extent extent, Change change);
  void add(Extent extent, std::int64_t Cell::*member, std::int64_t sign);
  void hold(Extent extent, BlockHolder holder);

  std::vector<BlockHolder> holders_;  // by block
  std::vector<Cell> cells_;
  std::array<std::string, MapState::colours> names_;  // by colour; empty: free
};

}  // namespace hyperpod::emulator::core
