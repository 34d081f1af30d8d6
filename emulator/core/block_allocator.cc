// SPDX-License-Identifier: Apache-2.0
#include "core/block_allocator.h"

#include <algorithm>
#include <iterator>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::core {

namespace {
// In one piece: as many as are made in tens of microseconds.
constexpr std::pmr::pool_options nodes_at_once{.max_blocks_per_chunk = 1024,
                                               .largest_required_pool_block = 0};
}  // namespace

BlockAllocator::BlockAllocator(std::uint64_t blocks) : free_blocks_(blocks), nodes_(nodes_at_once) {
  if (blocks > 0) insert({0, blocks});
}

void BlockAllocator::insert(Extent extent) {
  free_by_first_.emplace(extent.first, extent.count);
  free_by_count_.emplace(extent.count, extent.first);
}

void BlockAllocator::erase(Extent extent) {
  free_by_first_.erase(extent.first);
  free_by_count_.erase({extent.count, extent.first});
}

std::uint64_t BlockAllocator::end_of_free(std::uint64_t block) const {
  const auto run = std::prev(free_by_first_.upper_bound(block));
  return run->first + run->second;
}

Extents BlockAllocator::free_extents(std::uint64_t first, std::size_t most) const {
  Extents extents;
  auto run = free_by_first_.lower_bound(first);
  for (; run != free_by_first_.end() && extents.size() < most; ++run) {
    extents.push_back({run->first, run->second});
  }
  return extents;
}

Extents BlockAllocator::allocate(std::uint64_t count, Portion portion) {
  HYPERPOD_REQUIRE(count <= free_blocks_);
  Extents extents;
  while (count > 0 && portion.blocks > 0 && extents.size() < portion.extents) {
    // Best fit; where no run is long enough, the longest, so that fragments stay few.
    auto fit = free_by_count_.lower_bound({count, 0});
    if (fit == free_by_count_.end()) fit = std::prev(fit);
    const Extent taken{fit->second, std::min({fit->first, count, portion.blocks})};
    take(taken);
    extents.push_back(taken);
    count -= taken.count;
    portion.blocks -= taken.count;
  }
  return extents;
}

Extents BlockAllocator::allocate_first(std::uint64_t count, std::uint64_t in_all, Portion portion) {
  HYPERPOD_REQUIRE(count <= in_all && count <= free_blocks_);
  const auto run = free_by_count_.lower_bound({in_all, 0});
  if (run == free_by_count_.end()) return allocate(count, portion);
  const Extent taken{run->second, std::min(count, portion.blocks)};
  take(taken);
  return {taken};
}

std::uint64_t BlockAllocator::take_at(std::uint64_t first, std::uint64_t most) {
  const auto run = free_by_first_.find(first);
  if (run == free_by_first_.end()) return 0;
  const std::uint64_t count = std::min(run->second, most);
  take({first, count});
  return count;
}

Extents BlockAllocator::allocate_apart(std::uint64_t count, std::optional<std::uint64_t>& from,
                                       Portion portion) {
  HYPERPOD_REQUIRE(count <= free_blocks_);
  const auto wanted = std::min({count, portion.blocks, std::uint64_t{portion.extents}});
  Extents extents;
  if (from) {
    auto run = free_by_first_.upper_bound(*from);
    if (run != free_by_first_.begin()) --run;
    for (; run != free_by_first_.end() && extents.size() < wanted; ++run) {
      const auto end = run->first + run->second;
      for (auto block = std::max(run->first, *from); block < end && extents.size() < wanted;
           block += 2) {
        extents.push_back({block, 1});
      }
    }
    if (extents.size() < wanted) {
      from.reset();
    } else if (wanted > 0) {
      from = extents.back().first + 2;
    }
  }
  for (const Extent& extent : extents) take(extent);
  while (extents.size() < wanted) {
    const Extent taken{free_by_first_.begin()->first, 1};
    take(taken);
    extents.push_back(taken);
  }
  return extents;
}

void BlockAllocator::take(Extent wanted) {
  const auto holder = std::prev(free_by_first_.upper_bound(wanted.first));
  const Extent free{holder->first, holder->second};
  erase(free);
  if (free.first < wanted.first) insert({free.first, wanted.first - free.first});
  const auto end = wanted.first + wanted.count;
  if (const auto free_end = free.first + free.count; end < free_end) insert({end, free_end - end});
  free_blocks_ -= wanted.count;
}

void BlockAllocator::release(Extent extent) {
  free_blocks_ += extent.count;
  const auto next = free_by_first_.lower_bound(extent.first);
  if (next != free_by_first_.begin()) {
    const auto [first, count] = *std::prev(next);
    if (first + count == extent.first) {
      erase({first, count});
      extent = {first, count + extent.count};
    }
  }
  if (const auto after = free_by_first_.find(extent.first + extent.count);
      after != free_by_first_.end()) {
    const Extent following{after->first, after->second};
    erase(following);
    extent.count += following.count;
  }
  insert(extent);
}

}  // namespace hyperpod::emulator::core
