// SPDX-License-Identifier: Apache-2.0
// How the client treats its daemons and its callers: outcomes, queue, circuit, batches, close.
#include "hyperpod/client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "address.h"
#include "testing/fake_daemon.h"
#include "transport/placement.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using testing::answer;
using testing::bytes_of;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::eventually;
using testing::FakeDaemon;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::lease_body;
using testing::make_client;
using testing::options_for;
using testing::SeenRequest;
using ::testing::SizeIs;
using ::testing::StartsWith;

using SteadyClock = std::chrono::steady_clock;

// Lets requests into a daemon's hands and keeps them there until it is opened.
class Latch {
 public:
  void wait() {
    ++waiting_;
    eventually([this] { return open_.load(); });
    --waiting_;
  }
  void open() { open_ = true; }
  int waiting() const { return waiting_; }

 private:
  std::atomic<bool> open_{false};
  std::atomic<int> waiting_{0};
};

class ClientTest : public ::testing::Test {
 protected:
  Client& client() {
    if (!client_) client_.emplace(make_client(options_));
    return *client_;
  }

  void use_manual_clock() { options_.clock = clock_; }

  Latch latch_;  // outlives the daemon whose handlers wait at it
  FakeDaemon daemon_;
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  ClientOptions options_ = options_for(daemon_);
  std::optional<Client> client_;
};

TEST_F(ClientTest, IsNotMadeFromUnusableOptions) {
  const auto code = [](auto change) {
    ClientOptions options;
    options.remote_url = "localhost:1";
    change(options);
    const auto client = Client::create(options);
    return client ? std::nullopt : std::optional(client.error().code);
  };
  EXPECT_EQ(code([](ClientOptions&) {}), std::nullopt);
  EXPECT_EQ(code([](ClientOptions& o) { o.remote_url = ""; }), ErrorCode::invalid_option);
  EXPECT_EQ(code([](ClientOptions& o) { o.remote_url = "$HYPERPOD_NO_SUCH_VARIABLE:1"; }),
            ErrorCode::invalid_option);
  EXPECT_EQ(code([](ClientOptions& o) { o.max_connections = 0; }), ErrorCode::invalid_option);
}

TEST_F(ClientTest, WarnsWhenItRaisesAValueToItsMinimum) {
  class Log final : public base::LogSink {
   public:
    bool enabled(base::LogLevel) const noexcept override { return true; }
    void write(base::LogLevel, std::string_view message) noexcept override { text += message; }
    std::string text;
  };
  const auto log = std::make_shared<Log>();
  options_.logger = log;
  options_.timeout = 1ms;
  client();
  EXPECT_THAT(log->text, HasSubstr("timeout_ms 1 is raised to its minimum 100"));
}

TEST_F(ClientTest, TellsStoredFromAlreadyStored) {
  EXPECT_EQ(client().put("key", bytes_of("value")), PutOutcome::stored);
  EXPECT_EQ(daemon_.requests().back().body, "value");
  daemon_.on_put([](const SeenRequest&) { return answer(409); });
  EXPECT_EQ(client().put("key", bytes_of("other")), PutOutcome::already_stored);
  EXPECT_EQ(client().statistics().put_success, 2u);
}

TEST_F(ClientTest, TakesEveryOtherStatusOfAPutForARefusal) {
  for (const int status : {201, 204, 400, 404, 500, 503, 507}) {
    daemon_.on_put([=](const SeenRequest&) { return answer(status); });
    const auto outcome = client().put("key", bytes_of("value"));
    ASSERT_FALSE(outcome) << status;
    EXPECT_EQ(outcome.error().code, ErrorCode::refused) << status;
    EXPECT_EQ(outcome.error().status, status);
    EXPECT_EQ(outcome.error().message.ends_with("no room that leases do not pin"), status == 507);
  }
  daemon_.on_put([](const SeenRequest&) { return answer(413); });
  const auto too_large = client().put("key", bytes_of("value"));
  EXPECT_EQ(too_large.error().code, ErrorCode::too_large);
  EXPECT_THAT(too_large.error().message, EndsWith("larger than the daemon's whole cache"));
  EXPECT_EQ(client().statistics().put_failure, 8u);
}

TEST_F(ClientTest, TellsWhatADaemonSaysOfItsRefusal) {
  const auto refusal = [](const SeenRequest&) {
    return answer(503, R"({"error":"busy","message":"Come back at noon."})");
  };
  daemon_.on_put(refusal);
  daemon_.on_lease(refusal);
  EXPECT_THAT(client().put("key", bytes_of("value")).error().message,
              EndsWith("status 503; it says: Come back at noon."));
  EXPECT_THAT(client().exists("key").error().message,
              EndsWith("status 503; it says: Come back at noon."));
  for (const char* body : {R"({"message":"two\nlines"})", R"({"message":7})", "[]", "busy"}) {
    daemon_.on_put([body](const SeenRequest&) { return answer(503, body); });
    EXPECT_THAT(client().put("key", bytes_of("value")).error().message, EndsWith("status 503"));
  }
}

TEST_F(ClientTest, RefusesAnEmptyKeyWithoutAsking) {
  std::array<std::byte, 1> room{};
  EXPECT_EQ(client().put("", room).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(client().get("", room).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(client().exists("").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(client().acquire("").error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(daemon_.requests(), IsEmpty());
}

TEST_F(ClientTest, AsksForALeaseAsLmcacheDoes) {
  options_.timeout = 5s;
  options_.bucket = "buc/ket";
  client().exists("model@1@0@ab@half");
  options_.lease_wait_timeout = 1234ms;
  options_.lease_ttl = 2500ms;
  client_.emplace(make_client(options_));
  client().exists("k");
  client().exists("k", {.wait = 0ms});
  const auto requests = daemon_.requests();
  ASSERT_THAT(requests, SizeIs(3));
  EXPECT_EQ(requests[0].line,
            "POST /v1/kv/buc%2Fket/model@1@0@ab@half/leases?timeout_ms=5000&ttl_s=30.0 HTTP/1.1");
  EXPECT_EQ(requests[1].line, "POST /v1/kv/buc%2Fket/k/leases?timeout_ms=1234&ttl_s=2.5 HTTP/1.1");
  EXPECT_EQ(requests[2].line, "POST /v1/kv/buc%2Fket/k/leases?timeout_ms=0&ttl_s=2.5 HTTP/1.1");
}

TEST_F(ClientTest, WaitsHalfASecondLongerThanTheDaemonAndThenHangsUp) {
  options_.lease_wait_timeout = 100ms;
  daemon_.on_lease([&](const SeenRequest&) {
    latch_.wait();
    return answer(504);
  });
  const auto start = SteadyClock::now();
  const auto found = client().exists("key");
  const auto taken = SteadyClock::now() - start;
  latch_.open();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::timed_out);
  EXPECT_GE(taken, 600ms);
  EXPECT_LT(taken, 1200ms);
  EXPECT_EQ(client().statistics().connections_open, 0u) << "so that the daemon can drop it";
}

TEST_F(ClientTest, CountsQueueingIntoTheDeadline) {
  options_.max_concurrent_requests = 1;
  options_.timeout = 200ms;
  daemon_.on_lease([&](const SeenRequest&) {
    latch_.wait();
    return answer(504);
  });
  std::thread busy([&] { client().exists("held", {.wait = 5000ms}); });
  ASSERT_TRUE(eventually([&] { return latch_.waiting() == 1; }));
  const auto start = SteadyClock::now();
  EXPECT_EQ(client().put("key", bytes_of("x")).error().code, ErrorCode::timed_out);
  const auto taken = SteadyClock::now() - start;
  latch_.open();
  busy.join();
  EXPECT_GE(taken, 200ms);
  EXPECT_LT(taken, 800ms);
  EXPECT_EQ(client().statistics().peak_requests_queued, 1u);
  EXPECT_FALSE(client().daemons()[0].circuit_open);
}

TEST_F(ClientTest, AsksTheDaemonToHoldNoLongerThanQueueingHasLeft) {
  use_manual_clock();
  options_.max_concurrent_requests = 1;
  options_.timeout = 5s;
  daemon_.on_put([&](const SeenRequest&) {
    latch_.wait();
    return answer(200);
  });
  std::thread busy([&] { client().put("busy", bytes_of("x")); });
  ASSERT_TRUE(eventually([&] { return latch_.waiting() == 1; }));
  std::thread waiter([&] { client().exists("key"); });
  ASSERT_TRUE(eventually([&] { return client().statistics().requests_queued == 1; }));
  clock_->advance(3s);
  latch_.open();
  busy.join();
  waiter.join();
  // 5.5 s for all, less the 3 s in the queue, less half the margin.
  EXPECT_THAT(daemon_.requests().back().line, HasSubstr("timeout_ms=2250&"));
}

TEST_F(ClientTest, SendsALeaseBeforeAPutThatWaitsLonger) {
  use_manual_clock();
  options_.max_concurrent_requests = 1;
  daemon_.on_lease([&](const SeenRequest&) {
    latch_.wait();
    return answer(504);
  });
  std::vector<std::thread> threads;
  const auto start = [&](std::uint64_t queued, auto call) {
    threads.emplace_back(call);
    ASSERT_TRUE(eventually([&] { return client().statistics().requests_queued == queued; }));
  };
  threads.emplace_back([&] { client().exists("first"); });
  ASSERT_TRUE(eventually([&] { return latch_.waiting() == 1; }));
  start(1, [&] { client().put("put", bytes_of("x")); });
  start(2, [&] { client().exists("prefetch", {.prefetch = true}); });
  start(3, [&] { client().exists("lease"); });
  latch_.open();
  for (std::thread& thread : threads) thread.join();
  std::vector<std::string> keys;
  for (const auto& request : daemon_.requests()) {
    const auto begin = request.line.find("lmcache/") + 8;
    keys.push_back(request.line.substr(begin, request.line.find_first_of("/ ", begin) - begin));
  }
  EXPECT_THAT(keys, ElementsAre("first", "lease", "prefetch", "put"));
}

TEST_F(ClientTest, NeverExceedsItsLimits) {
  struct Limits {
    std::uint32_t requests, connections, per_host;
    int most;
  };
  for (const auto& limits : {Limits{3, 256, 128, 3}, {100, 2, 128, 2}, {100, 256, 1, 1}}) {
    FakeDaemon daemon;
    auto options = options_for(daemon);
    options.timeout = 30s;
    options.max_concurrent_requests = limits.requests;
    options.max_connections = limits.connections;
    options.max_connections_per_host = limits.per_host;
    auto limited = make_client(options);
    std::vector<std::thread> threads;
    threads.reserve(12);
    for (int t = 0; t < 12; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i)
          EXPECT_EQ(limited.put("key", bytes_of("x")), PutOutcome::stored);
      });
    }
    for (std::thread& thread : threads) thread.join();
    const auto statistics = limited.statistics();
    EXPECT_LE(daemon.most_at_once(), limits.most);
    EXPECT_LE(daemon.connections(), limits.most);
    EXPECT_LE(statistics.peak_connections_open, static_cast<std::uint64_t>(limits.most));
    EXPECT_EQ(statistics.peak_requests_in_flight, static_cast<std::uint64_t>(limits.most));
    EXPECT_EQ(statistics.requests_in_flight, 0u);
  }
}

TEST_F(ClientTest, ClosesConnectionsThatWereIdleForThirtySeconds) {
  use_manual_clock();
  client().put("key", bytes_of("x"));
  EXPECT_EQ(client().statistics().connections_open, 1u);
  clock_->advance(29s);
  client().put("key", bytes_of("x"));
  clock_->advance(29s);
  EXPECT_EQ(client().statistics().connections_open, 1u);
  clock_->advance(1s);
  EXPECT_TRUE(eventually([&] { return client().statistics().connections_open == 0; }));
  EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::stored);
  EXPECT_EQ(daemon_.connections(), 2);
}

TEST_F(ClientTest, FailsAtOnceWhileTheCircuitIsOpenAndProbesEveryFiveSeconds) {
  use_manual_clock();
  std::atomic<bool> answers{false};
  daemon_.on_lease([&](const SeenRequest&) -> std::optional<std::string> {
    if (answers) return answer(504);
    return std::nullopt;
  });
  const auto asked = [&] { return daemon_.requests().size(); };
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(client().daemons()[0].circuit_open);
    EXPECT_EQ(client().exists("key").error().code, ErrorCode::unreachable);
  }
  EXPECT_TRUE(client().daemons()[0].circuit_open);
  EXPECT_EQ(client().daemons()[0].url, daemon_.url());
  EXPECT_EQ(client().exists("key").error().code, ErrorCode::unreachable);
  EXPECT_EQ(client().put("key", bytes_of("x")).error().code, ErrorCode::unreachable);
  EXPECT_EQ(asked(), 3u);
  clock_->advance(5s);
  EXPECT_FALSE(client().exists("key"));
  EXPECT_FALSE(client().exists("key"));
  EXPECT_EQ(asked(), 4u);
  answers = true;
  clock_->advance(5s);
  EXPECT_EQ(client().exists("key"), false);
  EXPECT_FALSE(client().daemons()[0].circuit_open);
  EXPECT_EQ(client().exists("key"), false);
  EXPECT_EQ(asked(), 6u);
}

TEST_F(ClientTest, DoesNotTakeAnyStatusForAFailureOfTheDaemon) {
  use_manual_clock();
  for (const int status : {404, 409, 500, 503, 504}) {
    daemon_.on_lease([=](const SeenRequest&) { return answer(status); });
    daemon_.on_put([=](const SeenRequest&) { return answer(status); });
    for (int i = 0; i < 4; ++i) {
      client().exists("key");
      client().put("key", bytes_of("x"));
    }
    EXPECT_FALSE(client().daemons()[0].circuit_open) << status;
  }
}

TEST_F(ClientTest, TellsThatNobodyListens) {
  daemon_.stop();
  const auto found = client().exists("key");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::unreachable);
  EXPECT_THAT(found.error().message, StartsWith(daemon_.url()));
}

TEST_F(ClientTest, KeepsTheOutcomesOfABatchApart) {
  daemon_.segment().write(0, "hello");
  daemon_.on_lease([](const SeenRequest& request) -> std::optional<std::string> {
    const auto is = [&](const char* key) { return request.line.find(key) != std::string::npos; };
    if (is("/hit")) return answer(200, lease_body("L", {{0, 5}}));
    if (is("/broken")) return answer(200, "{");
    if (is("/refused")) return answer(500);
    if (is("/closed")) return std::nullopt;
    return answer(504);
  });
  std::vector<std::string> keys;
  for (int i = 0; i < 8; ++i) {
    for (const char* key : {"hit", "miss", "broken", "refused", "small-hit"}) keys.push_back(key);
  }
  keys.push_back("");
  keys.push_back("closed");
  std::vector<std::string> buffers(keys.size(), std::string(5, '#'));
  std::vector<GetItem> items;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    auto room = std::as_writable_bytes(std::span(buffers[i]));
    if (keys[i] == "small-hit") room = room.first(4);
    items.push_back({keys[i] == "small-hit" ? std::string_view("hit") : keys[i], room});
  }
  const auto outcomes = client().batched_get(items);
  ASSERT_EQ(outcomes.size(), keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto& outcome = outcomes[i];
    if (keys[i] == "hit") {
      ASSERT_TRUE(outcome) << outcome.error().message;
      EXPECT_TRUE(outcome->is_hit());
      EXPECT_EQ(buffers[i], "hello");
    } else if (keys[i] == "miss") {
      ASSERT_TRUE(outcome) << outcome.error().message;
      EXPECT_EQ(outcome->status, GetStatus::miss);
    } else {
      ASSERT_FALSE(outcome) << keys[i];
      EXPECT_EQ(outcome.error().code, keys[i] == "broken"      ? ErrorCode::malformed_response
                                      : keys[i] == "refused"   ? ErrorCode::refused
                                      : keys[i] == "small-hit" ? ErrorCode::too_large
                                      : keys[i].empty()        ? ErrorCode::invalid_argument
                                                               : ErrorCode::unreachable);
    }
  }
  EXPECT_TRUE(testing::settles(client()));
  EXPECT_THAT(daemon_.released(), SizeIs(16));
  EXPECT_EQ(client().statistics().get_success, 8u);
  EXPECT_EQ(client().statistics().get_failure, keys.size() - 8);
}

TEST_F(ClientTest, AsksForTheKeysOfABatchSideBySide) {
  daemon_.on_lease([&](const SeenRequest&) {
    latch_.wait();
    return answer(504);
  });
  std::vector<GetItem> items(20, GetItem{"key", {}});
  options_.max_concurrent_requests = 16;
  std::vector<Result<GetOutcome>> outcomes;
  std::thread batch([&] { outcomes = client().batched_get(items); });
  EXPECT_TRUE(eventually([&] { return latch_.waiting() == 16; }));
  latch_.open();
  batch.join();
  EXPECT_THAT(outcomes, SizeIs(20));
}

TEST_F(ClientTest, StoresABatch) {
  daemon_.on_put([](const SeenRequest& request) {
    return answer(request.body == "again" ? 409 : request.body == "no" ? 500 : 200);
  });
  const std::vector<PutItem> items = {
      {"a", bytes_of("one")}, {"b", bytes_of("again")}, {"c", bytes_of("no")}, {"", bytes_of("x")}};
  const auto outcomes = client().batched_put(items);
  ASSERT_THAT(outcomes, SizeIs(4));
  EXPECT_EQ(outcomes[0], PutOutcome::stored);
  EXPECT_EQ(outcomes[1], PutOutcome::already_stored);
  EXPECT_EQ(outcomes[2].error().code, ErrorCode::refused);
  EXPECT_EQ(outcomes[3].error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(client().batched_put({}), IsEmpty());
}

TEST_F(ClientTest, CountsTheKeysUpToTheFirstThatIsNotThere) {
  daemon_.on_lease([](const SeenRequest& request) {
    if (request.line.find("/yes") != std::string::npos) {
      return answer(200, lease_body("L", {{0, 1}}));
    }
    return answer(request.line.find("/no") != std::string::npos ? 504 : 500);
  });
  const std::vector<std::string> keys{"yes1", "yes2", "no", "yes3"};
  auto outcome = client().batched_contains(keys);
  EXPECT_EQ(outcome.hits, 2u);
  EXPECT_FALSE(outcome.error);
  EXPECT_TRUE(testing::settles(client()));

  outcome = client().batched_contains(std::vector<std::string>{"yes", "error", "yes"});
  EXPECT_EQ(outcome.hits, 1u);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::refused);
  EXPECT_EQ(client().batched_contains({}).hits, 0u);
}

TEST_F(ClientTest, SpreadsKeysOverDaemonsAndLosesOnlyThoseOfTheOneThatIsDown) {
  std::array<FakeDaemon, 3> daemons;
  std::vector<std::string> authorities;
  options_.remote_url.clear();
  for (FakeDaemon& daemon : daemons) {
    daemon.segment().write(0, daemon.url());
    daemon.grant("L", {{0, daemon.url().size()}});
    const auto authority = daemon.url().substr(std::string("http://").size());
    authorities.push_back(authority);
    options_.remote_url +=
        (options_.remote_url.empty() ? "" : ",") + authority + "#" + daemon.segment_name();
  }
  daemons[1].stop();
  std::array<int, 3> hits{};
  for (int i = 0; i < 60; ++i) {
    const auto key = "key" + std::to_string(i);
    const auto home = transport::place(authorities, key);
    const auto got = client().get(key);
    EXPECT_EQ(got.has_value(), home != 1) << key;
    if (!got) {
      EXPECT_EQ(got.error().code, ErrorCode::unreachable);
      continue;
    }
    EXPECT_EQ(testing::text_of(got->bytes()), daemons[home].url());
    ++hits[home];
  }
  EXPECT_GT(hits[0], 5);
  EXPECT_GT(hits[2], 5);
  const auto states = client().daemons();
  EXPECT_FALSE(states[0].circuit_open);
  EXPECT_TRUE(states[1].circuit_open);
  EXPECT_FALSE(states[2].circuit_open);
}

TEST_F(ClientTest, MakesRoomForADaemonByClosingAnIdleConnectionOfAnother) {
  std::array<FakeDaemon, 2> daemons;
  options_.remote_url.clear();
  for (FakeDaemon& daemon : daemons) {
    options_.remote_url +=
        (options_.remote_url.empty() ? "" : ",") + daemon.url() + "#" + daemon.segment_name();
  }
  options_.max_connections = 1;
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(client().put("key" + std::to_string(i), bytes_of("x")), PutOutcome::stored);
  }
  EXPECT_EQ(client().statistics().peak_connections_open, 1u);
  EXPECT_GT(daemons[0].connections(), 1);
  EXPECT_GT(daemons[1].connections(), 1);
}

TEST_F(ClientTest, RefusesEverythingOnceClosed) {
  client().put("key", bytes_of("x"));
  client().close();
  client().close();
  EXPECT_EQ(client().put("key", bytes_of("x")).error().code, ErrorCode::closed);
  EXPECT_EQ(client().get("key").error().code, ErrorCode::closed);
  EXPECT_EQ(client().exists("key").error().code, ErrorCode::closed);
  EXPECT_EQ(client().acquire("key").error().code, ErrorCode::closed);
  EXPECT_EQ(client().batched_put(std::vector<PutItem>{{"k", bytes_of("x")}})[0].error().code,
            ErrorCode::closed);
  EXPECT_EQ(client().statistics().connections_open, 0u);
}

TEST_F(ClientTest, WaitsOnCloseForWhatIsOnTheWireAndEndsWhatIsQueued) {
  options_.max_concurrent_requests = 1;
  options_.timeout = 30s;
  daemon_.on_put([&](const SeenRequest&) {
    latch_.wait();
    return answer(200);
  });
  Result<PutOutcome> sent = PutOutcome::already_stored;
  Result<PutOutcome> queued = PutOutcome::already_stored;
  std::thread first([&] { sent = client().put("key", bytes_of("x")); });
  ASSERT_TRUE(eventually([&] { return latch_.waiting() == 1; }));
  std::thread second([&] { queued = client().put("key", bytes_of("x")); });
  ASSERT_TRUE(eventually([&] { return client().statistics().requests_queued == 1; }));
  std::thread closer([&] { client().close(); });
  second.join();
  latch_.open();
  first.join();
  closer.join();
  EXPECT_EQ(sent, PutOutcome::stored);
  EXPECT_EQ(queued.error().code, ErrorCode::closed);
}

TEST_F(ClientTest, IsMoved) {
  Client moved = std::move(client());
  EXPECT_EQ(moved.put("key", bytes_of("x")), PutOutcome::stored);
  FakeDaemon other;
  moved = make_client(options_for(other));
  EXPECT_EQ(moved.put("key", bytes_of("x")), PutOutcome::stored);
  EXPECT_THAT(other.requests(), SizeIs(1));
  Client& itself = moved;
  moved = std::move(itself);
  EXPECT_EQ(moved.put("key", bytes_of("x")), PutOutcome::stored) << "onto itself";
}

}  // namespace
}  // namespace hyperpod::client
