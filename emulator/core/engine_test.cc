// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "core/engine_test_support.h"

namespace hyperpod::emulator::core {

void PrintTo(const Fragment& fragment, std::ostream* out) {
  *out << "{" << fragment.offset << ", " << fragment.length << "}";
}

namespace engine_test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto ttl = 30s;

std::string bytes_of(std::uint64_t blocks, char letter = 'x') {
  return std::string(blocks * block, letter);
}

/// Which of the keys a, b, c... have objects. Asking counts as use, so it is the last thing to do.
std::string keys_present(Engine& engine, std::string_view bucket = "bucket") {
  std::string present;
  for (char key = 'a'; key <= 'z'; ++key) {
    if (engine.acquire(bucket, std::string(1, key), ttl)) present += key;
  }
  return present;
}

// --- Putting ------------------------------------------------------------------------------------

TEST(Engine, GivesBackWhatWasStoredThroughALease) {
  TestEngine daemon;
  const std::string bytes = "a chunk that is not a whole number of blocks" + bytes_of(2);
  EXPECT_EQ(daemon.store("bucket", "key", bytes), PutOutcome::stored);
  const auto grant = daemon.engine.acquire("bucket", "key", ttl);
  ASSERT_TRUE(grant);
  EXPECT_EQ(daemon.content(*grant), bytes);
}

TEST(Engine, KeepsAnObjectInvisibleUntilItsCommit) {
  TestEngine daemon;
  const auto put = *daemon.engine.begin_put("bucket", "key", 10);
  write(*put, "0123456789");
  EXPECT_FALSE(daemon.engine.acquire("bucket", "key", ttl));
  EXPECT_EQ(daemon.engine.statistics().objects, 0u);
  EXPECT_EQ(daemon.engine.statistics().puts_in_flight, 1u);
  put->commit();
  EXPECT_TRUE(daemon.engine.acquire("bucket", "key", ttl));
  EXPECT_EQ(daemon.engine.statistics().objects, 1u);
  EXPECT_EQ(daemon.engine.statistics().puts_in_flight, 0u);
}

TEST(Engine, TakesKeysAndBucketsOfAnyBytes) {
  TestEngine daemon;
  const std::vector<std::string> names = {"",      "/",      "a/b", "a%2Fb", "\xff\xfe", " ",
                                          "a@b@c", "\u00e9", "A",   "a",     {0, 'a'},   {0, 'b'}};
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(daemon.store(names[i], "key", std::string(1, static_cast<char>('a' + i))),
              PutOutcome::stored);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto grant = daemon.engine.acquire(names[i], "key", ttl);
    ASSERT_TRUE(grant) << names[i];
    EXPECT_EQ(daemon.content(*grant), std::string(1, static_cast<char>('a' + i)));
  }
}

TEST(Engine, KeepsBucketsApart) {
  TestEngine daemon;
  daemon.store("one", "key", "of one");
  EXPECT_FALSE(daemon.engine.acquire("two", "key", ttl));
  EXPECT_EQ(daemon.store("two", "key", "of two"), PutOutcome::stored);
  EXPECT_EQ(daemon.content(*daemon.engine.acquire("one", "key", ttl)), "of one");
  EXPECT_EQ(daemon.content(*daemon.engine.acquire("two", "key", ttl)), "of two");
}

TEST(Engine, CountsABucketWhileItHasObjects) {
  TestEngine daemon(options_of(2));
  EXPECT_EQ(daemon.engine.statistics().buckets, 0u);
  daemon.engine.acquire_or_wait("waited for", "key", ttl, 1s, [](auto) {});
  EXPECT_EQ(daemon.engine.statistics().buckets, 0u);
  daemon.store("one", "key", "bytes");
  daemon.store("one", "other", "bytes");
  EXPECT_EQ(daemon.engine.statistics().buckets, 1u);
  daemon.store("two", "key", bytes_of(2));
  EXPECT_EQ(daemon.engine.statistics().buckets, 1u) << "the other's objects were evicted";
}

TEST(Engine, RefusesAKeyThatExistsAndKeepsItsBytes) {
  TestEngine daemon;
  daemon.store("bucket", "key", "first");
  EXPECT_EQ(daemon.store("bucket", "key", "second"), tl::make_unexpected(PutRefusal::exists));
  using Size = std::optional<std::uint64_t>;
  for (const Size size : std::vector<Size>{std::nullopt, 0, 1, 17 * block}) {
    EXPECT_EQ(daemon.engine.begin_put("bucket", "key", size).error(), PutRefusal::exists);
  }
  EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "key", ttl)), "first");
  EXPECT_EQ(daemon.engine.statistics().puts_existing, 5u);
  EXPECT_EQ(daemon.engine.statistics().used_bytes, block);
}

TEST(Engine, AnEmptyPutOfAKeyThatCameMeanwhileFindsThatItExists) {
  TestEngine daemon;
  const auto put = daemon.engine.begin_put("bucket", "key", std::nullopt);
  ASSERT_TRUE(put);
  daemon.store("bucket", "key", "bytes");
  EXPECT_EQ((*put)->commit(), PutOutcome::exists);
}

TEST(Engine, RefusesAnEmptyObject) {
  TestEngine daemon;
  EXPECT_EQ(daemon.engine.begin_put("bucket", "key", 0).error(), PutRefusal::empty);
  EXPECT_EQ(daemon.engine.statistics().puts_refused, 1u);
}

TEST(Engine, RefusesAnObjectLargerThanTheSegment) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    TestEngine daemon(options_of(16, placement));
    daemon.store("bucket", "a", "bytes");
    for (const std::uint64_t size : {16 * block + 1, ~std::uint64_t{0}}) {
      EXPECT_EQ(daemon.engine.begin_put("bucket", "key", size).error(), PutRefusal::too_large);
    }
    EXPECT_EQ(keys_present(daemon.engine), "a") << "nothing was evicted in vain";
  }
}

TEST(Engine, StoresAnObjectAsLargeAsTheSegmentInEveryPlacement) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    TestEngine daemon(options_of(16, placement));
    EXPECT_EQ(daemon.store("bucket", "key", bytes_of(16)), PutOutcome::stored);
    EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "key", ttl)), bytes_of(16));
  }
}

TEST(Engine, GivesTheRoomOfADestroyedPutBack) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    TestEngine daemon(options_of(16, placement));
    {
      const auto put = *daemon.engine.begin_put("bucket", "key", 5 * block);
      write(*put, bytes_of(2));
      EXPECT_GE(daemon.engine.statistics().used_bytes, 5 * block);
    }
    EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
    EXPECT_EQ(daemon.engine.statistics().puts_aborted, 1u);
    EXPECT_FALSE(daemon.engine.acquire("bucket", "key", ttl));
    EXPECT_EQ(daemon.store("bucket", "key", bytes_of(16)), PutOutcome::stored);
  }
}

TEST(Engine, GivesRoomThatWasReservedForNothingBackAtCommit) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    TestEngine daemon(options_of(16, placement));
    const auto put = *daemon.engine.begin_put("bucket", "key", 8 * block);
    write(*put, "short");
    put->commit();
    EXPECT_EQ(daemon.engine.statistics().used_bytes, block);
    EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "key", ttl)), "short");
    EXPECT_EQ(daemon.store("bucket", "other", bytes_of(14)), PutOutcome::stored);
  }
}

TEST(Engine, TakesBytesInPiecesOfAnySize) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    TestEngine daemon(options_of(16, placement));
    std::string bytes;
    for (int i = 0; i < 300; ++i) bytes.push_back(static_cast<char>(i));
    const auto put = *daemon.engine.begin_put("bucket", "key", bytes.size());
    std::uint64_t written = 0;
    for (const std::size_t piece : {1u, 12u, 1u, 50u, 0u, 64u, 172u}) {
      EXPECT_EQ(write(*put, std::string_view(bytes).substr(written, piece)), piece);
      written += piece;
      EXPECT_EQ(put->bytes_written(), written);
    }
    put->commit();
    EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "key", ttl)), bytes);
  }
}

TEST(Engine, TakesNoBytesIntoAFullWindow) {
  TestEngine daemon;
  const auto put = *daemon.engine.begin_put("bucket", "key", block);
  write(*put, bytes_of(1));
  EXPECT_TRUE(put->window().empty());
  put->filled(0);
  EXPECT_EQ(put->bytes_written(), block);
  EXPECT_EQ(put->commit(), PutOutcome::stored);
}

// --- Memory that the system may not have ---------------------------------------------------------

TEST(Engine, BacksTheBlocksOfAPutBeforeItHandsThemOut) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    TestEngine daemon(options_of(16, placement));
    daemon.blocks->room = 8;
    const auto put = *daemon.engine.begin_put("bucket", "key", 5 * block);
    while (!put->window().empty()) {
      const auto offset = static_cast<std::uint64_t>(put->window().data() - daemon.memory.data());
      EXPECT_TRUE(daemon.blocks->is_backed({offset, put->window().size()}));
      put->filled(put->window().size());
    }
    EXPECT_LE(daemon.blocks->room, 3u);
  }
}

TEST(Engine, ChangesNothingWhenTheSystemHasNoMemory) {
  TestEngine daemon(options_of(4));
  daemon.blocks->room = 2;
  daemon.store("bucket", "a", bytes_of(1));
  daemon.store("bucket", "b", bytes_of(1));
  // The second would also need what "a" holds.
  for (const std::uint64_t blocks : {1u, 3u}) {
    const auto refused = daemon.engine.begin_put("bucket", "c", blocks * block);
    EXPECT_EQ(refused.error(), PutRefusal::no_memory);
  }
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.puts_refused, 2u);
  EXPECT_EQ(now.evictions, 0u);
  EXPECT_EQ(now.used_bytes, 2 * block);
  EXPECT_EQ(now.puts_in_flight, 0u);

  daemon.blocks->room = 2;
  EXPECT_EQ(daemon.store("bucket", "c", bytes_of(3)), PutOutcome::stored);
  EXPECT_EQ(keys_present(daemon.engine), "bc");
}

TEST(Engine, NeedsNoMoreMemoryForBlocksThatWereUsedBefore) {
  TestEngine daemon(options_of(4));
  daemon.blocks->room = 4;
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) {
    EXPECT_EQ(daemon.store("bucket", key, bytes_of(2)), PutOutcome::stored);
  }
  daemon.engine.drop_objects();
  EXPECT_EQ(daemon.store("bucket", "g", bytes_of(4)), PutOutcome::stored);
}

TEST(Engine, EndsAGrowingPutWhenTheSystemHasNoMemory) {
  TestEngine daemon(options_of(4));
  daemon.blocks->room = 2;
  auto put = *daemon.engine.begin_put("bucket", "key", std::nullopt);
  write(*put, bytes_of(1));
  EXPECT_TRUE(put->extend());
  write(*put, bytes_of(1));
  EXPECT_EQ(put->extend(), tl::make_unexpected(PutRefusal::no_memory));
  put.reset();
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.used_bytes, 0u);
  EXPECT_EQ(now.puts_refused, 1u);
  EXPECT_EQ(now.puts_aborted, 0u);
  EXPECT_EQ(daemon.store("bucket", "key", bytes_of(2)), PutOutcome::stored);
}

TEST(Engine, BacksAGrowingPutInTheMemoryThatItBeganIn) {
  TestEngine daemon(options_of(4));
  const auto put = *daemon.engine.begin_put("bucket", "key", std::nullopt);
  write(*put, bytes_of(1));
  const auto other = std::make_shared<TestMemory>(4 * block);
  daemon.engine.replace_memory(other);
  EXPECT_TRUE(put->extend());
  const auto offset = static_cast<std::uint64_t>(put->window().data() - daemon.memory.data());
  ASSERT_LT(offset, 4 * block);
  EXPECT_TRUE(daemon.blocks->is_backed({offset, put->window().size()}));
}

// --- Races of PUTs ------------------------------------------------------------------------------

TEST(Engine, StoresTheFirstCompleteOfTwoPutsOfOneKey) {
  TestEngine daemon;
  const auto begun_first = *daemon.engine.begin_put("bucket", "key", 5);
  const auto begun_second = *daemon.engine.begin_put("bucket", "key", 6);
  write(*begun_first, "first");
  write(*begun_second, "second");
  EXPECT_EQ(begun_second->commit(), PutOutcome::stored);
  EXPECT_EQ(begun_first->commit(), PutOutcome::exists);
  EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "key", ttl)), "second");
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.puts_stored, 1u);
  EXPECT_EQ(now.puts_existing, 1u);
  EXPECT_EQ(now.puts_in_flight, 0u);
  EXPECT_EQ(now.used_bytes, block) << "the loser's room is free";
}

TEST(Engine, ThatLetsTheFirstBegunWinRefusesTheSecondAtOnce) {
  Options options = options_of(16);
  options.behaviour.put_race = PutRace::first_begun;
  TestEngine daemon(options);
  auto first = *daemon.engine.begin_put("bucket", "key", 5);
  EXPECT_EQ(daemon.engine.begin_put("bucket", "key", 6).error(), PutRefusal::exists);
  EXPECT_TRUE(daemon.engine.begin_put("bucket", "other", 6));
  EXPECT_TRUE(daemon.engine.begin_put("other", "key", 6));
  first.reset();
  EXPECT_EQ(daemon.store("bucket", "key", "second"), PutOutcome::stored) << "the first gave up";
}

// --- Room ---------------------------------------------------------------------------------------

TEST(Engine, EvictsTheLeastRecentlyUsedAndNoMoreThanItMust) {
  TestEngine daemon(options_of(4));
  for (const char* key : {"a", "b", "c", "d"}) daemon.store("bucket", key, bytes_of(1));
  daemon.store("bucket", "e", bytes_of(2));
  EXPECT_EQ(daemon.engine.statistics().evictions, 2u);
  EXPECT_EQ(keys_present(daemon.engine), "cde");
}

TEST(Engine, CountsAGrantedLeaseAsUse) {
  TestEngine daemon(options_of(4));
  for (const char* key : {"a", "b", "c", "d"}) daemon.store("bucket", key, bytes_of(1));
  const auto b = daemon.engine.acquire("bucket", "b", ttl);
  const auto a = daemon.engine.acquire("bucket", "a", ttl);
  daemon.engine.release(a->id);  // the grant is the use, whenever its lease ends
  daemon.engine.release(b->id);
  for (const char* key : {"e", "f", "g"}) daemon.store("bucket", key, bytes_of(1));
  EXPECT_EQ(keys_present(daemon.engine), "aefg");
}

TEST(Engine, CountsAFurtherLeaseOnAPinnedObjectAsUse) {
  TestEngine daemon(options_of(2));
  daemon.store("bucket", "a", bytes_of(1));
  daemon.store("bucket", "b", bytes_of(1));
  const auto first = daemon.engine.acquire("bucket", "a", ttl);
  const auto b = daemon.engine.acquire("bucket", "b", ttl);
  const auto second = daemon.engine.acquire("bucket", "a", ttl);
  for (const auto& grant : {first, b, second}) daemon.engine.release(grant->id);
  daemon.store("bucket", "c", bytes_of(1));
  EXPECT_EQ(keys_present(daemon.engine), "ac");
}

TEST(Engine, SparesPinnedObjectsWhenItEvicts) {
  TestEngine daemon(options_of(4));
  for (const char* key : {"a", "b", "c", "d"}) daemon.store("bucket", key, bytes_of(1, *key));
  const auto a = daemon.engine.acquire("bucket", "a", ttl);
  const auto c = daemon.engine.acquire("bucket", "c", ttl);
  EXPECT_EQ(daemon.store("bucket", "e", bytes_of(2, 'e')), PutOutcome::stored);
  EXPECT_EQ(daemon.content(*a), bytes_of(1, 'a'));
  EXPECT_EQ(daemon.content(*c), bytes_of(1, 'c'));
  EXPECT_EQ(keys_present(daemon.engine), "ace");
}

TEST(Engine, ChangesNothingWhenNoRoomCanBeMade) {
  TestEngine daemon(options_of(6));
  for (const char* key : {"a", "b", "c"}) daemon.store("bucket", key, bytes_of(1, *key));
  const auto pinned = daemon.engine.acquire("bucket", "b", ttl);
  const auto in_flight = daemon.engine.begin_put("bucket", "f", 2 * block);
  auto before = daemon.engine.statistics();

  EXPECT_EQ(daemon.engine.begin_put("bucket", "d", 4 * block).error(), PutRefusal::no_room);

  const auto after = daemon.engine.statistics();
  EXPECT_EQ(after.puts_refused, before.puts_refused + 1);
  EXPECT_EQ(after.objects, before.objects);
  EXPECT_EQ(after.evictions, before.evictions);
  EXPECT_EQ(after.used_bytes, before.used_bytes);
  EXPECT_EQ(after.pinned_bytes, before.pinned_bytes);
  EXPECT_EQ(after.puts_in_flight, before.puts_in_flight);
  EXPECT_EQ(daemon.content(*pinned), bytes_of(1, 'b'));
  EXPECT_EQ(daemon.store("bucket", "d", bytes_of(2)), PutOutcome::stored);
  EXPECT_EQ(keys_present(daemon.engine), "bcd") << "the order of use is what it was, too";
}

TEST(Engine, TakesTheLastRoomThatEvictionCanMake) {
  TestEngine daemon(options_of(6));
  for (const char* key : {"a", "b", "c"}) daemon.store("bucket", key, bytes_of(2, *key));
  const auto pinned = daemon.engine.acquire("bucket", "b", ttl);
  EXPECT_EQ(daemon.store("bucket", "d", bytes_of(4, 'd')), PutOutcome::stored);
  EXPECT_EQ(daemon.content(*pinned), bytes_of(2, 'b'));
  EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "d", ttl)), bytes_of(4, 'd'));
}

TEST(Engine, LeavesTheRoomOfPutsInFlightAlone) {
  TestEngine daemon(options_of(4));
  const auto put = *daemon.engine.begin_put("bucket", "a", 3 * block);
  write(*put, bytes_of(3, 'a'));
  EXPECT_EQ(daemon.engine.begin_put("bucket", "b", 2 * block).error(), PutRefusal::no_room);
  EXPECT_EQ(daemon.store("bucket", "b", bytes_of(1, 'b')), PutOutcome::stored);
  put->commit();
  EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "a", ttl)), bytes_of(3, 'a'));
}

TEST(Engine, ThatIsFullReleasesWhatHasExpiredWithoutWaitingForItsTimers) {
  TestEngine daemon(options_of(2));
  daemon.store("bucket", "a", bytes_of(2));
  daemon.engine.acquire("bucket", "a", ttl);
  daemon.clock.detach(daemon);
  daemon.clock.advance(ttl - 1ms);
  EXPECT_EQ(daemon.store("bucket", "b", bytes_of(1)), tl::make_unexpected(PutRefusal::no_room));
  daemon.clock.advance(1ms);
  EXPECT_EQ(daemon.store("bucket", "b", bytes_of(1)), PutOutcome::stored);
}

// --- Bodies of unknown length -------------------------------------------------------------------

class EngineGrowth : public testing::TestWithParam<Placement> {
 protected:
  Fragments fragments_of_grown(TestEngine& daemon, std::uint64_t blocks) {
    const auto put = *daemon.engine.begin_put("bucket", "grown", std::nullopt);
    EXPECT_TRUE(write_growing(*put, bytes_of(blocks)));
    put->commit();
    return daemon.engine.acquire("bucket", "grown", ttl)->fragments();
  }
};

INSTANTIATE_TEST_SUITE_P(Placements, EngineGrowth,
                         testing::Values(Placement::contiguous, Placement::scattered,
                                         Placement::worst_case));

TEST_P(EngineGrowth, StoresABodyOfUnknownLength) {
  for (const std::uint64_t size : {1u, 12u, 13u, 14u, 63u, 64u, 65u, 700u}) {
    TestEngine daemon(options_of(16, GetParam()));
    std::string bytes;
    for (std::uint64_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 7));
    const auto put = *daemon.engine.begin_put("bucket", "key", std::nullopt);
    ASSERT_TRUE(write_growing(*put, bytes)) << size;
    EXPECT_EQ(put->bytes_written(), size);
    EXPECT_EQ(put->commit(), PutOutcome::stored);
    EXPECT_EQ(daemon.content(*daemon.engine.acquire("bucket", "key", ttl)), bytes) << size;
  }
}

TEST_P(EngineGrowth, EvictsForTheRoomItNeeds) {
  TestEngine daemon(options_of(4, GetParam()));
  for (const char* key : {"a", "b", "c"}) daemon.store("bucket", key, "x");
  const auto put = *daemon.engine.begin_put("bucket", "d", std::nullopt);
  EXPECT_EQ(daemon.engine.statistics().evictions, 0u);
  ASSERT_TRUE(write_growing(*put, bytes_of(2)));
  put->commit();
  EXPECT_EQ(keys_present(daemon.engine), GetParam() == Placement::worst_case ? "cd" : "bcd");
}

TEST_P(EngineGrowth, ThatPassesTheCapacityIsRefusedAndLeavesNothing) {
  TestEngine daemon(options_of(4, GetParam()));
  {
    const auto put = *daemon.engine.begin_put("bucket", "key", std::nullopt);
    EXPECT_FALSE(write_growing(*put, bytes_of(4) + "x"));
    EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u) << "given back before the Put is gone";
  }
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.puts_refused, 1u);
  EXPECT_EQ(now.puts_aborted, 0u) << "counted once";
  EXPECT_EQ(now.puts_in_flight, 0u);
  EXPECT_EQ(daemon.store("bucket", "key", bytes_of(4)), PutOutcome::stored);
}

TEST_P(EngineGrowth, WithoutRoomIsRefusedAndLeavesNothing) {
  TestEngine daemon(options_of(4, GetParam()));
  daemon.store("bucket", "pinned", bytes_of(1));
  const auto pinned = daemon.engine.acquire("bucket", "pinned", ttl);
  const auto used = daemon.engine.statistics().used_bytes;
  const auto put = *daemon.engine.begin_put("bucket", "key", std::nullopt);
  EXPECT_FALSE(write_growing(*put, bytes_of(4)));
  EXPECT_EQ(daemon.engine.statistics().used_bytes, used);
  EXPECT_EQ(daemon.content(*pinned), bytes_of(1));
}

TEST_P(EngineGrowth, GivesAnExtensionThatNothingCameIntoBack) {
  TestEngine daemon(options_of(16, GetParam()));
  const auto put = *daemon.engine.begin_put("bucket", "key", std::nullopt);
  ASSERT_TRUE(write_growing(*put, bytes_of(3)));
  if (put->window().empty()) {
    ASSERT_TRUE(put->extend());
  }
  put->commit();
  const auto grant = daemon.engine.acquire("bucket", "key", ttl);
  EXPECT_EQ(daemon.content(*grant), bytes_of(3));
  EXPECT_EQ(daemon.engine.statistics().used_bytes,
            GetParam() == Placement::worst_case ? 4 * block : 3 * block);
}

// --- Leases -------------------------------------------------------------------------------------

TEST(Engine, ReleasesALeaseUntilTheNanosecondItExpires) {
  for (const auto ttl_of_lease : std::vector<Duration>{1ns, 999'999ns, 1ms, 1500us, 30s}) {
    TestEngine daemon;
    daemon.store("bucket", "key", "bytes");
    daemon.clock.advance(123'457ns);
    const auto just_in_time = daemon.engine.acquire("bucket", "key", ttl_of_lease);
    const auto just_too_late = daemon.engine.acquire("bucket", "key", ttl_of_lease);
    daemon.clock.detach(daemon);  // no timer helps: release looks at the clock itself
    daemon.clock.advance(ttl_of_lease - 1ns);
    EXPECT_TRUE(daemon.engine.release(just_in_time->id));
    daemon.clock.advance(1ns);
    EXPECT_FALSE(daemon.engine.release(just_too_late->id));
    const auto now = daemon.engine.statistics();
    EXPECT_EQ(now.leases_released, 1u);
    EXPECT_EQ(now.leases_expired, 1u);
    EXPECT_EQ(now.releases_unknown, 1u);
    EXPECT_EQ(now.live_leases, 0u);
    EXPECT_EQ(now.pinned_bytes, 0u);
  }
}

TEST(Engine, ExpiresALeaseWhenItsTimeHasPassedAndNotBefore) {
  for (const auto ttl_of_lease : std::vector<Duration>{1ns, 999'999ns, 1ms, 1500us, 30s, 24h}) {
    TestEngine daemon;
    daemon.store("bucket", "key", "bytes");
    daemon.clock.advance(123'457ns);
    daemon.engine.acquire("bucket", "key", ttl_of_lease);
    daemon.clock.advance(ttl_of_lease - 1ns);
    EXPECT_EQ(daemon.engine.statistics().live_leases, 1u);
    EXPECT_EQ(daemon.engine.statistics().pinned_bytes, block);
    daemon.clock.advance(1ns);
    EXPECT_EQ(daemon.engine.statistics().live_leases, 0u);
    EXPECT_EQ(daemon.engine.statistics().pinned_bytes, 0u);
    EXPECT_EQ(daemon.engine.statistics().leases_expired, 1u);
  }
}

TEST(Engine, ReleasesALeaseOnce) {
  TestEngine daemon;
  daemon.store("bucket", "key", "bytes");
  const auto grant = daemon.engine.acquire("bucket", "key", ttl);
  EXPECT_TRUE(daemon.engine.release(grant->id));
  EXPECT_FALSE(daemon.engine.release(grant->id));
  EXPECT_FALSE(daemon.engine.release(LeaseId::generate()));
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.leases_granted, 1u);
  EXPECT_EQ(now.leases_released, 1u);
  EXPECT_EQ(now.releases_unknown, 2u);
}

TEST(Engine, PinsAnObjectUntilTheLastOfItsLeasesEnds) {
  TestEngine daemon(options_of(2));
  daemon.store("bucket", "a", bytes_of(2));
  const auto one = daemon.engine.acquire("bucket", "a", ttl);
  const auto two = daemon.engine.acquire("bucket", "a", 2 * ttl);
  EXPECT_NE(one->id, two->id);
  EXPECT_EQ(one->fragments(), two->fragments());
  EXPECT_EQ(daemon.engine.statistics().pinned_bytes, 2 * block) << "counted once";
  EXPECT_TRUE(daemon.engine.release(one->id));
  EXPECT_EQ(daemon.store("bucket", "b", "b"), tl::make_unexpected(PutRefusal::no_room));
  daemon.clock.advance(2 * ttl);
  EXPECT_EQ(daemon.store("bucket", "b", "b"), PutOutcome::stored);
}

TEST(Engine, CountsAMiss) {
  TestEngine daemon;
  EXPECT_FALSE(daemon.engine.acquire("bucket", "key", ttl));
  EXPECT_EQ(daemon.engine.statistics().lease_misses, 1u);
  EXPECT_EQ(daemon.engine.statistics().leases_granted, 0u);
}

// --- Waiters ------------------------------------------------------------------------------------

/// What became of held requests, in the order in which they were answered.
struct Answers {
  Engine::GrantHandler to(int name) {
    return [this, name](std::optional<LeaseGrant> grant) {
      order.push_back(grant ? name : -name);
      if (grant) grants.push_back(*grant);
    };
  }
  std::vector<int> order;  // negative: answered with nothing
  std::vector<LeaseGrant> grants;
};

TEST(Engine, GrantsAtOnceWhatNeedsNoWaiting) {
  TestEngine daemon;
  Answers answers;
  daemon.store("bucket", "key", "bytes");
  const auto held = daemon.engine.acquire_or_wait("bucket", "key", ttl, 1s, answers.to(1));
  ASSERT_TRUE(std::holds_alternative<LeaseGrant>(held));
  EXPECT_EQ(daemon.content(std::get<LeaseGrant>(held)), "bytes");
  daemon.clock.advance(1h);
  EXPECT_THAT(answers.order, IsEmpty());
}

TEST(Engine, GrantsHeldRequestsInOrderWhenTheKeyIsStored) {
  TestEngine daemon;
  Answers answers;
  for (int name = 1; name <= 5; ++name) {
    daemon.engine.acquire_or_wait("bucket", "key", ttl, 1s * (10 - name), answers.to(name));
  }
  EXPECT_EQ(daemon.engine.statistics().waiters, 5u);
  daemon.store("bucket", "key", "bytes");
  EXPECT_THAT(answers.order, ElementsAre(1, 2, 3, 4, 5));
  for (const LeaseGrant& grant : answers.grants) EXPECT_EQ(daemon.content(grant), "bytes");
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.waiters, 0u);
  EXPECT_EQ(now.live_leases, 5u);
  EXPECT_EQ(now.lease_misses, 0u);
  daemon.clock.advance(1h);
  EXPECT_THAT(answers.order, SizeIs(5)) << "each is answered once";
}

TEST(Engine, CountsTheTtlOfAHeldRequestFromItsGrant) {
  TestEngine daemon;
  Answers answers;
  daemon.engine.acquire_or_wait("bucket", "key", ttl, 1h, answers.to(1));
  daemon.clock.advance(50min);
  daemon.store("bucket", "key", "bytes");
  daemon.clock.advance(ttl - 1ns);
  EXPECT_EQ(daemon.engine.statistics().live_leases, 1u);
  daemon.clock.advance(1ns);
  EXPECT_EQ(daemon.engine.statistics().live_leases, 0u);
}

TEST(Engine, EndsAHoldWithNothingAtItsTimeAndNotBefore) {
  for (const auto hold : std::vector<Duration>{1ns, 1ms, 1500us, 5s, 1h}) {
    TestEngine daemon;
    Answers answers;
    daemon.clock.advance(123'457ns);
    daemon.engine.acquire_or_wait("bucket", "key", ttl, hold, answers.to(1));
    daemon.clock.advance(hold - 1ns);
    EXPECT_THAT(answers.order, IsEmpty());
    daemon.clock.advance(1ns);
    EXPECT_THAT(answers.order, ElementsAre(-1));
    EXPECT_EQ(daemon.engine.statistics().lease_misses, 1u);
    EXPECT_EQ(daemon.engine.statistics().waiters, 0u);
    daemon.store("bucket", "key", "bytes");
    EXPECT_THAT(answers.order, ElementsAre(-1));
  }
}

TEST(Engine, EndsHoldsInOrderOfTheirTimes) {
  TestEngine daemon;
  Answers answers;
  daemon.engine.acquire_or_wait("bucket", "key", ttl, 3s, answers.to(3));
  daemon.engine.acquire_or_wait("bucket", "key", ttl, 1s, answers.to(1));
  daemon.engine.acquire_or_wait("other", "key", ttl, 2s, answers.to(2));
  daemon.clock.advance(1min);
  EXPECT_THAT(answers.order, ElementsAre(-1, -2, -3));
}

TEST(Engine, NeverAnswersADroppedRequest) {
  TestEngine daemon;
  Answers answers;
  const auto hold = [&](int name, std::string_view key) {
    return std::get<Engine::WaiterId>(
        daemon.engine.acquire_or_wait("bucket", key, ttl, 5s, answers.to(name)));
  };
  hold(1, "key");
  const auto second = hold(2, "key");
  hold(3, "key");
  const auto lonely = hold(4, "other");
  EXPECT_TRUE(daemon.engine.drop_waiter(second));
  EXPECT_TRUE(daemon.engine.drop_waiter(lonely));
  EXPECT_FALSE(daemon.engine.drop_waiter(lonely));
  daemon.store("bucket", "key", "bytes");
  daemon.store("bucket", "other", "bytes");
  daemon.clock.advance(5s);
  EXPECT_THAT(answers.order, ElementsAre(1, 3));
  EXPECT_EQ(daemon.engine.statistics().waiters_dropped, 2u);
  EXPECT_EQ(daemon.engine.statistics().lease_misses, 0u);
  EXPECT_EQ(daemon.engine.statistics().leases_granted, 2u) << "no lease that nobody owns";
}

TEST(Engine, DropsNoRequestThatWasAnswered) {
  TestEngine daemon;
  Answers answers;
  const auto granted = std::get<Engine::WaiterId>(
      daemon.engine.acquire_or_wait("bucket", "key", ttl, 5s, answers.to(1)));
  const auto missed = std::get<Engine::WaiterId>(
      daemon.engine.acquire_or_wait("bucket", "other", ttl, 5s, answers.to(2)));
  daemon.store("bucket", "key", "bytes");
  daemon.clock.advance(5s);
  EXPECT_FALSE(daemon.engine.drop_waiter(granted));
  EXPECT_FALSE(daemon.engine.drop_waiter(missed));
  EXPECT_FALSE(daemon.engine.drop_waiter(12345));
  EXPECT_EQ(daemon.engine.statistics().waiters_dropped, 0u);
}

TEST(Engine, WakesOnlyThoseWhoWaitForWhatWasStored) {
  TestEngine daemon;
  Answers answers;
  daemon.engine.acquire_or_wait("bucket", "key", ttl, 5s, answers.to(1));
  daemon.store("bucket", "other", "bytes");
  daemon.store("other", "key", "bytes");
  {
    const auto aborted = *daemon.engine.begin_put("bucket", "key", 5);
    write(*aborted, "bytes");
  }
  EXPECT_THAT(answers.order, IsEmpty());
  daemon.store("bucket", "key", "bytes");
  EXPECT_THAT(answers.order, ElementsAre(1));
}

TEST(Engine, ThatDoesNotWakeLetsAHeldRequestLookAgainWhenItsHoldEnds) {
  Options options = options_of(2);
  options.behaviour.wake_waiters = false;
  TestEngine daemon(options);
  Answers answers;
  daemon.engine.acquire_or_wait("bucket", "stays", ttl, 5s, answers.to(1));
  daemon.engine.acquire_or_wait("bucket", "evicted", ttl, 5s, answers.to(2));
  daemon.store("bucket", "evicted", bytes_of(2));
  daemon.store("bucket", "stays", bytes_of(1));
  daemon.clock.advance(5s - 1ns);
  EXPECT_THAT(answers.order, IsEmpty());
  daemon.clock.advance(1ns);
  EXPECT_THAT(answers.order, ElementsAre(1, -2));
  EXPECT_EQ(daemon.engine.statistics().lease_misses, 1u);
  daemon.clock.advance(ttl - 1ns);
  EXPECT_EQ(daemon.engine.statistics().live_leases, 1u) << "the TTL counts from the grant";
  daemon.clock.advance(1ns);
  EXPECT_EQ(daemon.engine.statistics().live_leases, 0u);
}

TEST(Engine, PinsWhatItGrantsToAHeldRequest) {
  TestEngine daemon(options_of(2));
  Answers answers;
  daemon.engine.acquire_or_wait("bucket", "a", ttl, 5s, answers.to(1));
  daemon.store("bucket", "a", bytes_of(2, 'a'));
  EXPECT_EQ(daemon.store("bucket", "b", "b"), tl::make_unexpected(PutRefusal::no_room));
  EXPECT_TRUE(daemon.engine.release(answers.grants.front().id));
  EXPECT_EQ(daemon.store("bucket", "b", "b"), PutOutcome::stored);
}

TEST(Engine, LetsHandlersCallIt) {
  TestEngine daemon;
  std::vector<std::string> said;
  daemon.engine.acquire_or_wait("bucket", "key", ttl, 5s, [&](std::optional<LeaseGrant> grant) {
    said.push_back(daemon.content(*grant));
    EXPECT_TRUE(daemon.engine.release(grant->id));
    EXPECT_EQ(daemon.store("bucket", "chained", "stored by a handler"), PutOutcome::stored);
  });
  daemon.engine.acquire_or_wait("bucket", "chained", ttl, 5s, [&](std::optional<LeaseGrant> grant) {
    said.push_back(daemon.content(*grant));
    daemon.engine.acquire_or_wait("bucket", "absent", ttl, 5s, [&](std::optional<LeaseGrant> none) {
      said.push_back(none ? "?" : "miss");
    });
  });
  daemon.store("bucket", "key", "stored");
  daemon.clock.advance(5s);
  EXPECT_THAT(said, ElementsAre("stored", "stored by a handler", "miss"));
}

TEST(Engine, DestroysADroppedHandlerWithNoLockHeld) {
  TestEngine daemon;
  const auto counting = [&] {
    return std::shared_ptr<void>(nullptr, [&](void*) { daemon.engine.statistics(); });
  };
  std::shared_ptr<void> captured = counting();
  const auto id = std::get<Engine::WaiterId>(daemon.engine.acquire_or_wait(
      "bucket", "key", ttl, 5s, [captured = std::move(captured)](std::optional<LeaseGrant>) {}));
  std::promise<void> done;
  std::thread dropper([&] {
    daemon.engine.drop_waiter(id);
    done.set_value();
  });
  if (done.get_future().wait_for(10s) != std::future_status::ready) {
    FAIL() << "drop_waiter waits for its own lock";  // and the thread with it: the process ends
  }
  dropper.join();
}

TEST(Engine, MayBeDestroyedWithLeasesAndHeldRequestsLeft) {
  Answers answers;
  {
    TestEngine daemon;
    daemon.store("bucket", "key", "bytes");
    daemon.engine.acquire("bucket", "key", ttl);
    daemon.engine.acquire_or_wait("bucket", "absent", ttl, 5s, answers.to(1));
    daemon.engine.acquire_or_wait("bucket", "absent", ttl, 5s, answers.to(2));
    daemon.engine.acquire_or_wait("other", "absent", ttl, 5s, answers.to(3));
  }
  EXPECT_THAT(answers.order, IsEmpty());
}

// --- The observer of leases ---------------------------------------------------------------------

TEST(Engine, TellsWhatBecomesOfEachLease) {
  TestEngine daemon(options_of(4));
  std::vector<std::string> seen;
  daemon.engine.observe_leases([&](const LeaseChange& change) {
    daemon.engine.statistics();  // no lock is held
    constexpr std::string_view letters = "+rxd";
    seen.push_back(std::string(1, letters[static_cast<std::size_t>(change.what)]) +
                   std::to_string(change.connection) + change.bucket);
  });
  const auto told = [&] { return std::exchange(seen, {}); };

  daemon.engine.acquire_or_wait(
      "held", "key", ttl, 5s, [](auto) {}, {}, 1);
  daemon.store("held", "key", "bytes");
  EXPECT_THAT(told(), ElementsAre("+1held"));
  daemon.store("b", "key", "bytes");
  const auto first = daemon.engine.acquire("b", "key", ttl, {}, 2)->id;
  const auto second = daemon.engine.acquire("b", "key", 1s, {}, 3)->id;
  EXPECT_THAT(told(), ElementsAre("+2b", "+3b"));
  daemon.engine.release(first);
  daemon.engine.release(first);
  EXPECT_THAT(told(), ElementsAre("r2b"));
  daemon.clock.advance(1s);
  daemon.engine.release(second);
  EXPECT_THAT(told(), ElementsAre("x3b"));
  daemon.engine.acquire("b", "key", ttl, {.forget = true}, 4);
  EXPECT_THAT(told(), ElementsAre("+4b", "d4b"));
  daemon.engine.acquire("b", "key", ttl, {.evict = true}, 5);
  EXPECT_THAT(told(), ElementsAre("+5b", "d5b"));
  daemon.engine.drop_leases();
  EXPECT_THAT(told(), ElementsAre("d1held"));
}

// --- Dropping and restarting --------------------------------------------------------------------

TEST(Engine, DroppedObjectsKeepTheirBytesUntilTheLeasesOnThemWouldHaveExpired) {
  TestEngine daemon(options_of(4));
  daemon.store("bucket", "leased", bytes_of(2));
  daemon.store("bucket", "other", bytes_of(1));
  const auto grant = *daemon.engine.acquire("bucket", "leased", 10s);
  const std::string before = daemon.content(grant);
  daemon.engine.drop_objects();
  auto now = daemon.engine.statistics();
  EXPECT_EQ(now.objects, 0u);
  EXPECT_EQ(now.buckets, 0u);
  EXPECT_EQ(now.live_leases, 0u);
  EXPECT_EQ(now.leases_dropped, 1u);
  EXPECT_EQ(now.pinned_bytes, 2 * block);
  EXPECT_FALSE(daemon.engine.acquire("bucket", "leased", ttl));
  EXPECT_FALSE(daemon.engine.release(grant.id));
  EXPECT_EQ(daemon.store("bucket", "leased", std::string(2 * block, 'n')), PutOutcome::stored);
  EXPECT_EQ(daemon.store("bucket", "large", bytes_of(3)), tl::make_unexpected(PutRefusal::no_room));
  EXPECT_EQ(daemon.content(grant), before);
  daemon.clock.advance(10s);
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 2 * block);
  EXPECT_EQ(daemon.store("bucket", "large", bytes_of(4)), PutOutcome::stored);
  now = daemon.engine.statistics();
  EXPECT_EQ(now.leases_expired, 0u);
  EXPECT_EQ(now.evictions, 1u) << "of the new object of that name";
}

TEST(Engine, DroppedLeasesPinTheirObjectsUntilTheyWouldHaveExpired) {
  TestEngine daemon(options_of(4));
  daemon.store("bucket", "key", bytes_of(4));
  const auto grant = *daemon.engine.acquire("bucket", "key", 10s);
  daemon.engine.drop_leases();
  EXPECT_FALSE(daemon.engine.release(grant.id));
  EXPECT_EQ(daemon.store("bucket", "next", "x"), tl::make_unexpected(PutRefusal::no_room));
  EXPECT_TRUE(daemon.engine.acquire("bucket", "key", 1s)) << "the object itself is there";
  daemon.clock.advance(10s);
  EXPECT_EQ(daemon.store("bucket", "next", "x"), PutOutcome::stored);
}

TEST(Engine, ARestartFreesEverythingAtOnce) {
  TestEngine daemon(options_of(4));
  daemon.store("bucket", "a", bytes_of(1));
  daemon.store("bucket", "b", bytes_of(1));
  const auto grant = *daemon.engine.acquire("bucket", "a", ttl);
  const auto put = *daemon.engine.begin_put("bucket", "c", block);
  const auto memory = std::make_shared<TestMemory>(4 * block);
  EXPECT_FALSE(daemon.engine.restart([] { return nullptr; })) << "there is no other memory";
  EXPECT_EQ(daemon.engine.statistics().live_leases, 1u);
  EXPECT_TRUE(daemon.engine.restart([&] { return memory; }));
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.used_bytes, 0u);
  EXPECT_EQ(now.objects, 0u);
  EXPECT_EQ(now.live_leases, 0u);
  EXPECT_EQ(put->commit(), PutOutcome::lost);
  EXPECT_FALSE(daemon.engine.release(grant.id));
  EXPECT_EQ(daemon.store("bucket", "d", bytes_of(4)), PutOutcome::stored);
}

TEST(Engine, NothingIsGrantedBetweenTheExchangeOfTheMemoryAndTheEndOfWhatWasStored) {
  TestEngine daemon(options_of(4));
  daemon.store("bucket", "key", bytes_of(1));
  std::future<std::optional<LeaseGrant>> grant;
  daemon.engine.restart([&] {
    std::promise<void> asks;
    auto asked = asks.get_future();
    grant = std::async(std::launch::async, [&daemon, asks = std::move(asks)]() mutable {
      asks.set_value();
      return daemon.engine.acquire("bucket", "key", ttl);
    });
    asked.wait();
    return std::make_shared<TestMemory>(4 * block);
  });
  EXPECT_FALSE(grant.get());
}

TEST(Engine, AnEvictionUnderLeasesEndsThemAllAtOnceAndFreesTheBlocks) {
  TestEngine daemon(options_of(2));
  std::vector<std::pair<LeaseChange::What, std::uint64_t>> told;
  daemon.engine.observe_leases(
      [&](const LeaseChange& change) { told.emplace_back(change.what, change.connection); });
  daemon.store("bucket", "key", bytes_of(2));
  const auto first = *daemon.engine.acquire("bucket", "key", ttl, {}, 1);
  const auto second = *daemon.engine.acquire("bucket", "key", ttl, {.evict = true}, 2);
  using enum LeaseChange::What;
  EXPECT_THAT(told, ElementsAre(std::pair(granted, 1u), std::pair(granted, 2u),
                                std::pair(dropped, 1u), std::pair(dropped, 2u)));
  EXPECT_FALSE(daemon.engine.release(first.id));
  EXPECT_FALSE(daemon.engine.release(second.id));
  EXPECT_FALSE(daemon.engine.leased_by(first.id));
  EXPECT_EQ(daemon.engine.statistics().pinned_bytes, 0u);
  EXPECT_EQ(daemon.engine.statistics().evictions, 1u);
  EXPECT_EQ(daemon.store("bucket", "key", bytes_of(2)), PutOutcome::stored);
  daemon.clock.advance(ttl);
  EXPECT_TRUE(daemon.engine.acquire("bucket", "key", ttl));
}

TEST(Engine, ThousandsOfObjectsAndLeasesAreDroppedInSteps) {
  constexpr int many = 3000;
  TestEngine daemon(options_of(many));
  for (int i = 0; i < many; ++i) {
    daemon.store("bucket", std::to_string(i), "x");
    if (i % 2 == 0) daemon.engine.acquire("bucket", std::to_string(i), ttl);
  }
  daemon.engine.drop_objects();
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.objects, 0u);
  EXPECT_EQ(now.live_leases, 0u);
  EXPECT_EQ(now.used_bytes, many / 2 * block);
  daemon.clock.advance(ttl);
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
}

// --- Pages --------------------------------------------------------------------------------------

TEST(Engine, ListsEachObjectAndLeaseOnceAPageAtATime) {
  TestEngine daemon(options_of(100));
  for (int i = 0; i < 100; ++i) daemon.store("bucket", std::to_string(i), "x");
  std::vector<LeaseId> leases;
  for (int i = 0; i < 100; i += 2) {
    leases.push_back(daemon.engine.acquire("bucket", std::to_string(i), ttl)->id);
  }
  for (std::size_t i = 0; i < leases.size(); i += 5) daemon.engine.release(leases[i]);

  std::vector<std::string> keys;
  std::uint64_t cursor = 0;
  do {
    const auto page = daemon.engine.objects(cursor, 7);
    EXPECT_LE(page.objects.size(), 7u);
    for (const ObjectState& object : page.objects) keys.push_back(object.key);
    cursor = page.next;
    if (keys.size() == 7) {
      daemon.engine.acquire("bucket", "0", ttl, {.evict = true});
      daemon.engine.acquire("bucket", "7", ttl, {.evict = true});
    }
  } while (cursor != 0);
  EXPECT_THAT(keys, SizeIs(99)) << "all but the one that went before its turn";
  EXPECT_EQ(keys.front(), "0");
  EXPECT_EQ(keys[7], "8");
  EXPECT_EQ(keys.back(), "99");

  std::set<std::string> ids;
  do {
    const auto page = daemon.engine.leases(cursor, 7);
    for (const LeaseState& lease : page.leases) EXPECT_TRUE(ids.insert(lease.id).second);
    cursor = page.next;
  } while (cursor != 0);
  EXPECT_EQ(ids.size(), daemon.engine.statistics().live_leases);
}

// --- Room in steps ------------------------------------------------------------------------------

TEST(Engine, AnAnnouncementAloneEvictsNoMoreThanItsFirstStep) {
  Options options = options_of(16);
  options.limits.room_step = 2 * block;
  TestEngine daemon(options);
  for (int i = 0; i < 16; ++i) daemon.store("bucket", std::to_string(i), bytes_of(1));
  auto put = *daemon.engine.begin_put("bucket", "large", 16 * block);
  EXPECT_EQ(daemon.engine.statistics().evictions, 2u);
  const std::string bytes = bytes_of(16);
  EXPECT_TRUE(write_growing(*put, bytes));
  EXPECT_EQ(daemon.engine.statistics().evictions, 16u);
  EXPECT_EQ(put->commit(), PutOutcome::stored);
  const auto grant = *daemon.engine.acquire("bucket", "large", ttl);
  EXPECT_EQ(daemon.content(grant), bytes);
}

TEST(Engine, RoomTakenInStepsIsOneFragmentWhereARunIsLongEnough) {
  Options options = options_of(16);
  options.limits.room_step = 2 * block;
  TestEngine daemon(options);
  for (const char* key : {"a", "b", "c", "d"}) daemon.store("bucket", key, bytes_of(1));
  daemon.engine.acquire("bucket", "b", ttl, {.forget = true});
  daemon.engine.acquire("bucket", "b", ttl, {.evict = true});  // a hole of one block
  auto put = *daemon.engine.begin_put("bucket", "large", 7 * block - 5);
  EXPECT_TRUE(write_growing(*put, bytes_of(7).substr(5)));
  EXPECT_EQ(put->commit(), PutOutcome::stored);
  EXPECT_THAT(daemon.engine.acquire("bucket", "large", ttl)->fragments(), SizeIs(1));
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 10 * block);
}

TEST(Engine, APutThatCannotFitIsRefusedBeforeItsFirstStep) {
  Options options = options_of(16);
  options.limits.room_step = 4 * block;
  TestEngine daemon(options);
  daemon.store("bucket", "key", bytes_of(4));
  daemon.engine.acquire("bucket", "key", ttl);
  EXPECT_EQ(daemon.engine.begin_put("bucket", "large", 13 * block).error(), PutRefusal::no_room);
  EXPECT_TRUE(daemon.engine.begin_put("bucket", "large", 12 * block));
}

TEST(Engine, APutWithoutAByteIsRefusedNotCutShort) {
  TestEngine daemon;
  {
    const auto put = *daemon.engine.begin_put("bucket", "key", std::nullopt);
    EXPECT_EQ(put->commit(), PutOutcome::empty);
  }
  const auto now = daemon.engine.statistics();
  EXPECT_EQ(now.puts_refused, 1u);
  EXPECT_EQ(now.puts_aborted, 0u);
  EXPECT_EQ(now.used_bytes, 0u);
}

// --- The alarm ----------------------------------------------------------------------------------

/// Sleeps as a thread that runs the timers would: until the time it read when the alarm last rang.
class EngineAlarm : public testing::Test {
 protected:
  EngineAlarm() {
    daemon.clock.detach(daemon);
    daemon.store("bucket", "key", "bytes");
    daemon.engine.set_alarm([this] { ++rung; });
  }
  ~EngineAlarm() override { daemon.clock.attach(daemon); }

  /// What the sleeper does some time after the alarm rang.
  void wake_up() {
    rung = 0;
    asleep_until = daemon.engine.next_due();
  }
  LeaseId lease(Duration ttl_of_lease) {
    return daemon.engine.acquire("bucket", "key", ttl_of_lease)->id;
  }

  TestEngine daemon;
  int rung = 0;
  std::optional<TimePoint> asleep_until;
};

TEST_F(EngineAlarm, RingsWhenSomethingFallsDueEarlierThanAnythingBefore) {
  lease(10s);
  EXPECT_EQ(rung, 1);
  wake_up();
  EXPECT_LE(asleep_until, daemon.clock.now() + 10s);
  lease(20s);
  EXPECT_EQ(rung, 0);
  lease(1s);
  EXPECT_EQ(rung, 1);
  wake_up();
  EXPECT_LE(asleep_until, daemon.clock.now() + 1s);
  daemon.engine.acquire_or_wait("bucket", "absent", ttl, 10ms, [](auto) {});
  EXPECT_EQ(rung, 1);
}

TEST_F(EngineAlarm, RingsWithNoLockHeld) {
  std::optional<TimePoint> due;
  daemon.engine.set_alarm([&] { due = daemon.engine.next_due(); });
  lease(10s);
  EXPECT_TRUE(due);
}

TEST_F(EngineAlarm, RingsForATimerThatFollowsOneThatWasReleasedBeforeTheSleeperLooked) {
  const auto released = lease(10s);
  EXPECT_EQ(rung, 1);
  EXPECT_TRUE(daemon.engine.release(released));
  wake_up();
  EXPECT_EQ(asleep_until, std::nullopt) << "nothing is armed";
  daemon.clock.advance(1s);
  lease(10s);
  EXPECT_EQ(rung, 1) << "nobody else will ever wake the sleeper";
}

TEST_F(EngineAlarm, RingsForATimerEarlierThanWhatTheSleeperFoundWhenItLooked) {
  lease(1h);
  const auto released = lease(10s);
  EXPECT_TRUE(daemon.engine.release(released));
  wake_up();
  lease(20s);
  EXPECT_EQ(rung, 1);
}

TEST_F(EngineAlarm, LetsASleeperWhoRunsTheTimersMissNothing) {
  const std::vector<Duration> ttls = {5s, 1ms, 1h, 70ms, 4096ms, 30s, 30s};
  for (const auto ttl_of_lease : ttls) lease(ttl_of_lease);
  const auto end = daemon.clock.now() + 1h;
  int runs = 0;
  while (daemon.engine.statistics().live_leases > 0) {
    wake_up();
    ASSERT_TRUE(asleep_until);
    ASSERT_LE(*asleep_until, end);
    daemon.clock.advance(*asleep_until - daemon.clock.now());
    daemon.engine.run_due();
    ASSERT_LT(++runs, 100);
  }
  EXPECT_EQ(daemon.clock.now(), end);
  wake_up();
  EXPECT_EQ(asleep_until, std::nullopt);
}

}  // namespace
}  // namespace engine_test
}  // namespace hyperpod::emulator::core
