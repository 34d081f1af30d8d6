// SPDX-License-Identifier: Apache-2.0
#include "core/block_map.h"

#include <gmock/gmock.h>

namespace hyperpod::emulator::core {
namespace {

using testing::IsEmpty;

std::uint64_t sum(const MapState& state, std::uint64_t MapState::Cell::*member) {
  std::uint64_t all = 0;
  for (const MapState::Cell& cell : state.cells) all += cell.*member;
  return all;
}

TEST(BlockMap, FollowsABlockFromAPutToAnObjectAndBack) {
  BlockMap map(4);
  const int object = 0;
  BlockHolder holder{BlockRun::Owner::put, &map};
  map.reserve({1, 2}, holder);
  EXPECT_EQ(map.holder(1), &holder);
  EXPECT_EQ(map.state().cells[1].put, 1u);
  map.give_back({2, 1});
  const auto colour = map.claim_colour("bucket");
  holder = {BlockRun::Owner::object, &object};
  const Extent stored{1, 1};
  map.store(stored, colour);
  map.pin(stored);
  MapState state = map.state();
  EXPECT_EQ(state.cells[1].put, 0u);
  EXPECT_EQ(state.cells[1].objects, 1u);
  EXPECT_EQ(state.cells[1].pinned, 1u);
  EXPECT_EQ(state.cells[1].colour, colour);
  EXPECT_EQ(state.cells[2].put, 0u);
  map.unpin(stored);
  map.count_eviction(stored);
  map.discard(stored, colour);
  EXPECT_EQ(map.holder(1), nullptr);
  EXPECT_EQ(map.holder(2), nullptr);
  state = map.state();
  EXPECT_EQ(state.cells[1].objects, 0u);
  EXPECT_EQ(state.cells[1].pinned, 0u);
  EXPECT_EQ(state.cells[1].evicted, 1u);
  EXPECT_EQ(state.cells[1].colour, 0u);
}

TEST(BlockMap, CountsTheSharesOfManyExtentsAsTheExtents) {
  constexpr std::uint64_t blocks = 10'007;
  const BlockHolder holder{BlockRun::Owner::put, nullptr};
  BlockMap one_by_one(blocks);
  BlockMap in_shares(blocks);
  Extents extents;
  for (std::uint64_t first = 0; first + 3 < blocks; first += 5) extents.push_back({first, 3});
  for (BlockMap* const map : {&one_by_one, &in_shares}) {
    for (const Extent& extent : extents) map->reserve(extent, holder);
  }
  for (const Extent& extent : extents) {
    one_by_one.store(extent, 1);
    one_by_one.pin(extent);
    one_by_one.count_eviction(extent);
  }
  const BlockMap::Shares shares = in_shares.shares_of(extents);
  EXPECT_EQ(shares.size(), BlockMap::most_cells) << "they lie in every bin";
  for (const BlockMap::Share& share : shares) {
    in_shares.store(share, 1);
    in_shares.pin(share);
    in_shares.count_eviction(share);
  }
  const MapState expected = one_by_one.state();
  const MapState state = in_shares.state();
  for (std::size_t cell = 0; cell < BlockMap::most_cells; ++cell) {
    EXPECT_EQ(state.cells[cell].put, 0u);
    EXPECT_EQ(state.cells[cell].objects, expected.cells[cell].objects);
    EXPECT_EQ(state.cells[cell].pinned, expected.cells[cell].pinned);
    EXPECT_EQ(state.cells[cell].evicted, expected.cells[cell].evicted);
  }
}

TEST(BlockMap, CountsCheckpointsForThemselves) {
  BlockMap map(4);
  const BlockHolder holder{BlockRun::Owner::checkpoint, &map};
  map.reserve({0, 2}, holder);
  EXPECT_EQ(map.state().cells[1].checkpoint, 1u);
  EXPECT_EQ(map.state().cells[1].put, 0u);
  map.give_back({1, 1});
  EXPECT_EQ(map.state().cells[0].checkpoint, 1u);
  EXPECT_EQ(map.state().cells[1].checkpoint, 0u);
}

TEST(BlockMap, SpreadsManyBlocksOverItsCellsEvenly) {
  for (const std::uint64_t blocks :
       {1ull, 7ull, 1023ull, 1024ull, 1025ull, 5000ull, 1'000'003ull}) {
    BlockMap map(blocks);
    const BlockHolder holder{BlockRun::Owner::put, &map};
    map.reserve({0, blocks}, holder);
    const MapState state = map.state();
    EXPECT_EQ(state.cells.size(), std::min<std::uint64_t>(blocks, BlockMap::most_cells));
    EXPECT_EQ(sum(state, &MapState::Cell::put), blocks);
    for (const MapState::Cell& cell : state.cells) {
      EXPECT_GE(cell.put, blocks / state.cells.size()) << blocks;
      EXPECT_LE(cell.put, blocks / state.cells.size() + 1) << blocks;
    }
    for (std::uint64_t first = 0; first < blocks; first += 1 + blocks / 100) {
      map.give_back({first, std::min(1 + blocks / 100, blocks - first)});
    }
    EXPECT_EQ(sum(map.state(), &MapState::Cell::put), 0u);
  }
}

TEST(BlockMap, GivesEachBucketAColourWhileThereAreSome) {
  BlockMap map(2);
  EXPECT_THAT(map.state().buckets, IsEmpty());
  for (std::uint8_t colour = 1; colour < BlockMap::shared_colour; ++colour) {
    EXPECT_EQ(map.claim_colour(std::string("b") + static_cast<char>('0' + colour)), colour);
  }
  EXPECT_EQ(map.claim_colour("late"), BlockMap::shared_colour);
  map.return_colour(3);
  map.return_colour(BlockMap::shared_colour);
  EXPECT_EQ(map.claim_colour("next"), 3u);
  EXPECT_EQ(map.state().buckets[2].name, "next");
}

TEST(BlockMap, NamesTheSharedColourWhileItIsInUse) {
  BlockMap map(2);
  const BlockHolder holder{BlockRun::Owner::put, &map};
  map.reserve({0, 1}, holder);
  map.store(Extent{0, 1}, BlockMap::shared_colour);
  ASSERT_EQ(map.state().buckets.size(), 1u);
  EXPECT_EQ(map.state().buckets[0].name, "");
  map.discard({0, 1}, BlockMap::shared_colour);
  EXPECT_THAT(map.state().buckets, IsEmpty());
}

TEST(BlockMap, ShowsTheColourThatMostBlocksOfACellHave) {
  BlockMap map(10'240);
  const BlockHolder holder{BlockRun::Owner::put, &map};
  map.reserve({0, 10}, holder);
  map.store(Extent{0, 3}, 1);
  map.store(Extent{3, 7}, 2);
  EXPECT_EQ(map.state().cells[0].colour, 2u);
}

}  // namespace
}  // namespace hyperpod::emulator::core
