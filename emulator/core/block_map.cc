// SPDX-License-Identifier: Apache-2.0
#include "core/block_map.h"

#include <algorithm>
#include <utility>

namespace hyperpod::emulator::core {

BlockMap::BlockMap(std::uint64_t blocks) : holders_(blocks), cells_(std::min(blocks, most_cells)) {}

BlockMap::Shares BlockMap::shares_of(const Extents& extents) const {
  std::vector<std::uint64_t> blocks(cells_.size());
  for (const Extent& extent : extents) {
    for_each_cell(extent, [&](std::uint64_t cell, std::int64_t count) {
      blocks[cell] += static_cast<std::uint64_t>(count);
    });
  }
  Shares shares;
  for (std::uint64_t cell = 0; cell < blocks.size(); ++cell) {
    if (blocks[cell] > 0) shares.push_back({cell, blocks[cell]});
  }
  return shares;
}

void BlockMap::hold(Extent extent, const BlockHolder* holder) {
  std::fill_n(holders_.begin() + static_cast<std::ptrdiff_t>(extent.first), extent.count, holder);
}

void BlockMap::reserve(Extent extent, const BlockHolder& holder) {
  hold(extent, &holder);
  add(extent, holder.kind == BlockRun::Owner::put ? &Cell::put : &Cell::checkpoint, +1);
}

void BlockMap::give_back(Extent extent) {
  if (extent.count == 0) return;
  const bool put = holders_[extent.first]->kind == BlockRun::Owner::put;
  add(extent, put ? &Cell::put : &Cell::checkpoint, -1);
  hold(extent, nullptr);
}

void BlockMap::discard(Extent extent, std::uint8_t colour) {
  hold(extent, nullptr);
  for_each_cell(extent, [&](std::uint64_t cell, std::int64_t count) {
    cells_[cell].objects[colour] -= count;
  });
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
