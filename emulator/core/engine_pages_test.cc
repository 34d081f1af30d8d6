// SPDX-License-Identifier: Apache-2.0
// Looks at the engine that never hold its lock for all that it has.
#include <gmock/gmock.h>

#include "core/engine_test_support.h"

namespace hyperpod::emulator::core {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::string described(const BlockRun& run) {
  const char* const owner = run.owner == BlockRun::Owner::free     ? "free"
                            : run.owner == BlockRun::Owner::object ? "object"
                                                                   : "put";
  return std::to_string(run.first_block) + "+" + std::to_string(run.blocks) + " " + owner + " " +
         run.bucket + "/" + run.key;
}

// All runs, `most` a page; names of objects go to `objects`.
std::vector<std::string> walk(const Engine& engine, std::size_t most,
                              std::vector<std::string>& objects) {
  std::vector<std::string> runs;
  BlockPage page;
  do {
    page = engine.blocks(page.next_block, most);
    EXPECT_LE(page.runs.size(), most);
    for (const BlockRun& run : page.runs) runs.push_back(described(run));
    for (const ObjectState& object : page.objects) objects.push_back(object.key);
  } while (page.next_block < page.blocks);
  return runs;
}

TEST(EnginePages, TellTheSameAsTheWholeStateWhateverTheirSize) {
  for (const Placement placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    TestEngine test(options_of(16, placement));
    const std::string three(3 * block - 20, 'x');
    ASSERT_TRUE(test.store("a", "first", three));
    ASSERT_TRUE(test.store("b", "second", "x"));
    ASSERT_TRUE(test.store("a", "third", three));
    test.engine.drop_objects();
    ASSERT_TRUE(test.store("a", "fourth", three));
    ASSERT_TRUE(test.store("b", "fifth", "x"));
    const auto put = test.engine.begin_put("c", "coming", 2 * block);
    ASSERT_TRUE(put);

    std::vector<std::string> expected;
    for (const BlockRun& run : test.engine.state().blocks) {
      // The state has a run for each fragment, the pages one for each owner.
      if (!expected.empty()) {
        const std::string last = expected.back();
        const auto same = described(run).substr(described(run).find(' '));
        const auto plus = last.find('+');
        const std::uint64_t first = std::stoull(last.substr(0, plus));
        const std::uint64_t count = std::stoull(last.substr(plus + 1));
        if (last.ends_with(same) && first + count == run.first_block) {
          expected.back() = std::to_string(first) + "+" + std::to_string(count + run.blocks) + same;
          continue;
        }
      }
      expected.push_back(described(run));
    }
    for (const std::size_t most : {1u, 2u, 3u, 100u}) {
      std::vector<std::string> objects;
      EXPECT_EQ(walk(test.engine, most, objects), expected) << most;
      EXPECT_THAT(objects, testing::UnorderedElementsAre("fourth", "fifth")) << most;
    }
  }
}

TEST(EnginePages, ListAnObjectWhoseEndLiesInFrontOfItsBeginning) {
  TestEngine test(options_of(4));
  for (const char* key : {"a", "b", "c", "d"}) ASSERT_TRUE(test.store("b", key, "x"));
  // Block by block from the last one on: what is least recently used gives way.
  for (const char* key : {"c", "b", "a", "d"}) {
    test.engine.release(test.engine.acquire("b", key, 30s)->id);
  }
  const auto put = test.engine.begin_put("b", "turned", std::nullopt);
  ASSERT_TRUE(put);
  ASSERT_TRUE(write_growing(**put, std::string(3 * block, 'x')));
  EXPECT_EQ((*put)->commit(), PutOutcome::stored);
  const auto lease = test.engine.acquire("b", "turned", 30s);
  ASSERT_TRUE(lease);
  ASSERT_GT(lease->fragments().front().offset, lease->fragments().back().offset);
  for (const std::size_t most : {1u, 100u}) {
    std::vector<std::string> objects;
    walk(test.engine, most, objects);
    EXPECT_THAT(objects, ElementsAre("turned", "d")) << most;
  }
  EXPECT_THAT(test.engine.blocks(2, 1).objects, SizeIs(1)) << "it begins there";
}

TEST(EnginePages, EndWithTheSegment) {
  TestEngine test;
  const BlockPage page = test.engine.blocks(100, 10);
  EXPECT_EQ(page.next_block, 16u);
  EXPECT_THAT(page.runs, IsEmpty());
}

TEST(EnginePages, TellTheLeasesAndWaitersThatEndNext) {
  TestEngine test;
  ASSERT_TRUE(test.store("b", "k", "x"));
  for (const auto ttl : {5s, 2s, 9s}) ASSERT_TRUE(test.engine.acquire("b", "k", ttl));
  for (const auto hold : {4s, 1s})
    test.engine.acquire_or_wait("b", "absent", 1s, hold, [](auto) {});
  const LiveState live = test.engine.live(2);
  ASSERT_THAT(live.leases, SizeIs(2));
  EXPECT_EQ(live.leases[0].time_left, 2s);
  EXPECT_EQ(live.leases[1].time_left, 5s);
  ASSERT_THAT(live.waiters, SizeIs(2));
  EXPECT_EQ(live.waiters[0].time_left, 1s);
  EXPECT_EQ(live.waiters[0].key, "absent");
  EXPECT_THAT(test.engine.live(100).leases, SizeIs(3));
}

std::vector<std::string> bucket_names(const MapState& map) {
  std::vector<std::string> names;
  for (const auto& bucket : map.buckets) names.push_back(bucket.name);
  return names;
}

TEST(EngineMap, FollowsPutsObjectsPinsAndEvictions) {
  TestEngine test(options_of(4));
  auto put = test.engine.begin_put("b", "k", 2 * block);
  ASSERT_TRUE(put);
  EXPECT_EQ(test.engine.map().cells[1].put, 1u);
  EXPECT_THAT(bucket_names(test.engine.map()), IsEmpty());
  write(**put, std::string(2 * block, 'x'));
  (*put)->commit();
  EXPECT_EQ(test.engine.map().cells[1].put, 0u);
  EXPECT_EQ(test.engine.map().cells[1].objects, 1u);
  EXPECT_THAT(bucket_names(test.engine.map()), ElementsAre("b"));

  const auto lease = test.engine.acquire("b", "k", 30s);
  const auto second = test.engine.acquire("b", "k", 30s);
  EXPECT_EQ(test.engine.map().cells[0].pinned, 1u);
  test.engine.release(lease->id);
  EXPECT_EQ(test.engine.map().cells[0].pinned, 1u);
  test.engine.release(second->id);
  EXPECT_EQ(test.engine.map().cells[0].pinned, 0u);

  ASSERT_TRUE(test.store("c", "large", std::string(4 * block, 'x')));
  const MapState map = test.engine.map();
  EXPECT_EQ(map.cells[0].evicted, 1u);
  EXPECT_EQ(map.cells[3].evicted, 0u);
  EXPECT_EQ(map.cells[3].objects, 1u);
  EXPECT_THAT(bucket_names(map), ElementsAre("c"));
}

TEST(EngineMap, GivesBackWhatAPutDoesNotUse) {
  TestEngine test(options_of(4));
  {
    auto put = test.engine.begin_put("b", "k", 3 * block);
    ASSERT_TRUE(put);
    write(**put, "x");
    (*put)->commit();
    auto aborted = test.engine.begin_put("b", "other", block);
    ASSERT_TRUE(aborted);
  }
  const MapState map = test.engine.map();
  EXPECT_EQ(map.cells[0].objects, 1u);
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(map.cells[i], MapState::Cell{}) << i;
  }
}

TEST(EngineStatistics, TellWhatCouldBeEvicted) {
  TestEngine test(options_of(4));
  ASSERT_TRUE(test.store("b", "k", std::string(2 * block, 'x')));
  EXPECT_EQ(test.engine.statistics().evictable_bytes, 2 * block);
  const auto lease = test.engine.acquire("b", "k", 30s);
  EXPECT_EQ(test.engine.statistics().evictable_bytes, 0u);
  EXPECT_EQ(test.engine.statistics().pinned_bytes, 2 * block);
}

}  // namespace
}  // namespace hyperpod::emulator::core
