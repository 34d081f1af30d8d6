// SPDX-License-Identifier: Apache-2.0
// The asynchronous calls: where and when handlers run, what cancelling does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
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
using testing::bytes_of;
using ::testing::ElementsAre;
using testing::eventually;
using testing::FakeDaemon;
using testing::lease_body;
using testing::make_client;
using testing::options_for;
using testing::SeenRequest;
using ::testing::SizeIs;

// The outcome of an asynchronous call, and the thread that told it.
template <class Outcome>
class Told {
 public:
  Handler<Outcome> handler() {
    return [this](Outcome outcome) {
      thread_ = std::this_thread::get_id();
      promise_.set_value(std::move(outcome));
    };
  }
  bool has_come() { return future_.wait_for(0s) == std::future_status::ready; }
  Outcome wait() {
    if (future_.wait_for(30s) != std::future_status::ready) throw std::runtime_error("no outcome");
    return future_.get();
  }
  std::thread::id thread() const { return thread_; }

 private:
  std::promise<Outcome> promise_;
  std::future<Outcome> future_ = promise_.get_future();
  std::atomic<std::thread::id> thread_;
};

class AsyncTest : public ::testing::Test {
 protected:
  AsyncTest() {
    daemon_.segment().write(0, "hello");
    daemon_.grant("L", {{0, 5}});
  }
  ~AsyncTest() override { points::clear(); }

  Client& client() {
    if (!client_) client_.emplace(make_client(options_));
    return *client_;
  }

  // Has the daemon hold lease requests until open() is called.
  void hold_leases(int status = 200) {
    daemon_.on_lease([this, status](const SeenRequest&) {
      ++held_;
      eventually([&] { return open_.load(); });
      return status == 200 ? answer(200, lease_body("L", {{0, 5}})) : answer(status);
    });
  }

  std::atomic<int> held_{0};
  std::atomic<bool> open_{false};
  FakeDaemon daemon_;
  ClientOptions options_ = options_for(daemon_);
  std::optional<Client> client_;
};

TEST_F(AsyncTest, TellsTheOutcomeOfEachCallOnceOnTheIoThread) {
  Told<Result<PutOutcome>> put;
  Told<Result<GetOutcome>> got;
  Told<Result<ObjectOutcome>> object;
  Told<Result<bool>> found;
  Told<Result<std::optional<Lease>>> leased;
  std::string buffer(5, '#');
  client().async_put("key", bytes_of("value"), put.handler());
  client().async_get("key", std::as_writable_bytes(std::span(buffer)), got.handler());
  client().async_get("key", object.handler());
  client().async_exists("key", found.handler());
  client().async_acquire("key", leased.handler());
  EXPECT_EQ(put.wait(), PutOutcome::stored);
  EXPECT_TRUE(got.wait()->is_hit());
  EXPECT_EQ(buffer, "hello");
  EXPECT_EQ(testing::text_of(object.wait()->bytes()), "hello");
  EXPECT_EQ(found.wait(), true);
  auto lease = leased.wait();
  ASSERT_TRUE(lease && *lease);
  Told<Result<void>> released;
  (*lease)->async_release(released.handler());
  lease = std::nullopt;
  EXPECT_TRUE(released.wait());
  EXPECT_NE(put.thread(), std::this_thread::get_id());
  for (const auto thread :
       {got.thread(), object.thread(), found.thread(), leased.thread(), released.thread()}) {
    EXPECT_EQ(thread, put.thread());
  }
}

TEST_F(AsyncTest, TellsErrorsThatAreKnownAtOnceLaterAsWell) {
  daemon_.unlink_segment();
  std::atomic<bool> returned{false};
  std::promise<bool> after;
  client().async_get("key", [&](Result<ObjectOutcome> outcome) {
    eventually([&] { return returned.load(); });
    after.set_value(outcome.error().code == ErrorCode::segment_missing);
  });
  returned = true;
  EXPECT_TRUE(after.get_future().get());
  Told<Result<PutOutcome>> put;
  client().close();
  client().async_put("", bytes_of("x"), put.handler());
  EXPECT_FALSE(put.wait());
}

TEST_F(AsyncTest, RunsHandlersWhereTheExecutorSays) {
  std::mutex mutex;
  std::vector<Task> tasks;
  options_.executor = [&](Task task) {
    std::lock_guard lock(mutex);
    tasks.push_back(std::move(task));
  };
  Told<Result<PutOutcome>> put;
  client().async_put("key", bytes_of("value"), put.handler());
  EXPECT_TRUE(eventually([&] {
    std::lock_guard lock(mutex);
    return tasks.size() == 1;
  }));
  EXPECT_FALSE(put.has_come());
  tasks[0]();
  EXPECT_EQ(put.wait(), PutOutcome::stored);
  EXPECT_EQ(put.thread(), std::this_thread::get_id());
  EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::stored) << "blocking calls need none";
}

TEST_F(AsyncTest, FailsABlockingCallOnTheIoThreadAtOnce) {
  Told<Result<ErrorCode>> inner;
  client().async_exists("key", [&, handler = inner.handler()](Result<bool>) mutable {
    const auto got = client().get("key");
    handler(got ? ErrorCode::closed : got.error().code);
  });
  EXPECT_EQ(inner.wait(), ErrorCode::invalid_argument);
}

TEST_F(AsyncTest, StartsACallFromAHandler) {
  Told<Result<PutOutcome>> put;
  client().async_exists(
      "key", [&](Result<bool>) { client().async_put("key", bytes_of("x"), put.handler()); });
  EXPECT_EQ(put.wait(), PutOutcome::stored);
}

TEST_F(AsyncTest, IsClosedAndDestroyedFromAHandler) {
  Told<Result<bool>> found;
  auto doomed = std::make_unique<Client>(make_client(options_));
  doomed->async_exists("key", [&, handler = found.handler()](Result<bool> outcome) mutable {
    doomed.reset();
    handler(outcome);
  });
  EXPECT_EQ(found.wait(), true);
  EXPECT_TRUE(eventually([&] { return daemon_.released().size() == 1; }));
}

TEST_F(AsyncTest, HoldsManyRequestsWithoutAThreadForEach) {
  hold_leases(504);
  options_.timeout = 30s;
  std::vector<std::unique_ptr<Told<Result<bool>>>> found;
  for (int i = 0; i < 100; ++i) {
    found.push_back(std::make_unique<Told<Result<bool>>>());
    client().async_exists("key", found.back()->handler());
  }
  EXPECT_TRUE(eventually([&] { return held_ == 100; }));
  open_ = true;
  for (auto& outcome : found) EXPECT_EQ(outcome->wait(), false);
}

TEST_F(AsyncTest, CancelsWhatIsQueued) {
  options_.max_concurrent_requests = 1;
  hold_leases(504);
  Told<Result<bool>> first;
  Told<Result<bool>> second;
  client().async_exists("first", first.handler());
  ASSERT_TRUE(eventually([&] { return held_ == 1; }));
  const Call call = client().async_exists("second", second.handler());
  call.cancel();
  EXPECT_EQ(second.wait().error().code, ErrorCode::cancelled);
  call.cancel();
  open_ = true;
  EXPECT_EQ(first.wait(), false);
  call.cancel();
  EXPECT_THAT(daemon_.requests(), SizeIs(1));
}

TEST_F(AsyncTest, CancelsWhatIsOnTheWireAndReleasesWhatIsGrantedAllTheSame) {
  hold_leases();
  Told<Result<std::optional<Lease>>> leased;
  const Call call = client().async_acquire("key", leased.handler());
  ASSERT_TRUE(eventually([&] { return held_ == 1; }));
  call.cancel();
  EXPECT_EQ(leased.wait().error().code, ErrorCode::cancelled);
  open_ = true;
  EXPECT_TRUE(eventually([&] { return client().statistics().lease_released == 1; }));
  EXPECT_THAT(daemon_.released(), ElementsAre("L"));
  EXPECT_TRUE(eventually([&] { return client().statistics().requests_in_flight == 0; }));
  EXPECT_EQ(client().statistics().requests_repeated, 0u)
      << "nothing more is sent where half of the connection has been closed";
}

TEST_F(AsyncTest, HoldsNothingAgainstADaemonThatDropsWhatWasCancelled) {
  testing::ScriptedServer server([&](testing::Conversation& c) {
    c.read_request();
    ++held_;
    c.peer_closes();
  });
  options_.remote_url = server.url();
  options_.timeout = 30s;
  constexpr int calls = 5;  // more than open the circuit
  for (int i = 1; i <= calls; ++i) {
    Told<Result<std::optional<Lease>>> leased;
    const Call call = client().async_acquire("key", leased.handler());
    ASSERT_TRUE(eventually([&] { return held_ == i; }));
    call.cancel();
    EXPECT_EQ(leased.wait().error().code, ErrorCode::cancelled);
  }
  EXPECT_TRUE(eventually([&] { return client().statistics().requests_in_flight == 0; }));
  EXPECT_FALSE(client().daemons()[0].circuit_open);
}

TEST_F(AsyncTest, CancelsAPutThatIsNotRead) {
  std::atomic<bool> gone{false};
  testing::ScriptedServer server([&](testing::Conversation& c) {
    c.read_head();
    ++held_;
    eventually([&] { return open_.load(); });
    gone = c.peer_closes();
  });
  options_.remote_url = server.url();
  options_.timeout = 30s;
  const std::string object(64 << 20, 'x');
  Told<Result<PutOutcome>> put;
  const Call call = client().async_put("key", bytes_of(object), put.handler());
  ASSERT_TRUE(eventually([&] { return held_ == 1; }));
  call.cancel();
  EXPECT_EQ(put.wait().error().code, ErrorCode::cancelled);
  EXPECT_FALSE(client().daemons()[0].circuit_open);
  open_ = true;
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
}

TEST_F(AsyncTest, GetsAndStoresInBatches) {
  options_.timeout = 30s;
  std::vector<std::string> buffers(300, std::string(5, '#'));
  std::vector<GetItem> gets;
  for (auto& buffer : buffers) gets.push_back({"key", std::as_writable_bytes(std::span(buffer))});
  Told<std::vector<Result<GetOutcome>>> got;
  Told<std::vector<Result<PutOutcome>>> put;
  Told<ContainsOutcome> contained;
  client().async_batched_get(std::move(gets), got.handler());
  client().async_batched_put({{"a", bytes_of("1")}, {"", bytes_of("2")}}, put.handler());
  client().async_batched_contains({"a", "b", "c"}, contained.handler());
  for (const auto& outcome : got.wait()) EXPECT_TRUE(outcome && outcome->is_hit());
  for (const auto& buffer : buffers) EXPECT_EQ(buffer, "hello");
  const auto stored = put.wait();
  EXPECT_EQ(stored[0], PutOutcome::stored);
  EXPECT_EQ(stored[1].error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(contained.wait().hits, 3u);
}

TEST_F(AsyncTest, CopiesLargeObjectsElsewhereThanOnTheIoThread) {
  std::thread::id copier;
  points::set("lease.copied", [&](auto) { copier = std::this_thread::get_id(); });
  Told<Result<ObjectOutcome>> small;
  client().async_get("key", small.handler());
  EXPECT_TRUE(small.wait()->is_hit());
  const auto io_thread = copier;
  daemon_.grant("large", {{0, 60'000}});
  Told<Result<ObjectOutcome>> large;
  client().async_get("key", large.handler());
  EXPECT_EQ(large.wait()->size, 60'000u);
  EXPECT_NE(copier, io_thread);
  EXPECT_EQ(small.thread(), io_thread);
}

}  // namespace
}  // namespace hyperpod::client
