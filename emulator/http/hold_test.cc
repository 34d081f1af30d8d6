// SPDX-License-Identifier: Apache-2.0
// Lease requests that wait for their key.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "testing/daemon.h"

namespace hyperpod::emulator::http {
namespace {

using test::chunked_head;
using test::Daemon;
using test::get_request;
using test::id_of;
using test::lease_request;
using test::put_head;
using test::put_request;
using test::random_bytes;
using test::release_request;
using test::test_options;
using test::WireClient;

using namespace std::chrono_literals;
using namespace std::string_literals;

constexpr std::string_view five_seconds = "timeout_ms=5000&ttl_s=30.0";

class Wait : public testing::Test {
 protected:
  Daemon& daemon() {
    if (!daemon_) daemon_.emplace(options);
    return *daemon_;
  }

  /// A connection on which a request for b/k is held.
  WireClient held(std::string_view query = five_seconds) {
    const auto waiters = daemon().statistics().waiters;
    auto client = daemon().connect();
    client.send(lease_request("b/k", query));
    EXPECT_TRUE(waits_for(waiters + 1));
    return client;
  }
  bool waits_for(std::uint64_t waiters) {
    return daemon().reaches([=](const Statistics& s) { return s.waiters == waiters; });
  }
  void store(std::string_view body = "bytes") {
    EXPECT_EQ(daemon().connect().ask(put_request("b/k", body)).status, 200);
  }

  const std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Options options = test_options(clock);

 private:
  std::optional<Daemon> daemon_;
};

// --- How a hold ends
// ----------------------------------------------------------------------------

TEST_F(Wait, EndsWithALeaseWhenTheKeyIsStored) {
  auto client = held();
  EXPECT_TRUE(client.is_silent());
  store();
  EXPECT_EQ(daemon().leased_bytes(client.receive()), "bytes");
  EXPECT_EQ(daemon().statistics().waiters, 0u);
  EXPECT_EQ(client.ask(get_request()).status, 404) << "the connection goes on";
}

TEST_F(Wait, EndsWithAMissAfterItsTimeAndNotBefore) {
  auto client = held();
  clock->advance(5s - 1ms);
  EXPECT_TRUE(client.is_silent());
  EXPECT_EQ(daemon().statistics().waiters, 1u);
  clock->advance(1ms);
  EXPECT_FALSE(client.is_silent()) << "sent before advance returned";
  const auto reply = client.receive();
  EXPECT_EQ(reply.status, 504);
  EXPECT_EQ(reply.error(), "absent");
  EXPECT_EQ(daemon().statistics().lease_misses, 1u);
}

TEST_F(Wait, HasBeenAnsweredWhenAdvanceReturnsHoweverManyThereAre) {
  options.threads = 3;
  std::vector<WireClient> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(daemon().connect());
  for (auto& client : clients) client.send(lease_request("b/k", five_seconds));
  ASSERT_TRUE(waits_for(clients.size()));
  clock->advance(1h);
  for (auto& client : clients) {
    EXPECT_FALSE(client.is_silent());
    EXPECT_EQ(client.receive().status, 504);
  }
  EXPECT_EQ(daemon().statistics().requests, clients.size());
}

TEST_F(Wait, IsInFlightForWhoeverComesMeanwhile) {
  options.threads = 2;
  std::vector<WireClient> clients;
  clients.reserve(3);
  for (int i = 0; i < 3; ++i) clients.push_back(held());
  daemon().connect().ask(lease_request("b/other", "timeout_ms=0"));
  EXPECT_EQ(daemon().emulator().journal().newest({}, 1).back().in_flight, 4u);
  store();
  for (auto& client : clients) EXPECT_EQ(client.receive().status, 200);
  daemon().connect().ask(lease_request("b/other", "timeout_ms=0"));
  EXPECT_EQ(daemon().emulator().journal().newest({}, 1).back().in_flight, 1u);
  EXPECT_EQ(daemon().emulator().journal().totals().peak_in_flight, 4u);
}

TEST_F(Wait, IsNoneForAKeyThatIsThere) {
  store();
  EXPECT_EQ(daemon().connect().ask(lease_request("b/k", five_seconds)).status, 200);
}

TEST_F(Wait, GivesEachOfThoseWhoWaitALeaseOfItsOwn) {
  options.threads = 2;
  std::vector<WireClient> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(held());
  store();
  std::set<std::string> ids;
  for (auto& client : clients) ids.insert(id_of(client.receive()));
  EXPECT_EQ(ids.size(), clients.size());
  EXPECT_EQ(daemon().statistics().live_leases, clients.size());
}

TEST_F(Wait, StartsItsTtlWithTheGrant) {
  auto client = held();
  clock->advance(4s);
  store();
  const auto id = id_of(client.receive());
  clock->advance(30s - 1ms);
  EXPECT_EQ(daemon().statistics().live_leases, 1u);
  EXPECT_EQ(client.ask(release_request(id)).status, 200);
}

TEST_F(Wait, DoesNotDelayOthers) {
  std::vector<WireClient> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(held());
  auto other = daemon().connect();
  EXPECT_EQ(other.ask(put_request("b/other", "x")).status, 200);
  EXPECT_EQ(other.ask(lease_request("b/other", five_seconds)).status, 200);
  for (auto& client : clients) EXPECT_TRUE(client.is_silent());
}

TEST_F(Wait, MayFollowUponAnotherOnTheSameConnection) {
  auto client = daemon().connect();
  for (int i = 0; i < 20; ++i) {
    const auto path = fmt::format("b/{}", i);
    client.send(lease_request(path, five_seconds));
    ASSERT_TRUE(waits_for(1));
    EXPECT_EQ(daemon().connect().ask(put_request(path, path)).status, 200);
    EXPECT_EQ(daemon().leased_bytes(client.receive()), path);
  }
}

TEST_F(Wait, OfRealTimeEndsByItself) {
  options.clock = nullptr;
  auto client = daemon().connect();
  for (const auto hold : {10ms, 100ms, 1ms}) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(client.ask(lease_request("b/k", fmt::format("timeout_ms={}", hold.count()))).status,
              504);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, hold);
  }
}

// --- Behaviour
// ----------------------------------------------------------------------------------

TEST_F(Wait, IsNoLongerThanTheLongestThereIs) {
  options.behaviour.max_hold = 2s;
  auto client = held("timeout_ms=999999999999999999999");
  clock->advance(2s - 1ms);
  EXPECT_TRUE(client.is_silent());
  clock->advance(1ms);
  EXPECT_EQ(client.receive().status, 504);
}

TEST_F(Wait, HasADefaultThatIsAnOption) {
  options.behaviour.default_hold = 3s;
  auto client = held("");
  clock->advance(3s - 1ms);
  EXPECT_TRUE(client.is_silent());
  clock->advance(1ms);
  EXPECT_EQ(client.receive().status, 504);
}

TEST_F(Wait, LooksForItsKeyOnlyAtItsEndIfToldTo) {
  options.behaviour.wake_waiters = false;
  auto client = held();
  store();
  EXPECT_EQ(daemon().statistics().waiters, 1u);
  clock->advance(5s - 1ms);
  EXPECT_TRUE(client.is_silent());
  clock->advance(1ms);
  EXPECT_EQ(daemon().leased_bytes(client.receive()), "bytes");
}

// --- Peers that go away
// -------------------------------------------------------------------------

TEST_F(Wait, IsForgottenWhenItsConnectionCloses) {
  held().close();
  EXPECT_TRUE(waits_for(0));
  held().reset();
  EXPECT_TRUE(waits_for(0));
  EXPECT_EQ(daemon().statistics().waiters_dropped, 2u);
  store();
  EXPECT_EQ(daemon().statistics().leases_granted, 0u);
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
}

TEST_F(Wait, IsForgottenWhenItsConnectionClosesWithMorePipelined) {
  auto client = held();
  client.send(lease_request("b/other", five_seconds) + put_request("b/k", "x"));
  client.close();
  EXPECT_TRUE(waits_for(0));
  EXPECT_EQ(daemon().statistics().waiters_dropped, 1u);
}

TEST_F(Wait, IsForgottenHoweverMuchIsPipelinedBehindIt) {
  for (const bool resets : {false, true}) {
    auto client = held();
    client.send(put_request("b/other", std::string(4 * options.limits.head_bytes, 'x')));
    resets ? client.reset() : client.close();
    EXPECT_TRUE(waits_for(0)) << resets;
  }
  EXPECT_EQ(daemon().statistics().waiters_dropped, 2u);
}

TEST_F(Wait, AnswersAllThatIsPipelinedBehindIt) {
  auto client = held();
  client.send(put_request("b/other", std::string(4 * options.limits.head_bytes, 'x')));
  store();
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive().status, 200);
}

TEST_F(Wait, GrantsALeaseToNobodyIfToldTo) {
  options.behaviour.drop_abandoned_waiters = false;
  held().close();
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
  EXPECT_EQ(daemon().statistics().waiters, 1u);
  store();
  EXPECT_EQ(daemon().statistics().live_leases, 1u);
  clock->advance(30s);
  EXPECT_EQ(daemon().statistics().leases_expired, 1u);
}

// --- What is pipelined behind a waiting request
// ----------------------------------------------------

TEST_F(Wait, DelaysWhatIsPipelinedBehindIt) {
  auto client = daemon().connect();
  client.send(lease_request("b/k", five_seconds) + put_request("b/other", "x") +
              lease_request("b/other") + get_request());
  ASSERT_TRUE(waits_for(1));
  EXPECT_TRUE(client.is_silent());
  EXPECT_EQ(daemon().statistics().puts_stored, 0u);
  store();
  EXPECT_EQ(daemon().leased_bytes(client.receive()), "bytes");
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(daemon().leased_bytes(client.receive()), "x");
  EXPECT_EQ(client.receive().status, 404);
}

TEST_F(Wait, DelaysMoreThanIsReadAhead) {
  auto client = held();
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += get_request(fmt::format("/{}", i));
  client.send(requests);
  store();
  EXPECT_EQ(client.receive().status, 200);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.receive().status, 404);
}

TEST_F(Wait, KeepsABodyInOrderThatFollowsAHeadPipelinedBehindIt) {
  const auto body = random_bytes(200'000);
  for (const std::size_t with_head : {0, 1, 1000}) {
    const auto path = fmt::format("b/{}", with_head);
    const auto waited_for = fmt::format("b/first-{}", with_head);
    auto client = daemon().connect();
    client.send(lease_request(waited_for, five_seconds) + put_head(path, body.size()) +
                body.substr(0, with_head));
    ASSERT_TRUE(waits_for(1));
    EXPECT_EQ(daemon().connect().ask(put_request(waited_for, "x")).status, 200);
    EXPECT_EQ(client.receive().status, 200);
    ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
    for (std::size_t at = with_head; at < body.size(); at += 10'000) {
      client.send(std::string_view(body).substr(at, 10'000));
    }
    EXPECT_EQ(client.receive().status, 200);
    EXPECT_TRUE(daemon().leased_bytes(client.ask(lease_request(path))) == body) << with_head;
  }
}

TEST_F(Wait, KeepsChunksInOrderThatFollowAHeadPipelinedBehindIt) {
  auto client = daemon().connect();
  client.send(lease_request("b/k", five_seconds) + chunked_head("b/chunked") + "6\r\nabc");
  ASSERT_TRUE(waits_for(1));
  store();
  EXPECT_EQ(client.receive().status, 200);
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  for (const std::string_view piece : {"d", "ef\r", "\n3", "\r\ngh", "i\r\n0\r\n", "\r\n"}) {
    client.send(piece);
  }
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(daemon().leased_bytes(client.ask(lease_request("b/chunked"))), "abcdefghi");
}

TEST_F(Wait, KeepsABodyThatNobodyWantsInStep) {
  auto client = daemon().connect();
  client.send(lease_request("b/k", five_seconds) + put_head("b/k", 300'000));
  ASSERT_TRUE(waits_for(1));
  store();
  EXPECT_EQ(client.receive().status, 200);
  for (int i = 0; i < 30; ++i) client.send(random_bytes(10'000));
  EXPECT_EQ(client.receive().status, 409);
  EXPECT_EQ(client.ask(get_request()).status, 404);
}

TEST_F(Wait, IsNotedToBeAbandonedAfterAnother) {
  auto client = held();
  store();
  EXPECT_EQ(client.receive().status, 200);
  client.send(lease_request("b/second", five_seconds));
  ASSERT_TRUE(waits_for(1));
  client.close();
  EXPECT_TRUE(waits_for(0));
}

}  // namespace
}  // namespace hyperpod::emulator::http
