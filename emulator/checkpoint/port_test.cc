// SPDX-License-Identifier: Apache-2.0
// The checkpoint API as its clients see it over the wire.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <utility>

#include "testing/daemon.h"

namespace hyperpod::emulator::checkpoint {
namespace {

using test::Daemon;
using test::random_bytes;
using test::Reply;
using test::test_options;
using test::WireClient;
using testing::HasSubstr;

constexpr std::string_view hello_meta =
    R"(Shard-Meta: {"checksum": "tenBrQcbPn/Hec+qXlI4GA==", "algorithm": "xxh3_128"})"
    "\r\n";

std::string request(std::string_view method, std::string_view target, std::string_view body = "",
                    std::string_view fields = "") {
  return fmt::format("{} /v1/cp/{} HTTP/1.1\r\nHost: daemon\r\nContent-Length: {}\r\n{}\r\n{}",
                     method, target, body.size(), fields, body);
}

class CheckpointPort : public testing::Test {
 protected:
  CheckpointPort() : options_(test_options()) {}

  Daemon& daemon() {
    if (!daemon_) daemon_.emplace(options_);
    return *daemon_;
  }
  Reply ask(std::string_view method, std::string_view target, std::string_view body = "",
            std::string_view fields = "") {
    if (!client_) client_.emplace(daemon().connect());
    return client_->ask(request(method, target, body, fields));
  }
  Reply get(std::string_view target) { return ask("GET", target); }
  int create(std::string_view name = "run", int ranks = 2, int steps = 2) {
    return ask("POST",
               fmt::format("namespaces/{}?num_ranks={}&steps_retained={}", name, ranks, steps))
        .status;
  }
  int save(int rank, int step, std::string_view body, std::string_view fields = "") {
    return ask("POST", fmt::format("checkpoints/run/{}/{}", rank, step), body, fields).status;
  }

  Options options_;
  std::optional<Daemon> daemon_;
  std::optional<WireClient> client_;
};

TEST_F(CheckpointPort, ANamespaceIsCreatedShownAndDeleted) {
  EXPECT_EQ(get("namespaces/run").status, 404);
  EXPECT_EQ(create("run", 3, 2), 200);
  EXPECT_EQ(get("namespaces/run").body, R"({"num_ranks":3,"steps_to_retain_per_rank":2})");
  EXPECT_EQ(create("run", 3, 2), 200);
  EXPECT_EQ(create("run", 4, 2), 409);
  EXPECT_EQ(ask("DELETE", "namespaces/run").status, 200);
  EXPECT_EQ(ask("DELETE", "namespaces/run").status, 404);
  EXPECT_EQ(get("namespaces/run").status, 404);
}

TEST_F(CheckpointPort, AShardComesBackWithItsHeaderByteForByte) {
  create();
  const std::string bytes = random_bytes(3'000'000);
  EXPECT_EQ(save(0, 7, bytes, "Shard-Meta: {\"a\" :1, not JSON\r\n"), 200);
  const Reply shard = get("checkpoints/run/0/7");
  EXPECT_EQ(shard.status, 200);
  EXPECT_EQ(shard.fields.at("shard-meta"), "{\"a\" :1, not JSON");
  EXPECT_TRUE(shard.body == bytes);
  EXPECT_EQ(get("checkpoints/run/1/7").status, 404);
  EXPECT_EQ(get("checkpoints/other/0/7").status, 404);
}

TEST_F(CheckpointPort, AShardMayBeEmptyChunkedOrExpectContinue) {
  create();
  EXPECT_EQ(save(0, 1, ""), 200);
  EXPECT_EQ(get("checkpoints/run/0/1").fields.at("content-length"), "0");
  client_->send(
      "POST /v1/cp/checkpoints/run/0/2 HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\n");
  EXPECT_EQ(client_->receive().status, 200);
  EXPECT_EQ(get("checkpoints/run/0/2").body, "");
  client_->send(
      "POST /v1/cp/checkpoints/run/0/3 HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client_->receive(true).status, 100);
  EXPECT_EQ(client_->ask("ok").status, 200);
  EXPECT_EQ(get("checkpoints/run/0/3").body, "ok");
}

TEST_F(CheckpointPort, AShardThatDoesNotFitItsChecksumLeavesWhatWasThere) {
  create();
  EXPECT_EQ(save(0, 1, "hello", hello_meta), 200);
  EXPECT_EQ(save(0, 1, "hellO", hello_meta), 400);
  EXPECT_EQ(get("checkpoints/run/0/1").body, "hello");
}

TEST_F(CheckpointPort, AShardCutShortLeavesWhatWasThere) {
  create();
  save(0, 1, "old");
  {
    WireClient cut = daemon().connect();
    cut.send(
        "POST /v1/cp/checkpoints/run/0/1 HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nhalf");
    EXPECT_TRUE(daemon().reaches(
        [this](const Statistics& now) { return now.used_bytes == 2 * options_.block_size; }));
  }
  EXPECT_TRUE(daemon().reaches(
      [this](const Statistics& now) { return now.used_bytes == options_.block_size; }));
  EXPECT_EQ(get("checkpoints/run/0/1").body, "old");
}

TEST_F(CheckpointPort, AReaderThatHasBegunGetsTheShardThatItBegan) {
  create();
  const std::string old = random_bytes(32 << 20);
  save(0, 1, old);
  WireClient reader = daemon().connect();
  reader.send(request("GET", "checkpoints/run/0/1"));
  // The response is far larger than what the kernel takes before anybody reads.
  EXPECT_TRUE(daemon().reaches([](const Statistics& now) { return now.requests >= 3; }));
  EXPECT_EQ(save(0, 1, "new"), 200);
  EXPECT_EQ(ask("DELETE", "namespaces/run").status, 200);
  EXPECT_TRUE(reader.receive().body == old);
}

TEST_F(CheckpointPort, LatestTellsCompleteStepsNewestFirst) {
  EXPECT_EQ(get("checkpoints/run/latest?limit=5").status, 404);
  create();
  EXPECT_EQ(get("checkpoints/run/latest?limit=5").body, "[]");
  for (const int step : {100, 200}) {
    save(0, step, "a");
    save(1, step, "b");
  }
  save(0, 300, "a");
  EXPECT_EQ(get("checkpoints/run/latest?limit=5").body, "[200,100]");
  EXPECT_EQ(get("checkpoints/run/latest?limit=1").body, "[200]");
  EXPECT_EQ(get("checkpoints/run/latest").body, "[200,100]");
  EXPECT_EQ(get("checkpoints/run/latest?limit=-1").status, 400);
}

TEST_F(CheckpointPort, HostileAddressesAreRefusedAndTheConnectionGoesOn) {
  create();
  const std::string huge(30, '9');
  for (const char* target :
       {"checkpoints/run/x/1", "checkpoints/run/0/-1", "checkpoints/run/2/1", "checkpoints/run//1",
        "checkpoints/run/0/", "checkpoints/run/0/1.0", "checkpoints/run/0/%31x"}) {
    EXPECT_EQ(ask("POST", target, "body").status, 400) << target;
  }
  EXPECT_EQ(ask("POST", "checkpoints/run/0/" + huge, "body").status, 400);
  EXPECT_EQ(ask("POST", "checkpoints/" + std::string(4096, 'n') + "/0/1", "body").status, 404);
  EXPECT_EQ(ask("POST", "checkpoints/%ff/0/1", "body").status, 400);
  for (const std::string_view query :
       {"", "?num_ranks=1", "?num_ranks=0&steps_retained=1", "?num_ranks=1&steps_retained=x",
        "?num_ranks=1e3&steps_retained=1"}) {
    EXPECT_EQ(ask("POST", "namespaces/bad" + std::string(query)).status, 400) << query;
  }
  EXPECT_EQ(ask("POST", "checkpoints/run/0/1/2", "body").status, 404);
  EXPECT_EQ(ask("PUT", "namespaces/run").status, 404);
  EXPECT_EQ(ask("POST", "namespaces/").status, 404);
  EXPECT_EQ(save(0, 1, "fine"), 200);
}

TEST_F(CheckpointPort, NamesAreDecodedOnce) {
  EXPECT_EQ(create("a%20b%2Fc%2525.%C3%BC"), 200);
  EXPECT_EQ(get("namespaces/a%20b%2fc%2525.%c3%bc").status, 200);
  EXPECT_EQ(get("namespaces/a%20b%2Fc%25.%C3%BC").status, 404);
}

TEST_F(CheckpointPort, AShardThatDoesNotFitIsRefused) {
  options_.capacity = 16 * options_.block_size;
  create();
  EXPECT_EQ(save(0, 1, std::string(options_.capacity, 'x')), 200);
  EXPECT_EQ(save(1, 1, "x"), 507);
  EXPECT_EQ(get("checkpoints/run/0/1").body.size(), options_.capacity);
  EXPECT_EQ(daemon().connect().ask(test::put_request("b/k", "x")).status, 507);
}

TEST_F(CheckpointPort, AResetForgetsShardsAndObjects) {
  create();
  save(0, 1, "x");
  EXPECT_EQ(daemon().connect().ask(test::put_request("b/k", "x")).status, 200);
  EXPECT_EQ(ask("POST", "cluster/reset").status, 200);
  EXPECT_EQ(get("namespaces/run").status, 404);
  EXPECT_EQ(daemon().statistics().used_bytes, 0u);
}

TEST_F(CheckpointPort, ARestartForgetsCheckpoints) {
  create();
  save(0, 1, "x");
  Effects restart;
  restart.incident = Incident::restart;
  EXPECT_TRUE(daemon().emulator().cause(restart));
  client_.reset();
  EXPECT_EQ(get("namespaces/run").status, 404);
  EXPECT_EQ(daemon().statistics().used_bytes, 0u);
}

TEST_F(CheckpointPort, AShardForANamespaceMadeAnewIsAbsent) {
  const std::string save_late = request("POST", "checkpoints/run/0/1", "late");
  for (const bool all : {false, true}) {
    create();
    auto late = daemon().connect();
    const auto used = daemon().statistics().used_bytes;
    late.send(save_late.substr(0, save_late.size() - 1));
    ASSERT_TRUE(daemon().reaches([=](const Statistics& s) { return s.used_bytes > used; }));
    EXPECT_EQ((all ? ask("POST", "cluster/reset") : ask("DELETE", "namespaces/run")).status, 200);
    create();
    late.send(save_late.substr(save_late.size() - 1));
    const Reply reply = late.receive();
    EXPECT_EQ(reply.status, 404);
    EXPECT_EQ(reply.error(), "absent");
    EXPECT_EQ(late.ask(request("GET", "checkpoints/run/0/1")).status, 404);
    EXPECT_EQ(late.ask(save_late).status, 200) << "the connection goes on";
  }
}

TEST_F(CheckpointPort, WhoConnectsAgainWhileTheDaemonRestartsMeetsTheNewOne) {
  create();
  save(0, 1, "old");
  auto other = daemon().connect();
  ASSERT_EQ(other.ask(test::put_request("b/k", "x")).status, 200);
  ASSERT_EQ(other.ask(test::lease_request("b/k")).status, 200);
  // The restart tells of the leases that it ends while it clears away what was.
  Journal& journal = daemon().emulator().journal();
  bool connected = false;
  journal.observe([&, restarting = std::this_thread::get_id()] {
    if (std::this_thread::get_id() != restarting || std::exchange(connected, true)) return;
    client_.reset();
    EXPECT_EQ(get("checkpoints/run/0/1").status, 404);
    EXPECT_EQ(create(), 200);
    EXPECT_EQ(save(0, 2, "new"), 200);
  });
  EXPECT_TRUE(daemon().emulator().cause({.incident = Incident::restart}));
  journal.observe(nullptr);
  ASSERT_TRUE(connected);
  EXPECT_EQ(get("checkpoints/run/0/1").status, 404);
  EXPECT_EQ(get("checkpoints/run/0/2").body, "new");
  EXPECT_EQ(daemon().statistics().shards, 1u);
  EXPECT_EQ(daemon().statistics().shard_bytes, 3u);
}

TEST_F(CheckpointPort, EverySwitchChangesWhatItSays) {
  options_.behaviour.namespace_conflict_status = 422;
  options_.behaviour.absent_namespace_status = 410;
  options_.behaviour.shard_address_status = 416;
  options_.behaviour.shard_checksum_status = 422;
  options_.behaviour.accept_empty_shards = false;
  options_.behaviour.replace_shards = false;
  options_.behaviour.latest_counts_incomplete = true;
  options_.behaviour.retire_steps = false;
  options_.behaviour.cluster_reset_drops_objects = false;
  create("run", 2, 1);
  EXPECT_EQ(create("run", 3, 1), 422);
  EXPECT_EQ(ask("POST", "checkpoints/other/0/1", "x").status, 410);
  EXPECT_EQ(ask("POST", "checkpoints/run/x/1", "x").status, 416);
  EXPECT_EQ(save(0, 1, "other", hello_meta), 422);
  EXPECT_EQ(save(0, 1, ""), 400);
  EXPECT_EQ(save(0, 1, "x"), 200);
  EXPECT_EQ(save(0, 1, "y"), 409);
  EXPECT_EQ(save(1, 1, "x"), 200);
  EXPECT_EQ(save(0, 2, "x"), 200);
  EXPECT_EQ(save(1, 2, "x"), 200);
  EXPECT_EQ(save(0, 3, "x"), 200);
  EXPECT_EQ(get("checkpoints/run/latest").body, "[3,2,1]");
  EXPECT_EQ(daemon().connect().ask(test::put_request("b/k", "x")).status, 200);
  EXPECT_EQ(ask("POST", "cluster/reset").status, 200);
  EXPECT_EQ(daemon().statistics().objects, 1u);
}

TEST_F(CheckpointPort, AnUncheckedShardIsKeptAsItCame) {
  options_.behaviour.check_shards = false;
  create();
  EXPECT_EQ(save(0, 1, "other", hello_meta), 200);
}

TEST_F(CheckpointPort, StateAndStatisticsTellOfNamespaces) {
  create("run", 2, 2);
  create("other", 1, 3);
  save(0, 1, "12345");
  save(1, 1, "678");
  save(0, 2, "9");
  const auto namespaces = daemon().emulator().state().namespaces;
  ASSERT_EQ(namespaces.size(), 2u);
  EXPECT_EQ(namespaces[0].name, "other");
  EXPECT_EQ(namespaces[1].name, "run");
  EXPECT_EQ(namespaces[1].num_ranks, 2u);
  EXPECT_EQ(namespaces[1].steps_retained, 2u);
  EXPECT_EQ(namespaces[1].bytes, 9u);
  EXPECT_THAT(namespaces[1].complete_steps, testing::ElementsAre(1));
  EXPECT_THAT(namespaces[1].incomplete_steps, testing::ElementsAre(2));
  for (int step = 3; step <= 5; ++step) {
    for (const int rank : {0, 1}) save(rank, step, "x");
  }
  Statistics now = daemon().statistics();
  EXPECT_EQ(now.namespaces, 2u);
  EXPECT_EQ(now.shards, 4u);
  EXPECT_EQ(now.shard_bytes, 4u);
  EXPECT_EQ(now.shards_stored, 9u);
  EXPECT_EQ(now.shards_retired, 5u);
  daemon().emulator().reset({.objects = false, .counters = true});
  now = daemon().statistics();
  EXPECT_EQ(now.shards_stored, 0u);
  EXPECT_EQ(now.shards, 4u) << "what is there stays";
  daemon().emulator().reset(
      {.leases = false, .faults = false, .journal = false, .counters = false});
  now = daemon().statistics();
  EXPECT_EQ(now.namespaces, 0u) << "they go with the objects";
  EXPECT_EQ(now.shards, 0u);
}

TEST_F(CheckpointPort, FaultsMeetTheirOperationsAndAnyDoesNot) {
  const auto refuse = [](FaultOperation operation, int status) {
    Effects effects;
    effects.ending = RespondWith{.status = status};
    return Fault{.match = {.operation = operation}, .script = {effects}};
  };
  options_.faults = {refuse(FaultOperation::any, 500), refuse(FaultOperation::checkpoint_put, 501),
                     refuse(FaultOperation::checkpoint_get, 502),
                     refuse(FaultOperation::checkpoint_delete, 503),
                     refuse(FaultOperation::checkpoint_namespace, 504)};
  EXPECT_EQ(save(0, 1, "x"), 501);
  EXPECT_EQ(get("checkpoints/run/0/1").status, 502);
  EXPECT_EQ(get("checkpoints/run/latest").status, 502);
  EXPECT_EQ(ask("DELETE", "checkpoints/run/0/1").status, 503);
  EXPECT_EQ(create(), 504);
  EXPECT_EQ(ask("POST", "cluster/reset").status, 504);
}

TEST_F(CheckpointPort, AFaultMayCutAShardShort) {
  Effects cut;
  cut.close_after_bytes = 200;
  options_.faults = {{.match = {.operation = FaultOperation::checkpoint_get}, .script = {cut}}};
  create();
  save(0, 1, std::string(100'000, 'x'));
  client_->send(request("GET", "checkpoints/run/0/1"));
  EXPECT_EQ(client_->receive_until_closed().size(), 200u);
}

TEST_F(CheckpointPort, AFaultMayDribbleAShard) {
  using namespace std::chrono_literals;
  const auto clock = std::make_shared<ManualClock>();
  options_ = test_options(clock);
  Effects slow;
  slow.dribble = 100ms;
  options_.faults = {{.match = {.operation = FaultOperation::checkpoint_get}, .script = {slow}}};
  create();
  save(0, 1, "ten bytes.");
  client_->send(request("GET", "checkpoints/run/0/1", "", "Connection: close\r\n"));
  const Journal& journal = daemon().emulator().journal();
  for (int i = 0; i < 10'000 && journal.recorded() < 3; ++i) clock->advance(100ms);
  EXPECT_EQ(client_->receive(true).fields.at("content-length"), "10");
  EXPECT_TRUE(client_->is_silent());
  clock->advance(100ms);
  EXPECT_FALSE(client_->is_silent()) << "the first byte";
  clock->advance(900ms);
  EXPECT_EQ(client_->receive_until_closed(), "ten bytes.");
}

TEST_F(CheckpointPort, TheJournalTellsNamespaceRankAndStep) {
  create();
  save(0, 7, "hello");
  get("checkpoints/run/0/7");
  const auto entries = daemon().emulator().journal().entries();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(name_of(entries[0].operation), "namespace");
  EXPECT_EQ(name_of(entries[1].operation), "checkpoint_put");
  EXPECT_EQ(entries[1].bucket, "run");
  EXPECT_EQ(entries[1].key, "0/7");
  EXPECT_EQ(entries[1].bytes_in, 5u);
  EXPECT_EQ(name_of(entries[2].operation), "checkpoint_get");
}

}  // namespace
}  // namespace hyperpod::emulator::checkpoint
