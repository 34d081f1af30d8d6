// SPDX-License-Identifier: Apache-2.0
// Nobody waits for long because others send much.
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "testing/daemon.h"

namespace hyperpod::emulator::http {
namespace {

using test::chunked_head;
using test::Daemon;
using test::get_request;
using test::patience;
using test::test_options;
using test::WireClient;

/// A log that keeps the I/O thread that writes a certain message waiting.
class Gate final : public base::LogSink {
 public:
  bool enabled(base::LogLevel) const noexcept override { return true; }
  void write(base::LogLevel, std::string_view message) noexcept override {
    if (message.find("/gate") == message.npos) return;
    std::unique_lock lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, patience, [this] { return open_; });
  }
  bool reached() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [this] { return reached_; });
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  bool open_ = false;
};

TEST(Fairness, APeerThatSendsManyRequestsAtOnceIsServedInTurnWithTheOthers) {
  constexpr int pipelines = 8;
  constexpr int requests = 300;
  constexpr int newcomers = 20;
  const auto gate = std::make_shared<Gate>();
  Options options = test_options();
  options.log = gate;
  Daemon daemon(options);

  auto established = daemon.connect();
  EXPECT_EQ(established.ask(get_request()).status, 404);
  std::vector<WireClient> greedy;
  for (int i = 0; i < pipelines; ++i) {
    greedy.push_back(daemon.connect());
    EXPECT_EQ(greedy.back().ask(get_request()).status, 404);
  }
  auto blocked = daemon.connect();
  blocked.send(get_request("/gate"));
  ASSERT_TRUE(gate->reached());

  // The one I/O thread waits, so that all of these are there when it goes on.
  std::string many;
  for (int i = 0; i < requests; ++i) many += get_request("/x");
  for (WireClient& client : greedy) client.send(many);
  established.send(get_request("/established"));
  std::vector<WireClient> fresh;
  for (int i = 0; i < newcomers; ++i) {
    fresh.push_back(daemon.connect());
    fresh.back().send(get_request("/fresh"));
  }
  gate->open();

  EXPECT_EQ(established.receive().status, 404);
  for (WireClient& client : fresh) EXPECT_EQ(client.receive().status, 404);
  const Journal& journal = daemon.emulator().journal();
  const auto first_connections = static_cast<std::uint64_t>(pipelines) + 2;
  std::uint64_t served_established = 0;
  std::uint64_t served_last_newcomer = 0;
  for (const JournalEntry& entry : journal.entries()) {
    if (entry.connection == 1) served_established = entry.sequence;
    if (entry.connection > first_connections) served_last_newcomer = entry.sequence;
  }
  EXPECT_LT(served_established, first_connections + 10 * pipelines);
  EXPECT_LT(served_last_newcomer, first_connections + 20 * pipelines + newcomers);
}

TEST(Fairness, ABodyOfTinyChunksIsReceivedInTurnWithTheOthers) {
  // Where reads end within a chunk depends on where the first one begins.
  for (const std::string key : {"k", "kk"}) {
    const auto gate = std::make_shared<Gate>();
    Options options = test_options();
    options.log = gate;
    Daemon daemon(options);
    auto greedy = daemon.connect();
    auto other = daemon.connect();
    EXPECT_EQ(greedy.ask(get_request()).status, 404);
    EXPECT_EQ(other.ask(get_request()).status, 404);
    auto blocked = daemon.connect();
    blocked.send(get_request("/gate"));
    ASSERT_TRUE(gate->reached());

    std::string body;
    for (int i = 0; i < 10'000; ++i) body += "1\r\nx\r\n";
    body += "0\r\n\r\n";
    greedy.send(chunked_head("b/" + key));
    greedy.send(body);
    other.send(get_request("/other"));
    gate->open();

    EXPECT_EQ(greedy.receive().status, 200);
    EXPECT_EQ(other.receive().status, 404);
    const auto last = daemon.emulator().journal().newest({}, 2);
    ASSERT_EQ(last.size(), 2u);
    EXPECT_EQ(last.back().operation, JournalOperation::put) << key;
  }
}

}  // namespace
}  // namespace hyperpod::emulator::http
