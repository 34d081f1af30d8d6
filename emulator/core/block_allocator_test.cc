// SPDX-License-Identifier: Apache-2.0
#include "core/block_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

namespace hyperpod::emulator::core {
namespace {

using testing::ElementsAre;

TEST(BlockAllocator, GivesOneRunWhereOneIsLongEnough) {
  BlockAllocator blocks(10);
  EXPECT_THAT(blocks.allocate(4, Placement::contiguous), ElementsAre(Extent{0, 4}));
  EXPECT_EQ(blocks.free_blocks(), 6u);
}

TEST(BlockAllocator, PrefersTheTightestRun) {
  BlockAllocator blocks(10);
  blocks.allocate(10, Placement::contiguous);
  blocks.release({0, 4});
  blocks.release({6, 2});
  EXPECT_THAT(blocks.allocate(2, Placement::contiguous), ElementsAre(Extent{6, 2}));
}

TEST(BlockAllocator, UsesTheLongestRunsWhereNoneIsLongEnough) {
  BlockAllocator blocks(10);
  blocks.allocate(10, Placement::contiguous);
  blocks.release({0, 1});
  blocks.release({2, 3});
  blocks.release({7, 2});
  EXPECT_THAT(blocks.allocate(5, Placement::contiguous), ElementsAre(Extent{2, 3}, Extent{7, 2}));
}

TEST(BlockAllocator, JoinsReleasedNeighbours) {
  BlockAllocator blocks(6);
  blocks.allocate(6, Placement::contiguous);
  blocks.release({0, 2});
  blocks.release({4, 2});
  blocks.release({2, 2});
  EXPECT_THAT(blocks.allocate(6, Placement::contiguous), ElementsAre(Extent{0, 6}));
}

TEST(BlockAllocator, ScatteredBlocksHaveGapsWhileThereIsRoom) {
  BlockAllocator blocks(6);
  EXPECT_THAT(blocks.allocate(3, Placement::scattered),
              ElementsAre(Extent{0, 1}, Extent{2, 1}, Extent{4, 1}));
  EXPECT_THAT(blocks.allocate(3, Placement::scattered),
              ElementsAre(Extent{1, 1}, Extent{3, 1}, Extent{5, 1}));
}

TEST(BlockAllocator, WorstCaseDescends) {
  BlockAllocator blocks(6);
  EXPECT_THAT(blocks.allocate(3, Placement::worst_case),
              ElementsAre(Extent{4, 1}, Extent{2, 1}, Extent{0, 1}));
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
    const auto placement =
        *rc::gen::element(Placement::contiguous, Placement::scattered, Placement::worst_case);
    Extents extents = blocks.allocate(count, placement);
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
