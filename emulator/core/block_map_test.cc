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
  const int put = 0;
  const int object = 0;
  map.reserve({1, 2}, {BlockRun::Owner::put, &put});
  EXPECT_EQ(map.holder(1), (BlockHolder{BlockRun::Owner::put, &put}));
  EXPECT_EQ(map.state().cells[1].put, 1u);
  const auto colour = map.claim_colour("bucket");
  map.store({1, 1}, &object, colour);
  EXPECT_EQ(map.holder(1), (BlockHolder{BlockRun::Owner::object, &object}));
  map.give_back({2, 1});
  map.pin({1, 1});
  MapState state = map.state();
  EXPECT_EQ(state.cells[1].put, 0u);
  EXPECT_EQ(state.cells[1].objects, 1u);
  EXPECT_EQ(state.cells[1].pinned, 1u);
  EXPECT_EQ(state.cells[1].colour, colour);
  EXPECT_EQ(state.cells[2].put, 0u);
  map.unpin({1, 1});
  map.count_eviction({1, 1});
  map.discard({1, 1}, colour);
  EXPECT_EQ(map.holder(1), BlockHolder{});
  EXPECT_EQ(map.holder(2), BlockHolder{});
  state = map.state();
  EXPECT_EQ(state.cells[1].objects, 0u);
  EXPECT_EQ(state.cells[1].pinned, 0u);
  EXPECT_EQ(state.cells[1].evicted, 1u);
  EXPECT_EQ(state.cells[1].colour, 0u);
}

TEST(BlockMap, CountsCheckpointsForThemselves) {
  BlockMap map(4);
  map.reserve({0, 2}, {BlockRun::Owner::checkpoint, &map});
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
    map.reserve({0, blocks}, {BlockRun::Owner::put, &map});
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
  map.reserve({0, 1}, {BlockRun::Owner::put, &map});
  map.store({0, 1}, &map, BlockMap::shared_colour);
  ASSERT_EQ(map.state().buckets.size(), 1u);
  EXPECT_EQ(map.state().buckets[0].name, "");
  map.discard({0, 1}, BlockMap::shared_colour);
  EXPECT_THAT(map.state().buckets, IsEmpty());
}

TEST(BlockMap, ShowsTheColourThatMostBlocksOfACellHave) {
  BlockMap map(10'240);
  map.reserve({0, 10}, {BlockRun::Owner::put, &map});
  map.store({0, 3}, &map, 1);
  map.store({3, 7}, &map, 2);
  EXPECT_EQ(map.state().cells[0].colour, 2u);
}

}  // namespace
}  // namespace hyperpod::emulator::core
