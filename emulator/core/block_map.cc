// SPDX-License-Identifier: Apache-2.0
#include "core/block_map.h"

#include <algorithm>
#include <utility>

namespace hyperpod::emulator::core {

BlockMap::BlockMap(std::uint64_t blocks) : holders_(blocks), cells_(std::min(blocks, most_cells)) {}

template <class Change>
void BlockMap::for_each_cell(Extent extent, Change change) {
  const std::uint64_t cells = cells_.size();
  const std::uint64_t blocks = holders_.size();
  std::uint64_t block = extent.first;
  const std::uint64_t end = extent.first + extent.count;
  while (block < end) {
    const std::uint64_t cell = block * cells / blocks;
    // Cell c has the blocks b with b * cells / blocks == c.
    const std::uint64_t next = ((cell + 1) * blocks + cells - 1) / cells;
    const std::uint64_t until = std::min(end, next);
    change(cells_[cell], static_cast<std::int64_t>(until - block));
    block = until;
  }
}

void BlockMap::add(Extent extent, std::int64_t Cell::*member, std::int64_t sign) {
  for_each_cell(extent, [&](Cell& cell, std::int64_t count) { cell.*member += sign * count; });
}

void BlockMap::hold(Extent extent, BlockHolder holder) {
  std::fill_n(holders_.begin() + static_cast<std::ptrdiff_t>(extent.first), extent.count, holder);
}

void BlockMap::reserve(Extent extent, BlockHolder holder) {
  hold(extent, holder);
  add(extent, holder.kind == BlockRun::Owner::put ? &Cell::put : &Cell::checkpoint, +1);
}

void BlockMap::give_back(Extent extent) {
  if (extent.count == 0) return;
  const bool put = holders_[extent.first].kind == BlockRun::Owner::put;
  add(extent, put ? &Cell::put : &Cell::checkpoint, -1);
  hold(extent, {});
}

void BlockMap::store(Extent extent, const void* object, std::uint8_t colour) {
  hold(extent, {BlockRun::Owner::object, object});
  for_each_cell(extent, [&](Cell& cell, std::int64_t count) {
    cell.put -= count;
    cell.objects[colour] += count;
  });
}

void BlockMap::discard(Extent extent, std::uint8_t colour) {
  hold(extent, {});
  for_each_cell(extent, [&](Cell& cell, std::int64_t count) { cell.objects[colour] -= count; });
}

std::uint8_t BlockMap::claim_colour(std::string_view bucket) {
  const auto free = std::find_if(names_.begin() + 1, names_.end(),
                                 [](const std::string& name) { return name.empty(); });
  if (free == names_.end()) return shared_colour;
  *free = bucket;
  return static_cast<std::uint8_t>(free - names_.begin());
}

void BlockMap::return_colour(std::uint8_t colour) {
  if (colour != shared_colour) names_[colour].clear();
}

MapState BlockMap::state() const {
  MapState state;
  state.blocks = holders_.size();
  state.cells.reserve(cells_.size());
  bool shared = false;
  for (const Cell& cell : cells_) {
    const auto most = std::ranges::max_element(cell.objects);
    MapState::Cell& shown = state.cells.emplace_back();
    for (const std::int64_t count : cell.objects)
      shown.objects += static_cast<std::uint64_t>(count);
    shown.put = static_cast<std::uint64_t>(cell.put);
    shown.checkpoint = static_cast<std::uint64_t>(cell.checkpoint);
    shown.pinned = static_cast<std::uint64_t>(cell.pinned);
    shown.evicted = static_cast<std::uint64_t>(cell.evicted);
    if (*most > 0) shown.colour = static_cast<std::uint8_t>(most - cell.objects.begin());
    shared = shared || cell.objects[shared_colour] > 0;
  }
  for (std::uint8_t colour = 1; colour < shared_colour; ++colour) {
    if (!names_[colour].empty()) state.buckets.push_back({names_[colour], colour});
  }
  if (shared) state.buckets.push_back({"", shared_colour});
  return state;
}

}  // namespace hyperpod::emulator::core
