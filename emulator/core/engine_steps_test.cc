// SPDX-License-Identifier: Apache-2.0
// What the engine does in steps, so that nobody waits long for its lock: that no step is large,
// that others have their turn between two, and that what they do then upsets nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/engine_test_support.h"

namespace hyperpod::emulator::core::engine_steps_test {
namespace {

using namespace std::chrono_literals;
using testing::Each;
using testing::IsFalse;
using testing::IsTrue;
using testing::SizeIs;

constexpr int many = 10'000;
constexpr auto ttl = 30s;

void expect_short_holds(const TestEngine& daemon, const char* what) {
  EXPECT_LE(daemon.engine.longest_hold(), 2048u) << what;
}

/// So many who wait for `key`, and what each was given, in order.
std::vector<std::optional<LeaseGrant>>& wait_for(
    TestEngine& daemon, std::string_view key, int count, Duration hold,
    std::vector<std::optional<LeaseGrant>>& given, std::function<void()> then = [] {}) {
  for (int i = 0; i < count; ++i) {
    daemon.engine.acquire_or_wait("b", key, ttl, hold, [&given, then](auto grant) {
      given.push_back(grant);
      then();
    });
  }
  return given;
}

TEST(EngineSteps, NoCallHandlesMoreThanSomeHundredsOfThingsUnderTheLock) {
  TestEngine daemon(options_of(many));
  const auto fill = [&] {
    for (int i = 0; i < many; ++i)
      daemon.store("b" + std::to_string(i % 100), std::to_string(i), "x");
  };
  const auto lease_all = [&](Duration time) {
    for (int i = 0; i < many; ++i) {
      daemon.engine.acquire("b" + std::to_string(i % 100), std::to_string(i), time);
    }
  };
  const auto expect_short = [&](const char* what) { expect_short_holds(daemon, what); };
  fill();
  lease_all(1h);
  expect_short("storing and leasing");

  EXPECT_THAT(daemon.engine.live(10).leases, SizeIs(10));
  EXPECT_THAT(daemon.engine.live(many).leases, SizeIs(many));
  daemon.engine.objects(0, many);
  daemon.engine.leases(0, many);
  daemon.engine.blocks(0, 100);
  daemon.engine.statistics();
  EXPECT_THAT(daemon.engine.state().objects, SizeIs(many));
  EXPECT_THAT(daemon.engine.state().leases, SizeIs(many));
  expect_short("looking");

  for (int i = 0; i < many; ++i) daemon.engine.acquire("b0", "0", 2h);
  daemon.engine.acquire("b0", "0", ttl, {.evict = true});
  EXPECT_EQ(daemon.engine.statistics().live_leases, many - 1);
  EXPECT_EQ(daemon.engine.statistics().used_bytes, (many - 1) * block);
  expect_short("evicting under ten thousand leases");

  daemon.clock.advance(1h);
  EXPECT_EQ(daemon.engine.statistics().live_leases, 0u);
  expect_short("expiring all at once");

  lease_all(1h);
  daemon.store("b0", "0", "x");
  daemon.store("b", "evicts one behind all that are pinned", "x");
  EXPECT_TRUE(daemon.engine.acquire("b", "evicts one behind all that are pinned", 1h));
  expect_short("looking for what is not pinned");
  daemon.engine.drop_leases();
  expect_short("dropping leases");
  daemon.clock.advance(1h);

  EXPECT_EQ(daemon.store("b", "all", std::string(many * block, 'x')), PutOutcome::stored);
  expect_short("evicting everything");
  daemon.engine.drop_objects();
  fill();
  lease_all(1h);
  daemon.engine.drop_objects();
  daemon.clock.advance(1h);
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
  expect_short("dropping objects");

  fill();
  lease_all(1h);
  daemon.engine.restart([] { return std::make_shared<TestMemory>(many * block); });
  expect_short("a restart");
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
}

TEST(EngineSteps, NoCallHandlesManyWaitersUnderTheLock) {
  TestEngine daemon;
  std::vector<std::optional<LeaseGrant>> given;
  wait_for(daemon, "key", many, 1h, given);
  EXPECT_THAT(daemon.engine.live(10).waiters, SizeIs(10));
  EXPECT_THAT(daemon.engine.state().waiters, SizeIs(many));
  expect_short_holds(daemon, "looking at those who wait");
  EXPECT_EQ(daemon.store("b", "key", "x"), PutOutcome::stored);
  EXPECT_THAT(given, SizeIs(many));
  expect_short_holds(daemon, "waking all who wait for a key");
  daemon.clock.advance(ttl);

  wait_for(daemon, "absent", many, 10s, given);
  daemon.clock.advance(10s);
  EXPECT_THAT(given, SizeIs(2 * many));
  expect_short_holds(daemon, "ending all holds at once");

  for (int i = 0; i < many; ++i) wait_for(daemon, std::to_string(i), 1, 10s, given);
  EXPECT_TRUE(daemon.engine.restart([] { return std::make_shared<TestMemory>(16 * block); }));
  EXPECT_THAT(given, SizeIs(3 * many));
  EXPECT_EQ(daemon.engine.statistics().waiters, 0u);
  expect_short_holds(daemon, "a restart");
}

TEST(EngineSteps, NoCallHandlesManyFragmentsUnderTheLock) {
  for (const Placement placement : {Placement::scattered, Placement::worst_case}) {
    TestEngine daemon(options_of(many, placement));
    const std::string all((many - 1) * block, 'x');
    ASSERT_EQ(daemon.store("b", "first", all), PutOutcome::stored);
    EXPECT_EQ(daemon.content(*daemon.engine.acquire("b", "first", ttl)), all);
    daemon.clock.advance(ttl);
    ASSERT_EQ(daemon.store("b", "second", all), PutOutcome::stored) << "evicts the first";
    daemon.engine.drop_objects();
    {
      const auto aborted = daemon.engine.begin_put("b", "third", all.size());
      ASSERT_TRUE(aborted);
    }
    {
      const auto ended = daemon.engine.begin_put("b", "fourth", all.size());
      ASSERT_TRUE(ended);
      daemon.engine.restart([] { return std::make_shared<TestMemory>(many * block); });
    }
    EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
    expect_short_holds(daemon, "an object in as many fragments as there are blocks");
  }
  // Listed, too.
  TestEngine daemon(options_of(many, Placement::scattered));
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(daemon.store("b", std::to_string(i), std::string(many / 40 * block, 'x')),
              PutOutcome::stored);
  }
  EXPECT_THAT(daemon.engine.state().objects, SizeIs(20));
  daemon.engine.drop_objects();
  expect_short_holds(daemon, "objects in many fragments");
}

TEST(EngineSteps, AnObjectOfVeryManyFragmentsIsOneThingToLeaseAndRelease) {
  constexpr std::uint64_t blocks = 200'000;
  TestEngine daemon(options_of(blocks, Placement::scattered));
  auto put = daemon.engine.begin_put("b", "key", blocks * block);
  ASSERT_TRUE(put);
  while (!(*put)->window().empty()) (*put)->filled((*put)->window().size());
  ASSERT_EQ((*put)->commit(), PutOutcome::stored);
  put->reset();
  const auto lease = daemon.engine.acquire("b", "key", ttl);
  ASSERT_TRUE(lease);
  EXPECT_THAT(lease->fragments(), SizeIs(blocks));
  EXPECT_EQ(daemon.engine.statistics().pinned_bytes, blocks * block);
  const auto pinned = [&] {
    std::uint64_t sum = 0;
    for (const MapState::Cell& cell : daemon.engine.map().cells) sum += cell.pinned;
    return sum;
  };
  EXPECT_EQ(pinned(), blocks);
  EXPECT_THAT(daemon.engine.objects(0, 1).objects.at(0).fragments, SizeIs(blocks));
  EXPECT_EQ(daemon.engine.objects(0, 1).objects.at(0).bytes, blocks * block);
  EXPECT_THAT(daemon.engine.blocks(0, 1).objects.at(0).fragments, SizeIs(blocks));
  ASSERT_TRUE(daemon.engine.acquire("b", "key", ttl, {.evict = true}));
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
  EXPECT_EQ(pinned(), 0u);
  EXPECT_THAT(lease->fragments(), SizeIs(blocks)) << "a grant outlives its object";
  EXPECT_FALSE(daemon.engine.release(lease->id));
  expect_short_holds(daemon, "an object in very many fragments");
}

TEST(EngineSteps, NobodyElseDoesTheWorkOfWhoDropsALargeObject) {
  constexpr std::uint64_t blocks = 100'000;
  bool was_quicker = false;
  // Again, since whoever drops it may be done first on a busy machine.
  for (int attempt = 0; attempt < 50 && !was_quicker; ++attempt) {
    TestEngine daemon(options_of(blocks, Placement::scattered));
    auto put = daemon.engine.begin_put("b", "key", blocks * block);
    ASSERT_TRUE(put);
    while (!(*put)->window().empty()) (*put)->filled((*put)->window().size());
    ASSERT_EQ((*put)->commit(), PutOutcome::stored);
    put->reset();
    const auto used = [&] { return daemon.engine.statistics().used_bytes; };
    std::thread dropper([&] { daemon.engine.drop_objects(); });
    while (used() == blocks * block) std::this_thread::yield();
    EXPECT_FALSE(daemon.engine.acquire("b", "key", ttl));
    was_quicker = used() > 0;
    dropper.join();
    EXPECT_EQ(used(), 0u);
  }
  EXPECT_TRUE(was_quicker) << "a look-up went on until all was free";
}

TEST(EngineSteps, OthersHaveTheirTurnWhileManyAreWoken) {
  TestEngine daemon;
  std::vector<std::optional<LeaseGrant>> given;
  std::vector<std::uint64_t> waiting;
  wait_for(daemon, "key", many, 1h, given,
           [&] { waiting.push_back(daemon.engine.statistics().waiters); });
  daemon.store("b", "key", "x");
  EXPECT_GT(waiting.front(), 0u) << "all were woken under one holding of the lock";
  EXPECT_EQ(waiting.back(), 0u);
  EXPECT_THAT(given, SizeIs(many));
  EXPECT_THAT(given, Each(IsTrue()));
}

TEST(EngineSteps, NobodyTakesTheRoomOfAnObjectThatSomeStillWaitFor) {
  TestEngine daemon(options_of(1));
  std::vector<std::optional<LeaseGrant>> given;
  int stored = 0;
  wait_for(daemon, "key", 1000, 1h, given, [&] {
    if (given.back()) daemon.engine.release(given.back()->id);
    if (given.size() < 1000) stored += daemon.store("b", "other", "y").has_value();
  });
  daemon.store("b", "key", "x");
  EXPECT_EQ(stored, 0) << "evicts what the others wait for";
  EXPECT_THAT(given, SizeIs(1000));
  EXPECT_THAT(given, Each(IsTrue()));
  EXPECT_EQ(daemon.engine.statistics().pinned_bytes, 0u);
}

TEST(EngineSteps, WhoHasWaitedSinceBeforeARestartGetsNoLeaseOnWhatWasStoredSince) {
  TestEngine daemon;
  std::vector<std::optional<LeaseGrant>> given;
  bool stored = false;
  wait_for(daemon, "key", 1000, 1h, given, [&] {
    if (stored) return;
    stored = true;
    daemon.store("b", "key", "x");
  });
  daemon.engine.restart([] { return std::make_shared<TestMemory>(16 * block); });
  EXPECT_TRUE(stored);
  EXPECT_THAT(given, SizeIs(1000));
  EXPECT_THAT(given, Each(IsFalse()));
  EXPECT_TRUE(daemon.engine.acquire("b", "key", ttl));
}

/// Memory that is backed only as long as the engine serves others meanwhile.
class AskingMemory final : public Memory {
 public:
  explicit AskingMemory(std::uint64_t size) : bytes_(size) {}
  std::span<std::byte> bytes() const override { return bytes_; }
  bool is_backed() const override { return false; }
  bool back(std::uint64_t /*offset*/, std::uint64_t /*length*/) override {
    // Another thread, since asking under a lock that this one holds would not return.
    asked.push_back(std::async(std::launch::async, [this] { return engine->statistics(); }));
    if (served == times) served += asked.back().wait_for(20s) == std::future_status::ready;
    ++times;
    return true;
  }

  const Engine* engine = nullptr;
  int served = 0;
  int times = 0;
  std::vector<std::future<Statistics>>
      asked;  // destroyed with no lock held: each waits for its end

 private:
  mutable std::vector<std::byte> bytes_;
};

TEST(EngineSteps, OthersAreServedWhileMemoryIsTakenFromTheSystem) {
  const RealClock clock;
  const auto memory = std::make_shared<AskingMemory>(16 * block);
  Engine engine(options_of(16), memory, clock);
  memory->engine = &engine;
  for (const char* key : {"first", "second", "third"}) {
    auto put = engine.begin_put("b", key, 7 * block);
    ASSERT_TRUE(put);
    write(**put, std::string(7 * block, 'x'));
    EXPECT_EQ((*put)->commit(), PutOutcome::stored);
  }
  EXPECT_GE(memory->times, 3);
  EXPECT_EQ(memory->served, memory->times);
  memory->asked.clear();
}

/// Whether the thread sleeps, as one does that waits for a lock.
bool sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text[name_end + 2] == 'S';
}

TEST(EngineSteps, WhoWaitsForTheLockHasItBeforeTheNextStep) {
  TestEngine daemon(options_of(many));
  for (int i = 0; i < many; ++i) daemon.store("b", std::to_string(i), "x");
  std::atomic<pid_t> asking{0};
  std::uint64_t used = 0;
  std::thread other;
  daemon.engine.restart([&]() -> std::shared_ptr<Memory> {
    other = std::thread([&] {
      asking = static_cast<pid_t>(::syscall(SYS_gettid));
      used = daemon.engine.statistics().used_bytes;
    });
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while ((asking == 0 || !sleeps(asking)) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    return std::make_shared<TestMemory>(many * block);
  });
  other.join();
  EXPECT_EQ(used, many * block) << "a step was done before the other thread had the lock";
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
}

TEST(EngineSteps, ALargeObjectIsStampedToItsEndWhenItIsFreed) {
  constexpr std::uint64_t size = 3 << 20;
  TestEngine daemon(options_of(size / block, Placement::contiguous));
  ASSERT_EQ(daemon.store("b", "key", std::string(size, 'x')), PutOutcome::stored);
  const GrantFault fault{.poison = std::make_shared<const std::string>("stamped")};
  ASSERT_TRUE(daemon.engine.acquire("b", "key", ttl, fault));
  daemon.clock.advance(ttl);
  EXPECT_EQ(daemon.engine.statistics().used_bytes, 0u);
  std::string expected;
  while (expected.size() < size) expected += "stamped";
  expected.resize(size);
  EXPECT_TRUE(read(daemon.memory, {{0, size}}) == expected);
  expect_short_holds(daemon, "stamping");
}

TEST(EngineSteps, ARunTooLongForAPageGoesOnInTheNext) {
  constexpr std::uint64_t blocks = 100'000;
  TestEngine daemon(options_of(blocks));
  ASSERT_EQ(daemon.store("b", "key", std::string(blocks * block, 'x')), PutOutcome::stored);
  const BlockPage page = daemon.engine.blocks(0, 10);
  ASSERT_THAT(page.runs, SizeIs(1));
  ASSERT_TRUE(page.cut);
  const BlockPage rest = daemon.engine.blocks(page.next_block, 10);
  EXPECT_FALSE(rest.cut);
  EXPECT_EQ(page.runs[0].blocks + rest.runs[0].blocks, blocks);
  EXPECT_THAT(rest.objects, SizeIs(0)) << "it is listed where it begins";
  const State state = daemon.engine.state();
  ASSERT_THAT(state.blocks, SizeIs(1));
  EXPECT_EQ(state.blocks[0].blocks, blocks);
  daemon.engine.drop_objects();
  expect_short_holds(daemon, "a run of many blocks");
}

}  // namespace
}  // namespace hyperpod::emulator::core::engine_steps_test
