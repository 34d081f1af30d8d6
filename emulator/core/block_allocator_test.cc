// SPDX-License-Identifier: Apache-2.0
#include "core/block_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <vector>

namespace hyperpod::emulator::core {
namespace {

using testing::ElementsAre;

Extents apart(BlockAllocator& blocks, std::uint64_t count) {
  std::optional<std::uint64_t> from = 0;
  return blocks.allocate_apart(count, from);
}

std::vector<std::uint64_t> blocks_of(const Extents& extents) {
  std::vector<std::uint64_t> all;
  for (const Extent& extent : extents) {
    for (std::uint64_t i = 0; i < extent.count; ++i) all.push_back(extent.first + i);
  }
  return all;
}

TEST(BlockAllocator, GivesOneRunWhereOneIsLongEnough) {
  BlockAllocator blocks(10);
  EXPECT_THAT(blocks.allocate(4), ElementsAre(Extent{0, 4}));
  EXPECT_EQ(blocks.free_blocks(), 6u);
}

TEST(BlockAllocator, PrefersTheTightestRun) {
  BlockAllocator blocks(10);
  blocks.allocate(10);
  blocks.release({0, 4});
  blocks.release({6, 2});
  EXPECT_THAT(blocks.allocate(2), ElementsAre(Extent{6, 2}));
}

TEST(BlockAllocator, UsesTheLongestRunsWhereNoneIsLongEnough) {
  BlockAllocator blocks(10);
  blocks.allocate(10);
  blocks.release({0, 1});
  blocks.release({2, 3});
  blocks.release({7, 2});
  EXPECT_THAT(blocks.allocate(5), ElementsAre(Extent{2, 3}, Extent{7, 2}));
}

TEST(BlockAllocator, JoinsReleasedNeighbours) {
  BlockAllocator blocks(6);
  blocks.allocate(6);
  blocks.release({0, 2});
  blocks.release({4, 2});
  blocks.release({2, 2});
  EXPECT_THAT(blocks.allocate(6), ElementsAre(Extent{0, 6}));
}

TEST(BlockAllocator, ScatteredBlocksHaveGapsWhileThereIsRoom) {
  BlockAllocator blocks(6);
  EXPECT_THAT(apart(blocks, 3), ElementsAre(Extent{0, 1}, Extent{2, 1}, Extent{4, 1}));
  EXPECT_THAT(apart(blocks, 3), ElementsAre(Extent{1, 1}, Extent{3, 1}, Extent{5, 1}));
}

TEST(BlockAllocator, TakesInPortionsWhatItWouldTakeAtOnce) {
  const auto wear = [](BlockAllocator& blocks) {
    blocks.allocate(40);
    for (const std::uint64_t first : {1u, 5u, 9u, 20u, 30u}) blocks.release({first, 3});
    blocks.release({12, 6});
  };
  for (const std::uint64_t count : {1u, 5u, 9u, 13u, 21u}) {
    BlockAllocator at_once(40);
    wear(at_once);
    const auto all = blocks_of(at_once.allocate(count));
    for (const Portion portion : {Portion{.extents = 1}, Portion{.extents = 2}}) {
      BlockAllocator in_portions(40);
      wear(in_portions);
      std::vector<std::uint64_t> together;
      while (together.size() < count) {
        const auto some = in_portions.allocate(count - together.size(), portion);
        EXPECT_LE(some.size(), portion.extents);
        std::ranges::copy(blocks_of(some), std::back_inserter(together));
      }
      EXPECT_EQ(together, all) << count;
    }
    BlockAllocator apart_at_once(40);
    BlockAllocator apart_in_portions(40);
    wear(apart_at_once);
    wear(apart_in_portions);
    std::vector<std::uint64_t> together;
    std::optional<std::uint64_t> from = 0;
    while (together.size() < count) {
      const auto some =
          apart_in_portions.allocate_apart(count - together.size(), from, {.extents = 2});
      EXPECT_LE(some.size(), 2u);
      std::ranges::copy(blocks_of(some), std::back_inserter(together));
    }
    EXPECT_EQ(together, blocks_of(apart(apart_at_once, count))) << count;
  }
}

TEST(BlockAllocator, TakesNoMoreBlocksAtOnceThanAllowed) {
  BlockAllocator blocks(10);
  EXPECT_THAT(blocks.allocate_first(8, 9, {.blocks = 3}), ElementsAre(Extent{0, 3}));
  EXPECT_THAT(blocks.allocate(5, {.blocks = 3}), ElementsAre(Extent{3, 3}));
}

TEST(BlockAllocator, ListsFreeRunsFromABlockOn) {
  BlockAllocator blocks(10);
  blocks.allocate(10);
  for (const std::uint64_t first : {0u, 4u, 8u}) blocks.release({first, 2});
  EXPECT_THAT(blocks.free_extents(0, 2), ElementsAre(Extent{0, 2}, Extent{4, 2}));
  EXPECT_THAT(blocks.free_extents(6, 2), ElementsAre(Extent{8, 2}));
}

RC_GTEST_PROP(BlockAllocatorProperty, NeverGivesABlockTwiceAndLosesNone, ()) {
  constexpr std::uint64_t total = 64;
  BlockAllocator blocks(total);
  std::vector<bool> taken(total, false);
  std::vector<Extents> held;
  const auto steps = *rc::gen::inRange(1, 80);
  for (int step = 0; step < steps; ++step) {
    if (!held.empty() && *rc::gen::arbitrary<bool>()) {
      const auto which = *rc::gen::inRange<std::size_t>(0, held.size());
      for (const Extent& extent : held[which]) {
        blocks.release(extent);
        for (auto b = extent.first; b < extent.first + extent.count; ++b) taken[b] = false;
      }
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      continue;
    }
    const auto count = *rc::gen::inRange<std::uint64_t>(0, blocks.free_blocks() + 1);
    Extents extents = *rc::gen::arbitrary<bool>() ? blocks.allocate(count) : apart(blocks, count);
    std::uint64_t got = 0;
    for (const Extent& extent : extents) {
      got += extent.count;
      for (auto b = extent.first; b < extent.first + extent.count; ++b) {
        RC_ASSERT(b < total);
        RC_ASSERT(!taken[b]);
        taken[b] = true;
      }
    }
    RC_ASSERT(got == count);
    held.push_back(std::move(extents));
    const auto used = static_cast<std::uint64_t>(std::count(taken.begin(), taken.end(), true));
    RC_ASSERT(used + blocks.free_blocks() == total);
  }
}

}  // namespace
}  // namespace hyperpod::emulator::core
