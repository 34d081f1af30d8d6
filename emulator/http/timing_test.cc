// SPDX-License-Identifier: Apache-2.0
// Time limits and lifetimes of the data port, by a clock moved by hand and by the machine's.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/daemon.h"

namespace hyperpod::emulator::http::timing_test {
namespace {

using test::chunked_head;
using test::Daemon;
using test::get_request;
using test::id_of;
using test::lease_request;
using test::patience;
using test::put_head;
using test::put_request;
using test::random_bytes;
using test::release_request;
using test::test_options;
using test::WireClient;

using namespace std::chrono_literals;

constexpr std::uint64_t block = 64 * 1024;

class Timing : public testing::Test {
 protected:
  Daemon& daemon() {
    if (!daemon_) daemon_.emplace(options);
    return *daemon_;
  }
  /// A connection that the daemon has begun to serve.
  WireClient connected() {
    auto client = daemon().connect();
    EXPECT_EQ(client.ask(get_request()).status, 404);
    return client;
  }
  /// A connection of which the daemon has seen `bytes`, the front of a request.
  WireClient begun(std::string_view bytes) {
    auto client = daemon().connect();
    // Answered in order, so what came with the first request has been seen when it is answered.
    EXPECT_EQ(client.ask(get_request() + std::string(bytes)).status, 404);
    return client;
  }

  const std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Options options = test_options(clock);

 private:
  std::optional<Daemon> daemon_;
};

// --- Leases
// -------------------------------------------------------------------------------------

TEST_F(Timing, ALeaseLivesForItsTtl) {
  auto client = connected();
  client.ask(put_request("b/k", "bytes"));
  const auto live = id_of(client.ask(lease_request("b/k", "ttl_s=30.0")));
  const auto dead = id_of(client.ask(lease_request("b/k", "ttl_s=29.999")));
  clock->advance(30s - 1ms);
  EXPECT_EQ(client.ask(release_request(live)).status, 200);
  EXPECT_EQ(client.ask(release_request(dead)).status, 404);
  const auto last = id_of(client.ask(lease_request("b/k", "ttl_s=30.0")));
  clock->advance(30s);
  EXPECT_EQ(client.ask(release_request(last)).status, 404);
  EXPECT_EQ(daemon().statistics().leases_expired, 2u);
  EXPECT_EQ(daemon().statistics().pinned_bytes, 0u);
}

TEST_F(Timing, ALeaseThatHasExpiredPinsNothing) {
  options.capacity = 4 * block;
  auto client = connected();
  client.ask(put_request("b/k", random_bytes(4 * block)));
  client.ask(lease_request("b/k", "ttl_s=10"));
  EXPECT_EQ(client.ask(put_request("b/next", "x")).status, 507);
  clock->advance(10s);
  EXPECT_EQ(client.ask(put_request("b/next", "x")).status, 200);
}

TEST_F(Timing, ALeaseOfRealTimeExpiresByItself) {
  options.clock = nullptr;
  auto client = connected();
  client.ask(put_request("b/k", "bytes"));
  const auto id = id_of(client.ask(lease_request("b/k", "ttl_s=0.05")));
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.leases_expired == 1; }));
  EXPECT_EQ(client.ask(release_request(id)).status, 404);
}

// --- Heads
// --------------------------------------------------------------------------------------

TEST_F(Timing, AHeadMustBeCompleteTenSecondsAfterItsFirstByte) {
  auto client = begun("PUT /v1/kv/b/k HT");
  clock->advance(10s - 1ms);
  EXPECT_TRUE(client.is_silent());
  clock->advance(1ms);
  EXPECT_EQ(daemon().statistics().open_connections, 0u);
  EXPECT_EQ(client.receive_until_closed(), "");
}

TEST_F(Timing, AHeadThatTricklesInHasNoMoreTimeThanAnother) {
  auto client = begun("P");
  const auto rest = put_request("b/k", "bytes").substr(1);
  for (std::size_t i = 0; i < 9; ++i) {
    clock->advance(1s);
    client.send(rest.substr(i, 1));
  }
  clock->advance(1s);
  EXPECT_EQ(client.receive_until_closed(), "");
}

TEST_F(Timing, TheFirstByteOfAHeadMayComeLate) {
  auto client = connected();
  clock->advance(60s);
  EXPECT_EQ(client.ask(get_request()).status, 404);
}

TEST_F(Timing, AHalfSentHeadOfRealTimeIsCutOff) {
  options.clock = nullptr;
  options.limits.head_timeout = 50ms;
  auto client = begun("GET /");
  EXPECT_EQ(client.receive_until_closed(), "");
}

// --- Bodies
// -------------------------------------------------------------------------------------

TEST_F(Timing, ABodyThatStallsIsAbortedAfterThirtySeconds) {
  auto client = daemon().connect();
  client.send(put_head("b/k", 3 * block) + random_bytes(block));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  // The time counts from the last byte read, of which the figures tell nothing.
  clock->advance(29s);
  EXPECT_EQ(daemon().statistics().puts_in_flight, 1u);
  clock->advance(30s);
  const auto now = daemon().statistics();
  EXPECT_EQ(now.puts_in_flight, 0u);
  EXPECT_EQ(now.puts_aborted, 1u);
  EXPECT_EQ(now.used_bytes, 0u);
  EXPECT_EQ(now.open_connections, 0u);
  EXPECT_EQ(client.receive_until_closed(), "");
}

TEST_F(Timing, TheJournalTellsAStalledBodyFromOneWhosePeerHasGone) {
  const auto end_of_put = [this](auto&& what) {
    auto client = begun(put_head("b/k", 3 * block) + "x");
    EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
    what(client);
    EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
    return daemon().emulator().journal().newest({}, 1).at(0).end;
  };
  EXPECT_EQ(end_of_put([this](auto&) { clock->advance(60s); }), ConnectionEnd::closed_by_us);
  EXPECT_EQ(end_of_put([](auto& client) { client.close(); }), ConnectionEnd::closed_by_peer);
}

TEST_F(Timing, ABodyThatGoesOnIsNotAborted) {
  options.limits.body_rate = 0;
  for (const std::uint64_t size : {3 * block, 100 * block}) {
    auto client = connected();
    const auto body = random_bytes(size);
    const auto path = fmt::format("b/{}", size);
    client.send(put_head(path, size));
    const std::size_t piece = size / 10 + 1;
    for (std::size_t at = 0; at < size; at += piece) {
      client.send(std::string_view(body).substr(at, piece));
      // Sent is not yet read: at most one step passes between two pieces that the daemon reads.
      clock->advance(14s);
    }
    EXPECT_EQ(client.receive().status, 200) << size;
    EXPECT_EQ(daemon().leased_bytes(client.ask(lease_request(path))), body);
  }
}

TEST_F(Timing, ALargeBodyThatTricklesInIsNotAborted) {
  options.limits.body_rate = 0;
  auto client = daemon().connect();
  const auto body = random_bytes(100 * block);
  client.send(put_head("b/k", body.size()));
  std::size_t sent = 0;
  for (int i = 0; i < 8; ++i, sent += 1000) {
    client.send(std::string_view(body).substr(sent, 1000));
    clock->advance(20s);
  }
  client.send(std::string_view(body).substr(sent));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(daemon().leased_bytes(client.ask(lease_request("b/k"))), body);
}

TEST_F(Timing, ABodyThatComesTooSlowlyIsGivenUp) {
  options.limits.body_rate = 1000;
  for (const auto& head : {put_head("b/k", 10'000'000), chunked_head("b/k")}) {
    auto client = begun(head);
    ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
    int seconds = 0;
    for (; seconds < 600 && daemon().statistics().puts_in_flight == 1; seconds += 20) {
      client.try_send(head.find("chunked") == head.npos ? "x" : "1\r\nx\r\n");
      clock->advance(20s);
    }
    EXPECT_LE(seconds, 100);
    EXPECT_EQ(client.receive_until_closed(), "");
  }
  EXPECT_EQ(daemon().statistics().used_bytes, 0u);
}

TEST_F(Timing, ABodyThatHasComeWholeWasNotTooSlow) {
  options.limits.body_rate = 1000;
  auto client = begun(put_head("b/k", 3) + "a");
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  clock->advance(14s);
  client.send("b");
  clock->advance(14s);
  clock->advance(5s);
  client.send("c");
  EXPECT_EQ(client.receive().status, 200);
}

TEST_F(Timing, ABodyThatTakesTooLongIsGivenUpHoweverFastItIs) {
  options.limits.body_rate = 1;
  options.limits.body_timeout = 2min;
  auto client = begun(put_head("b/k", 10'000'000));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  int seconds = 0;
  for (; seconds < 600 && daemon().statistics().puts_in_flight == 1; seconds += 20) {
    client.try_send(std::string(1000, 'x'));
    clock->advance(20s);
  }
  EXPECT_GE(seconds, 120);
  EXPECT_LE(seconds, 180);
}

TEST_F(Timing, AChunkedBodyThatStallsIsAborted) {
  for (const char* part : {"", "5", "5\r\n", "5\r\nby", "5\r\nbytes\r\n", "5\r\nbytes\r\n0\r\n"}) {
    auto client = daemon().connect();
    client.send(chunked_head("b/k") + part);
    ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
    clock->advance(29s);
    clock->advance(30s);
    EXPECT_EQ(daemon().statistics().used_bytes, 0u) << part;
    EXPECT_EQ(client.receive_until_closed(), "") << part;
  }
}

TEST_F(Timing, ABodyThatNobodyWantsMayNotStallEither) {
  connected().ask(put_request("b/k", "bytes"));
  auto client = begun(put_head("b/k", 1000) + "x");
  clock->advance(29s);
  clock->advance(30s);
  EXPECT_EQ(client.receive_until_closed(), "");
}

TEST_F(Timing, ABodyOfRealTimeThatStallsIsAborted) {
  options.clock = nullptr;
  options.limits.stall_timeout = 50ms;
  auto client = daemon().connect();
  client.send(put_head("b/k", 2) + "x");
  EXPECT_EQ(client.receive_until_closed(), "");
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.used_bytes == 0; }));
}

// --- Answers
// ------------------------------------------------------------------------------------

TEST_F(Timing, AnAnswerThatNobodyReadsIsGivenUp) {
  options.placement = Placement::scattered;
  auto client = connected();
  // Each grant names 500 fragments, and 2,000 of them are more than the buffers between hold.
  client.ask(put_request("b/k", random_bytes(500 * block)));
  std::string requests;
  for (int i = 0; i < 2000; ++i) requests += lease_request("b/k", "ttl_s=86400");
  client.send(requests);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (daemon().statistics().open_connections > 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    clock->advance(30s);
  }
  EXPECT_LT(daemon().statistics().requests, 2000u);
}

// --- Idle connections
// ---------------------------------------------------------------------------

TEST_F(Timing, AnIdleConnectionIsClosedAfterTwoMinutes) {
  auto fresh = daemon().connect();
  auto used = connected();
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 2; }));
  clock->advance(120s - 1ms);
  EXPECT_TRUE(used.is_silent());
  EXPECT_TRUE(fresh.is_silent());
  clock->advance(1ms);
  EXPECT_EQ(daemon().statistics().open_connections, 0u);
  EXPECT_EQ(used.receive_until_closed(), "");
  EXPECT_EQ(fresh.receive_until_closed(), "");
}

TEST_F(Timing, AConnectionIsIdleFromItsLastAnswerOn) {
  auto client = connected();
  for (int i = 0; i < 2; ++i) {
    clock->advance(119s);
    EXPECT_EQ(client.ask(get_request()).status, 404);
  }
  for (int i = 0; i < 2; ++i) {
    clock->advance(119s);
    EXPECT_EQ(client.ask(lease_request("b/absent")).status, 504);
  }
  clock->advance(120s);
  EXPECT_EQ(client.receive_until_closed(), "");
}

TEST_F(Timing, AnIdleConnectionOfRealTimeIsClosed) {
  options.clock = nullptr;
  options.limits.idle_timeout = 50ms;
  EXPECT_EQ(connected().receive_until_closed(), "");
}

TEST_F(Timing, AConnectionWithAHeldRequestIsNotIdle) {
  auto client = daemon().connect();
  client.send(lease_request("b/k", "timeout_ms=600000"));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.waiters == 1; }));
  clock->advance(10min - 1ms);
  EXPECT_TRUE(client.is_silent());
  clock->advance(1ms);
  EXPECT_EQ(client.receive().status, 504);
  clock->advance(120s);
  EXPECT_EQ(client.receive_until_closed(), "");
}

TEST_F(Timing, APeerThatIsRefusedIsNotListenedToForLong) {
  auto client = daemon().connect();
  EXPECT_EQ(client.ask("nonsense\n").status, 400);
  clock->advance(2s);
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
}

// --- Several at once
// ----------------------------------------------------------------------------

TEST_F(Timing, OneClockDrivesSeveralDaemons) {
  Daemon other(test_options(clock));
  auto here = daemon().connect();
  auto there = other.connect();
  here.send(lease_request("b/k", "timeout_ms=1000"));
  there.send(lease_request("b/k", "timeout_ms=2000"));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.waiters == 1; }));
  ASSERT_TRUE(other.reaches([](const Statistics& s) { return s.waiters == 1; }));
  clock->advance(1s);
  EXPECT_EQ(here.receive().status, 504);
  EXPECT_TRUE(there.is_silent());
  clock->advance(1s);
  EXPECT_EQ(there.receive().status, 504);
}

TEST_F(Timing, EverythingThatFallsDueAtOnceHasHappenedWhenAdvanceReturns) {
  options.threads = 2;
  std::vector<WireClient> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(daemon().connect());
    clients.back().send(put_head(fmt::format("b/{}", i), 2) + "x");
  }
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 50; }));
  clock->advance(1h);
  const auto now = daemon().statistics();
  EXPECT_EQ(now.puts_aborted, 50u);
  EXPECT_EQ(now.used_bytes, 0u);
  EXPECT_EQ(now.open_connections, 0u);
}

}  // namespace
}  // namespace hyperpod::emulator::http::timing_test
