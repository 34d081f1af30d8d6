// SPDX-License-Identifier: Apache-2.0
// That every lease is released, whatever the daemon does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>

#include "hyperpod/client/client.h"
#include "leases/release_queue.h"
#include "points.h"
#include "testing/fake_daemon.h"
#include "transport/placement.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using testing::answer;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::eventually;
using testing::FakeDaemon;
using ::testing::IsEmpty;
using testing::make_client;
using testing::options_for;
using testing::SeenRequest;
using ::testing::SizeIs;

using leases::PendingRelease;
using leases::ReleaseQueue;

TEST(ReleaseQueue, PutsOffTwiceAsLongEachTimeUpToFiveSeconds) {
  ReleaseQueue queue;
  TimePoint now{};
  PendingRelease release{0, "L", now + 1h};
  for (const auto pause : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 5000ms, 5000ms}) {
    ASSERT_TRUE(queue.put_off(release, now));
    EXPECT_EQ(queue.next_due(), now + pause);
    EXPECT_THAT(queue.take_due(now + pause - 1ns, 9), IsEmpty());
    now += pause;
    const auto due = queue.take_due(now, 9);
    ASSERT_THAT(due, SizeIs(1));
    release = due[0];
  }
  EXPECT_EQ(queue.next_due(), std::nullopt);
}

TEST(ReleaseQueue, DoesNotKeepWhatWillHaveExpired) {
  ReleaseQueue queue;
  EXPECT_FALSE(queue.put_off({0, "L", TimePoint{} + 100ms}, TimePoint{}));
  EXPECT_TRUE(queue.put_off({0, "L", TimePoint{} + 101ms}, TimePoint{}));
  EXPECT_THAT(queue.take_all(), SizeIs(1));
  EXPECT_THAT(queue.take_all(), IsEmpty());
}

class ReleaseTest : public ::testing::Test {
 protected:
  ReleaseTest() { daemon_.grant("L", {{0, 1}}); }
  ~ReleaseTest() override {
    client_.reset();
    points::clear();
  }

  Client& client() {
    if (!client_) client_.emplace(make_client(options_));
    return *client_;
  }

  bool settles() { return testing::settles(client()); }

  FakeDaemon daemon_;
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  ClientOptions options_ = [this] {
    auto options = options_for(daemon_);
    options.clock = clock_;
    return options;
  }();
  std::optional<Client> client_;
};

TEST_F(ReleaseTest, OfADroppedLeaseLetsTheNextRequestGoFirst) {
  auto lease = *client().acquire("key");
  // While its handler waits, the I/O thread does nothing else.
  std::binary_semaphore holds{0};
  std::binary_semaphore goes_on{0};
  client().async_exists("other", [&](const Result<bool>&) {
    holds.release();
    goes_on.acquire();
  });
  holds.acquire();
  std::vector<std::string> sent;
  points::set("lease.target", [&](auto) { sent.emplace_back("lease"); });
  points::set("release.target", [&](auto) { sent.emplace_back("release"); });

  lease.reset();
  std::binary_semaphore granted{0};
  client().async_acquire("key", [&](Result<std::optional<Lease>>) { granted.release(); });
  goes_on.release();
  granted.acquire();
  client_.reset();  // ends the thread that writes to `sent`

  ASSERT_GE(sent.size(), 2u);
  EXPECT_EQ(sent[0], "lease");
  EXPECT_EQ(sent[1], "release");
}

TEST_F(ReleaseTest, IsRepeatedUntilTheDaemonConfirmsIt) {
  options_.timeout = 1h;  // whatever the loop below makes of the time that a request takes
  options_.lease_ttl = 1000h;
  std::atomic<int> calls{0};
  daemon_.on_release([&](const SeenRequest&) { return answer(++calls < 4 ? 503 : 200); });
  EXPECT_TRUE(client().get("key")->is_hit());
  EXPECT_TRUE(eventually([&] { return calls == 1; }));
  EXPECT_TRUE(eventually([&] {
    clock_->advance(10ms);
    return client().statistics().lease_released == 1;
  }));
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(client().statistics().lease_release_failed, 0u);
  EXPECT_THAT(daemon_.released(), Each("L"));
}

TEST_F(ReleaseTest, IsGivenUpOnceTheTtlHasPassed) {
  options_.timeout = 1h;
  options_.lease_ttl = 60s;
  daemon_.on_release([](const SeenRequest&) { return answer(503); });
  // Counted where they are made: the daemon may hear of the last one after it has timed out.
  std::atomic<int> sent{0};
  points::set("release.target", [&](auto) { ++sent; });
  client().get("key");
  EXPECT_TRUE(eventually([&] {
    clock_->advance(10ms);
    return daemon_.released().size() > 1;
  }));
  EXPECT_EQ(client().statistics().lease_release_failed, 0u);
  clock_->advance(60s);
  EXPECT_TRUE(eventually([&] { return client().statistics().lease_release_failed == 1; }));
  const int before = sent;
  client().close();
  EXPECT_EQ(sent, before);
  EXPECT_EQ(client().statistics().lease_released, 0u);
}

TEST_F(ReleaseTest, IsNotRepeatedWhenTheDaemonKnowsNoSuchLease) {
  daemon_.on_release([](const SeenRequest&) { return answer(404); });
  auto lease = *client().acquire("key");
  const auto released = lease->release();
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().status, 404);
  EXPECT_EQ(client().statistics().lease_release_failed, 1u);
  client().close();
  EXPECT_THAT(daemon_.released(), SizeIs(1));
}

TEST_F(ReleaseTest, IsNotRepeatedAtAnotherDaemon) {
  daemon_.on_release([](const SeenRequest&) { return answer(503); });
  client().get("key");
  EXPECT_TRUE(eventually([&] { return daemon_.released().size() == 1; }));
  daemon_.replace_segment();
  client().close();
  EXPECT_THAT(daemon_.released(), SizeIs(1));
  EXPECT_EQ(client().statistics().lease_lost, 1u);
}

TEST_F(ReleaseTest, IsTriedOnceMoreOnClose) {
  std::atomic<int> calls{0};
  daemon_.on_release([&](const SeenRequest&) { return answer(++calls == 1 ? 503 : 200); });
  client().get("key");
  client().close();
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(client().statistics().lease_released, 1u);
}

TEST_F(ReleaseTest, FollowsALeaseThatOutlivesItsClient) {
  auto lease = *client().acquire("key");
  client_.reset();
  EXPECT_TRUE(lease->is_valid());
  EXPECT_THAT(daemon_.released(), IsEmpty());
  lease.reset();
  EXPECT_THAT(daemon_.released(), ElementsAre("L"));
}

TEST_F(ReleaseTest, HappensOnceForALeaseThatIsMoved) {
  auto lease = *client().acquire("key");
  Lease moved = *std::move(lease);
  lease.reset();  // NOLINT(bugprone-use-after-move): what was moved from is destroyed
  EXPECT_THAT(daemon_.released(), IsEmpty());
  daemon_.grant("M", {{0, 1}});
  moved = **client().acquire("key");
  EXPECT_TRUE(eventually([&] { return !daemon_.released().empty(); }));
  EXPECT_THAT(daemon_.released(), ElementsAre("L"));
}

TEST_F(ReleaseTest, IsNotWaitedForByAGetButByClose) {
  std::atomic<bool> is_back{false};
  std::atomic<bool> closed{false};
  daemon_.on_release([&](const SeenRequest&) {
    eventually([&] { return is_back.load(); });
    EXPECT_FALSE(closed);
    return answer(200);
  });
  EXPECT_TRUE(client().get("key")->is_hit());
  EXPECT_EQ(client().statistics().lease_released, 0u);
  is_back = true;
  client().close();
  closed = true;
  EXPECT_EQ(client().statistics().lease_released, 1u);
}

TEST_F(ReleaseTest, IsRepeatedAtOneDaemonWhileAnotherHangs) {
  FakeDaemon hanging;
  hanging.grant("H", {{0, 1}});
  std::atomic<bool> hangs{true};
  std::atomic<int> calls{0};
  std::atomic<int> hanging_calls{0};
  daemon_.on_release([&](const SeenRequest&) { return answer(++calls == 1 ? 503 : 200); });
  hanging.on_release([&](const SeenRequest&) {
    if (++hanging_calls == 1) return answer(503);
    eventually([&] { return !hangs; });
    return answer(200);
  });
  options_.timeout = 1h;
  options_.lease_ttl = 1h;
  options_.remote_url = daemon_.url() + "#" + daemon_.segment_name() + "," + hanging.url() + "#" +
                        hanging.segment_name();
  const auto key_of = [&](std::size_t host) {
    const auto authority = [](const FakeDaemon& daemon) { return daemon.url().substr(7); };
    for (int i = 0;; ++i) {
      auto key = "key" + std::to_string(i);
      if (transport::place({authority(daemon_), authority(hanging)}, key) == host) return key;
    }
  };
  EXPECT_EQ(client().exists(key_of(1)), true);
  EXPECT_TRUE(eventually([&] {
    clock_->advance(10ms);
    return hanging_calls == 2;
  }));
  EXPECT_EQ(client().exists(key_of(0)), true);
  EXPECT_TRUE(eventually([&] {
    clock_->advance(10ms);
    return client().statistics().lease_released == 1;
  }));
  EXPECT_EQ(calls, 2);
  hangs = false;
  client().close();
  EXPECT_EQ(client().statistics().lease_released, 2u);
}

TEST_F(ReleaseTest, EndsALookup) {
  EXPECT_EQ(client().exists("key"), true);
  EXPECT_TRUE(settles());
  EXPECT_THAT(daemon_.released(), ElementsAre("L"));
}

}  // namespace
}  // namespace hyperpod::client
