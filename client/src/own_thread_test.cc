// SPDX-License-Identifier: Apache-2.0
// Blocking calls whose thread sends and receives by itself, on a connection that the loop has lent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "hyperpod/client/client.h"
#include "points.h"
#include "testing/fake_daemon.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using testing::answer;
using testing::Conversation;
using ::testing::Each;
using testing::eventually;
using testing::FakeDaemon;
using testing::lease_body;
using testing::make_client;
using testing::options_for;
using testing::ScriptedServer;
using testing::SeenRequest;

class OwnThreadTest : public ::testing::Test {
 protected:
  OwnThreadTest() {
    daemon_.segment().write(0, "hello");
    daemon_.grant("L", {{0, 5}});
    points::set("transport.here", [this](auto) {
      const std::lock_guard lock(mutex_);
      here_.push_back(std::this_thread::get_id());
    });
  }
  ~OwnThreadTest() override {
    client_.reset();
    points::clear();
  }

  /// Not thread-safe until it has been called once.
  Client& client() {
    if (!client_) client_.emplace(make_client(options_));
    return *client_;
  }

  /// What is lent stays so, used or not.
  static void keep_lent() {
    points::at<Duration>("transport.unused_limit", [](Duration& limit) { limit = 1h; });
  }

  /// A client of `server`, which has been lent a connection: the next blocking call uses that.
  Client& client_of(const ScriptedServer& server) {
    options_.remote_url = server.url();
    auto lease = client().acquire("first");
    EXPECT_TRUE(lease && *lease && (*lease)->release());
    return client();
  }

  /// Leases and releases, until the calling thread has done so by itself. False if it never does.
  bool lease_here() {
    return eventually([this] {
      here_.clear();
      auto lease = client().acquire("key");
      if (!lease || !*lease) return false;
      return (*lease)->release().has_value() && here_.size() == 2;
    });
  }

  FakeDaemon daemon_;
  ClientOptions options_ = options_for(daemon_);
  std::optional<Client> client_;
  std::mutex mutex_;
  std::vector<std::thread::id> here_;  // who has received a response by itself
};

// A lease and its release, and then what `script` does on the same connection; misses on every
// other one.
ScriptedServer::Script leases_and_then(std::function<void(Conversation&)> script) {
  return [script = std::move(script)](Conversation& c) {
    if (c.number() == 0) {
      if (!c.read_request()) return;
      c.send(answer(200, lease_body("first", {{0, 5}})));
      if (!c.read_request()) return;
      c.send(answer(200));
      return script(c);
    }
    while (c.read_request()) c.send(answer(404));
  };
}

TEST_F(OwnThreadTest, LeasesAndReleasesOnTheConnectionThatServedACallBefore) {
  ASSERT_TRUE(lease_here());
  EXPECT_THAT(here_, Each(std::this_thread::get_id()));
  EXPECT_EQ(daemon_.connections(), 1);
  EXPECT_THAT(daemon_.released(), Each("L"));
  const auto statistics = client().statistics();
  EXPECT_EQ(statistics.requests_in_flight, 0u);
  EXPECT_EQ(statistics.peak_requests_in_flight, 1u);
  EXPECT_EQ(statistics.lease_acquired, statistics.lease_released);
}

TEST_F(OwnThreadTest, ReadsAndLooksUp) {
  for (const bool reads : {true, false}) {
    ASSERT_TRUE(lease_here());
    EXPECT_TRUE(eventually([&] {
      here_.clear();
      std::array<std::byte, 5> room;
      if (reads) {
        EXPECT_TRUE(client().get("key", room)->is_hit());
        EXPECT_EQ(testing::text_of(room), "hello");
      } else {
        EXPECT_EQ(client().exists("key"), true);
      }
      return here_.size() == 1 || !lease_here();
    }));
  }
  EXPECT_TRUE(testing::settles(client()));
}

TEST_F(OwnThreadTest, OpensNoConnectionWhileOneIsUnused) {
  keep_lent();
  ASSERT_TRUE(lease_here());
  EXPECT_EQ(client().put("other", testing::bytes_of("x")), PutOutcome::stored);
  EXPECT_EQ(daemon_.connections(), 1);
}

// Nor does a thread run ahead of the releases that it leaves to the I/O thread.
TEST_F(OwnThreadTest, WaitsForTheLoopWhereReleasesAreToBeSent) {
  ASSERT_TRUE(lease_here());
  // The loop stands where it looks for what is unused.
  std::binary_semaphore stands{0};
  std::binary_semaphore goes_on{0};
  points::at<Duration>("transport.unused_limit", [&, looks = 0](Duration& limit) mutable {
    limit = 1h;
    if (looks++ > 0) return;
    stands.release();
    goes_on.acquire();
  });
  points::at<bool>("lease.ahead", [&](bool& ahead) {
    if (ahead) goes_on.release();
  });
  stands.acquire();
  here_.clear();
  ASSERT_TRUE(client().acquire("key").has_value());  // by this thread, and dropped
  EXPECT_EQ(here_.size(), 1u);
  ASSERT_TRUE(client().acquire("key").has_value());
  EXPECT_EQ(here_.size(), 1u);
  if (HasFailure()) goes_on.release();
  EXPECT_TRUE(testing::settles(client()));
}

TEST_F(OwnThreadTest, IsNotUsedUnderAManualClock) {
  options_.clock = std::make_shared<ManualClock>();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(client().acquire("key").has_value());
  EXPECT_TRUE(here_.empty());
}

TEST_F(OwnThreadTest, HandsARequestThatTheDaemonHoldsToTheLoop) {
  std::binary_semaphore held{0};
  std::binary_semaphore goes_on{0};
  std::binary_semaphore handed_over{0};
  ASSERT_TRUE(lease_here());
  points::set("transport.goes_on", [&](auto) { handed_over.release(); });
  daemon_.on_lease([&](const SeenRequest&) {
    held.release();
    goes_on.acquire();
    return answer(200, lease_body("M", {{0, 5}}));
  });
  std::thread caller([&] {
    auto lease = client().acquire("key", {.wait = 10s});
    ASSERT_TRUE(lease && *lease);
    EXPECT_EQ((*lease)->id(), "M");
  });
  held.acquire();
  EXPECT_EQ(client().statistics().requests_in_flight, 1u);
  EXPECT_TRUE(handed_over.try_acquire_for(20s));
  goes_on.release();
  caller.join();
  EXPECT_TRUE(testing::settles(client()));
}

TEST_F(OwnThreadTest, KeepsTheDeadline) {
  std::atomic<bool> ends{false};
  ScriptedServer server(leases_and_then([&](Conversation& c) {
    c.read_request();
    eventually([&] { return ends.load(); });
  }));
  const auto outcome = client_of(server).exists("key", {.wait = 0ms});
  ends = true;
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::timed_out);
}

TEST_F(OwnThreadTest, KeepsTheDeadlineThoughTheResponseDrips) {
  std::atomic<bool> ends{false};
  ScriptedServer server(leases_and_then([&](Conversation& c) {
    c.read_request();
    c.send("HTTP/1.1 404 Not Found\r\nContent-Length: 60000000\r\n\r\n");
    while (!ends) c.send("x");
  }));
  const auto outcome = client_of(server).exists("key", {.wait = 0ms});
  ends = true;
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::timed_out);
}

TEST_F(OwnThreadTest, TakesAResponseInPieces) {
  ScriptedServer server(leases_and_then([](Conversation& c) {
    while (c.read_request()) {
      for (const char byte : answer(404)) c.send({&byte, 1});
    }
  }));
  EXPECT_EQ(client_of(server).exists("key"), false);
  EXPECT_EQ(client().exists("key"), false);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(OwnThreadTest, SendsOnceMoreWhatMeetsAClosedConnection) {
  for (const bool before : {true, false}) {
    std::binary_semaphore closes{0};
    std::binary_semaphore closed{0};
    ScriptedServer server(leases_and_then([&](Conversation& c) {
      before ? closes.acquire() : static_cast<void>(c.read_request());
      c.close();
      closed.release();
    }));
    keep_lent();
    client_of(server);
    if (before) {
      closes.release();
      closed.acquire();
    }
    EXPECT_EQ(client().exists("key"), false) << before;
    EXPECT_EQ(server.connections(), 2);
    EXPECT_FALSE(client().daemons()[0].circuit_open);
    client_.reset();
  }
}

TEST_F(OwnThreadTest, DoesNotTakeStrayBytesForTheResponse) {
  std::binary_semaphore sends{0};
  std::binary_semaphore sent{0};
  ScriptedServer server(leases_and_then([&](Conversation& c) {
    sends.acquire();
    c.send(answer(200, lease_body("stray", {{0, 5}})));
    sent.release();
    while (c.read_request()) c.send(answer(404));
  }));
  keep_lent();
  client_of(server);
  sends.release();
  sent.acquire();
  EXPECT_EQ(client().exists("key"), false);
}

TEST_F(OwnThreadTest, ClosesAConnectionThatTheDaemonDoesNotKeep) {
  ScriptedServer server(leases_and_then([](Conversation& c) {
    c.read_request();
    c.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(c.peer_closes());
  }));
  EXPECT_EQ(client_of(server).exists("key"), false);
  EXPECT_EQ(client().exists("key"), false);
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(OwnThreadTest, TellsWhatIsNotAResponse) {
  ScriptedServer server(leases_and_then([](Conversation& c) {
    c.read_request();
    c.send("SSH-2.0-OpenSSH_9.2\r\n");
    c.peer_closes();
  }));
  const auto outcome = client_of(server).exists("key");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::malformed_response);
}

TEST_F(OwnThreadTest, ReleasesALeaseThatCannotBeUsed) {
  ASSERT_TRUE(lease_here());
  daemon_.grant("absurd", {{0, 5}, {2, 5}});
  const auto lease = client().acquire("key");
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code, ErrorCode::malformed_response);
  EXPECT_TRUE(eventually([&] { return daemon_.released().back() == "absurd"; }));
}

TEST_F(OwnThreadTest, TriesAReleaseAgainThatTheDaemonDidNotConfirm) {
  ASSERT_TRUE(lease_here());
  std::atomic<int> refused{0};
  daemon_.on_release([&](const SeenRequest&) { return answer(refused++ == 0 ? 500 : 200); });
  auto lease = client().acquire("key");
  ASSERT_TRUE(lease && *lease);
  const auto released = (*lease)->release();
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().status, 500);
  EXPECT_TRUE(testing::settles(client()));
}

TEST_F(OwnThreadTest, NoticesThatAnUnusedConnectionHasBeenClosed) {
  ScriptedServer server(leases_and_then([](Conversation& c) {
    c.read_request();
    c.send(answer(404));
  }));
  // It has been used when the loop looks for the first time.
  points::at<Duration>("transport.unused_limit", [looks = 0](Duration& limit) mutable {
    if (looks++ == 0) limit = 1h;
  });
  client_of(server);
  EXPECT_EQ(client().exists("key"), false);
  EXPECT_TRUE(eventually([this] { return client().statistics().connections_open == 0; }));
}

TEST_F(OwnThreadTest, GivesItsPlaceToARequestThatWaits) {
  options_.max_concurrent_requests = 1;
  keep_lent();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(lease_here());
    std::binary_semaphore found{0};
    client().async_exists("other", [&](const Result<bool>& there) {
      EXPECT_EQ(there, true);
      found.release();
    });
    ASSERT_TRUE(found.try_acquire_for(20s));
  }
  EXPECT_EQ(client().statistics().peak_requests_in_flight, 1u);
  EXPECT_EQ(daemon_.most_at_once(), 1);
}

TEST_F(OwnThreadTest, GivesItsPlaceToARequestThatCameMeanwhile) {
  options_.max_concurrent_requests = 1;
  std::counting_semaphore<> found{0};
  for (int i = 0; i < 20; ++i) {
    daemon_.grant("L", {{0, 5}});
    ASSERT_TRUE(lease_here());
    std::atomic<bool> asked{false};
    daemon_.on_lease([&](const SeenRequest&) {
      if (!asked.exchange(true)) {
        client().async_exists("other", [&](const Result<bool>& there) {
          EXPECT_EQ(there, false);
          found.release();
        });
        eventually([&] { return client().statistics().requests_queued == 1; });
      }
      return answer(404);
    });
    ASSERT_TRUE(client().exists("key").has_value());
    ASSERT_TRUE(found.try_acquire_for(20s));
  }
}

TEST_F(OwnThreadTest, KeepsToTheLimits) {
  options_.max_concurrent_requests = 3;
  client();
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 8; ++caller) {
      callers.emplace_back([&, caller] {
        for (int i = 0; i < 100; ++i) {
          auto lease = client().acquire("key" + std::to_string(caller));
          if (!lease || !*lease || !(*lease)->release()) ++wrong;
          if (i % 8 == caller) std::this_thread::yield();
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  const auto statistics = client().statistics();
  EXPECT_LE(statistics.peak_requests_in_flight, 3u);
  EXPECT_LE(statistics.peak_connections_open, 3u);
  EXPECT_EQ(statistics.requests_in_flight, 0u);
  EXPECT_EQ(statistics.requests_queued, 0u);
  EXPECT_LE(daemon_.most_at_once(), 3);
}

TEST_F(OwnThreadTest, ClosingTakesBackWhatIsLent) {
  keep_lent();
  ASSERT_TRUE(lease_here());
  client().close();
  EXPECT_EQ(client().statistics().connections_open, 0u);
  const auto outcome = client().exists("key");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::closed);
}

TEST_F(OwnThreadTest, CallsEndWhenTheClientIsClosed) {
  ASSERT_TRUE(lease_here());
  std::atomic<int> made{0};
  std::atomic<int> wrong{0};
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      while (true) {
        auto lease = client().acquire("key");
        ++made;
        if (lease) continue;  // and it is released in the background
        if (lease.error().code != ErrorCode::closed) ++wrong;
        return;
      }
    });
  }
  EXPECT_TRUE(eventually([&] { return made > 100; }));
  client().close();
  callers.clear();
  EXPECT_EQ(wrong, 0);
  // A lease that was dropped at that very moment is released after it.
  EXPECT_TRUE(eventually([this] { return client().statistics().connections_open == 0; }));
}

}  // namespace
}  // namespace hyperpod::client
