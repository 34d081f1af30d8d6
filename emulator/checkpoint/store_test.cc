// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "checkpoint/shard_meta.h"
#include "core/engine_test_support.h"

namespace hyperpod::emulator::checkpoint::store_test {
namespace {

using core::block;
using core::options_of;
using core::TestEngine;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;

std::string text_of(const Shard& shard) {
  std::string text;
  if (!shard.bytes) return text;
  for (const auto piece : shard.bytes->bytes()) {
    for (const std::byte byte : piece) text.push_back(static_cast<char>(byte));
  }
  return text;
}

class StoreTest : public testing::Test {
 protected:
  explicit StoreTest(Store::Options options = {}) : store_(engine_.engine, options) {
    store_.create("run", {.num_ranks = 2, .steps_retained = 2});
  }

  Store::Writer begin(std::uint64_t rank, std::uint64_t step, std::string_view bytes) {
    auto writer = store_.begin({"run", rank, step}, bytes.size());
    EXPECT_TRUE(writer);
    if (writer->room()) core::write(*writer->room(), bytes);
    return *std::move(writer);
  }
  void save(std::uint64_t rank, std::uint64_t step, std::string_view bytes = "x") {
    EXPECT_TRUE(begin(rank, step, bytes).commit(std::nullopt));
  }
  void save_all(std::uint64_t step) {
    save(0, step);
    save(1, step);
  }
  std::optional<std::string> read(std::uint64_t rank, std::uint64_t step) {
    const auto shard = store_.read({"run", rank, step});
    return shard ? std::optional(text_of(*shard)) : std::nullopt;
  }
  std::vector<std::uint64_t> latest(std::uint64_t limit = 5) {
    return *store_.latest("run", limit);
  }
  std::uint64_t used() { return engine_.engine.statistics().used_bytes; }

  TestEngine engine_{options_of(16)};
  Store store_;
};

TEST_F(StoreTest, ANamespaceKeepsItsFirstNumbers) {
  EXPECT_EQ(store_.create("run", {2, 2}), Creation::unchanged);
  EXPECT_EQ(store_.create("run", {3, 2}), Creation::conflict);
  EXPECT_THAT(store_.find("run"), Optional(NamespaceOptions{2, 2}));
  EXPECT_FALSE(store_.find("other"));
}

TEST_F(StoreTest, AShardIsSeenWholeAndOnlyAfterItsCommit) {
  const std::string bytes(3 * block + 7, 'w');
  auto writer = begin(0, 1, bytes);
  EXPECT_FALSE(read(0, 1));
  EXPECT_TRUE(writer.commit("meta"));
  EXPECT_THAT(read(0, 1), Optional(bytes));
  EXPECT_EQ(store_.read({"run", 0, 1})->meta, "meta");
}

TEST_F(StoreTest, AWriterThatIsDroppedLeavesWhatWasThere) {
  save(0, 1, "old");
  { const auto writer = begin(0, 1, std::string(2 * block, 'n')); }
  EXPECT_THAT(read(0, 1), Optional(std::string("old")));
  EXPECT_EQ(used(), block);
}

TEST_F(StoreTest, AShardMayBeEmpty) {
  save(0, 1, "");
  EXPECT_THAT(read(0, 1), Optional(std::string()));
  EXPECT_EQ(used(), 0u);
}

TEST_F(StoreTest, ABodyOfUnknownLengthGrowsAndGivesTheRestBack) {
  auto writer = store_.begin({"run", 0, 1}, std::nullopt);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(core::write_growing(*writer->room(), std::string(2 * block + 1, 'g')));
  EXPECT_TRUE(writer->commit(std::nullopt));
  EXPECT_EQ(used(), 3 * block);
  EXPECT_EQ(store_.read({"run", 0, 1})->size(), 2 * block + 1);
}

TEST_F(StoreTest, ABodyOfUnknownLengthMayTurnOutEmpty) {
  auto writer = store_.begin({"run", 0, 1}, std::nullopt);
  EXPECT_TRUE(writer->commit(std::nullopt));
  EXPECT_THAT(read(0, 1), Optional(std::string()));
  EXPECT_EQ(used(), 0u);
}

TEST_F(StoreTest, AReaderKeepsTheShardThatItBegan) {
  save(0, 1, "old");
  const auto held = store_.read({"run", 0, 1});
  save(0, 1, "new");
  EXPECT_TRUE(store_.remove("run"));
  EXPECT_EQ(text_of(*held), "old");
  EXPECT_EQ(used(), block);
}

TEST_F(StoreTest, WhatNobodyHoldsGivesItsRoomBack) {
  save_all(1);
  save(0, 1, "again");
  EXPECT_EQ(used(), 2 * block);
  EXPECT_TRUE(store_.remove_shard({"run", 0, 1}));
  EXPECT_FALSE(store_.remove_shard({"run", 0, 1}));
  EXPECT_TRUE(read(1, 1));
  EXPECT_EQ(used(), block);
  store_.reset();
  EXPECT_EQ(used(), 0u);
  EXPECT_EQ(store_.counters().shards, 0u);
  EXPECT_FALSE(store_.find("run"));
}

TEST_F(StoreTest, AStepCountsOnceEveryRankHasStoredIt) {
  save(0, 7);
  EXPECT_THAT(latest(), IsEmpty());
  save(1, 7);
  save(0, 9);
  EXPECT_THAT(latest(), ElementsAre(7));
  store_.remove_shard({"run", 1, 7});
  EXPECT_THAT(latest(), IsEmpty());
}

TEST_F(StoreTest, LatestTellsTheNewestStepsFirstUpToALimit) {
  save_all(10);
  save_all(9);
  EXPECT_THAT(latest(), ElementsAre(10, 9));
  EXPECT_THAT(latest(1), ElementsAre(10));
  EXPECT_THAT(latest(0), IsEmpty());
  EXPECT_FALSE(store_.latest("other", 5));
}

TEST_F(StoreTest, OlderStepsGoWhenANewerOneIsComplete) {
  save_all(1);
  save_all(2);
  save(0, 3);
  EXPECT_TRUE(read(0, 1)) << "an incomplete step does not count";
  save(1, 3);
  EXPECT_FALSE(read(0, 1));
  EXPECT_THAT(latest(), ElementsAre(3, 2));
  EXPECT_EQ(store_.counters().shards_retired, 2u);
}

TEST_F(StoreTest, AStepThatNeverBecameCompleteGoesWithTheOlderOnes) {
  save(0, 1);
  save_all(2);
  EXPECT_TRUE(read(0, 1));
  save_all(3);
  EXPECT_FALSE(read(0, 1));
}

TEST_F(StoreTest, ASaveThatIsOvertakenIsStillCompleted) {
  save(0, 1);
  save_all(2);
  save(1, 1);
  EXPECT_THAT(latest(), ElementsAre(2, 1));
}

TEST_F(StoreTest, AnAddressThatIsNotThereIsRefused) {
  EXPECT_EQ(store_.begin({"other", 0, 1}, 1).error(), Refusal::no_namespace);
  EXPECT_EQ(store_.begin({"run", 2, 1}, 1).error(), Refusal::no_rank);
  EXPECT_EQ(store_.begin({"run", 0, 1}, 17 * block).error(), Refusal::too_large);
}

TEST_F(StoreTest, AShardTakesItsRoomFromObjectsThatNoLeasePins) {
  ASSERT_TRUE(engine_.store("b", "pinned", std::string(block, 'p')));
  ASSERT_TRUE(engine_.store("b", "idle", std::string(15 * block, 'i')));
  ASSERT_TRUE(engine_.engine.acquire("b", "pinned", std::chrono::hours{1}));
  EXPECT_EQ(store_.begin({"run", 0, 1}, 16 * block).error(), Refusal::no_room);
  save(0, 1, std::string(15 * block, 's'));
  EXPECT_FALSE(engine_.engine.acquire("b", "idle", std::chrono::hours{1}));
  EXPECT_EQ(engine_.store("b", "next", "x").error(), core::PutRefusal::no_room)
      << "a shard was evicted for an object";
}

TEST_F(StoreTest, ARestartLosesWhatIsUnderWay) {
  save(0, 1, "old");
  auto writer = begin(1, 1, "late");
  const auto held = store_.read({"run", 0, 1});
  {
    Store::Contents old;
    engine_.engine.restart([&] {
      old = store_.take_all();
      return engine_.blocks;
    });
  }
  EXPECT_EQ(used(), 0u);
  store_.create("run", {2, 2});
  EXPECT_EQ(writer.commit(std::nullopt).error(), Refusal::lost);
  EXPECT_FALSE(read(1, 1));
}

TEST_F(StoreTest, ANamespaceMadeAnewIsAnotherOne) {
  auto writer = begin(0, 1, "late");
  store_.remove("run");
  EXPECT_EQ(writer.commit(std::nullopt).error(), Refusal::no_namespace);

  store_.create("run", {2, 2});
  auto second = begin(0, 1, "late");
  store_.remove("run");
  store_.create("run", {2, 2});
  EXPECT_EQ(second.commit(std::nullopt).error(), Refusal::no_namespace);
}

class PermissiveStoreTest : public StoreTest {
 protected:
  PermissiveStoreTest() : StoreTest({.latest_counts_incomplete = true, .retires_steps = false}) {}
};

TEST_F(PermissiveStoreTest, EveryStepCountsAndStays) {
  save_all(1);
  save_all(2);
  save_all(3);
  save(0, 4);
  EXPECT_THAT(latest(), ElementsAre(4, 3, 2, 1));
  EXPECT_TRUE(read(0, 1));
}

// Golden values of python3-xxhash's xxh3_128(...).digest().
TEST(ShardMeta, TheChecksumIsTheOneThatPythonMakes) {
  Checksum checksum;
  EXPECT_EQ(checksum.base64(), "maoG0wFHmNhgAcMkRo1Jfw==");
  const std::string_view hello = "hello";
  checksum.add(std::as_bytes(std::span(hello.substr(0, 2))));
  checksum.add(std::as_bytes(std::span(hello.substr(2))));
  EXPECT_EQ(checksum.base64(), "tenBrQcbPn/Hec+qXlI4GA==");
}

TEST(ShardMeta, OnlyAKnownAlgorithmAnnouncesAChecksum) {
  EXPECT_EQ(announced_checksum(R"({"checksum": "abc", "algorithm": "xxh3_128"})"), "abc");
  for (const std::string_view header :
       {"", "{", "[]", "7", R"("xxh3_128")", R"({"checksum": "abc"})",
        R"({"algorithm": "xxh3_128"})", R"({"checksum": "abc", "algorithm": "md5"})",
        R"({"checksum": 7, "algorithm": "xxh3_128"})", "\xff"}) {
    EXPECT_FALSE(announced_checksum(header)) << header;
  }
}

}  // namespace
}  // namespace hyperpod::emulator::checkpoint::store_test
