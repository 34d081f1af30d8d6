// SPDX-License-Identifier: Apache-2.0
// Bodies that are long under way: sent by the thread that waits for the put, or by the client's own
// where nobody waits; to daemons that take them, or do not.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "points.h"
#include "testing/fake_daemon.h"
#include "testing/scripted_server.h"
#include "transport/connection.h"

namespace hyperpod::client::large_put_test {
namespace {

using namespace std::chrono_literals;
using testing::answer;
using testing::bytes_of;
using testing::Conversation;
using testing::eventually;
using testing::ScriptedServer;

enum class Sender { caller, loop };

class LargePut : public ::testing::TestWithParam<Sender> {
 protected:
  void connect(const ScriptedServer& server, std::chrono::milliseconds timeout = 20s) {
    ClientOptions options;
    options.remote_url = server.url();
    options.shared_memory_name = std::nullopt;
    options.logger = testing::quiet_logger();
    options.timeout = timeout;
    options.clock = clock_;
    client_.emplace(testing::make_client(std::move(options)));
  }

  // Reads the head of a put, sends `response`, and then neither reads nor closes until the put is
  // back.
  ScriptedServer::Script stops_after_head(std::string response) {
    return [this, response = std::move(response)](Conversation& c) {
      head_came_ = c.read_head().has_value();
      c.send(response);
      waited_for_ = eventually([this] { return is_back_.load(); });
      closed_ = c.peer_closes();
    };
  }

  // Puts more than the sockets' buffers hold.
  Result<PutOutcome> put_too_much() {
    auto outcome = put(std::string(64 << 20, 'x'));
    is_back_ = true;
    EXPECT_TRUE(eventually([&] { return waited_for_.load(); })) << "it waited for the server";
    EXPECT_TRUE(eventually([&] { return closed_.load(); }));
    return outcome;
  }

  Result<PutOutcome> put(const std::string& body) {
    if (GetParam() == Sender::caller) return client_->put("key", bytes_of(body));
    std::promise<Result<PutOutcome>> told;
    client_->async_put("key", bytes_of(body),
                       [&](Result<PutOutcome> outcome) { told.set_value(std::move(outcome)); });
    return told.get_future().get();
  }

  std::atomic<bool> head_came_{false};
  std::atomic<bool> is_back_{false};
  std::atomic<bool> waited_for_{false};
  std::atomic<bool> closed_{false};
  std::shared_ptr<Clock> clock_;  // the machine's, if null
  std::optional<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(By, LargePut, ::testing::Values(Sender::caller, Sender::loop),
                         [](const auto& by) {
                           return by.param == Sender::caller ? "Caller" : "Loop";
                         });

TEST_P(LargePut, ArrivesAsItIs) {
  std::string body(3 << 20, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31 >> 3);
  std::promise<std::string> came;
  const ScriptedServer server([&](Conversation& c) {
    auto request = c.read_request();
    if (!request) return;
    came.set_value(std::move(request->body));
    c.send(answer(200));
    c.peer_closes();
  });
  connect(server);
  EXPECT_EQ(put(body), PutOutcome::stored);
  EXPECT_TRUE(came.get_future().get() == body);
}

// The response comes before the thread that has sent the last piece says so.
TEST_P(LargePut, TakesAResponseThatIsQuick) {
  std::atomic<bool> received{false};
  points::at<transport::Connection>("connection.received",
                                    [&](transport::Connection&) { received = true; });
  points::set("transfer.ended",
              [&](points::Values) { eventually([&] { return received.load(); }); });
  const ScriptedServer server([](Conversation& c) {
    while (c.read_request()) c.send(answer(200));
  });
  connect(server);
  EXPECT_EQ(put(std::string(1 << 20, 'x')), PutOutcome::stored);
  EXPECT_EQ(client_->statistics().connections_open, 1u);
  client_.reset();
  points::clear();
}

TEST_P(LargePut, KeepsItsConnection) {
  const ScriptedServer server([](Conversation& c) {
    while (c.read_request()) c.send(answer(200));
  });
  connect(server);
  const std::string body(600 << 10, 'x');
  for (int i = 0; i < 200; ++i) ASSERT_EQ(put(body), PutOutcome::stored) << i;
  EXPECT_EQ(server.connections(), 1);
}

TEST_P(LargePut, OfSeveralThreadsDoNotMix) {
  const ScriptedServer server([](Conversation& c) {
    while (const auto request = c.read_request()) {
      const bool pure = request->body.find_first_not_of(request->body[0]) == std::string::npos;
      c.send(answer(pure ? 200 : 400));
    }
  });
  connect(server);
  std::vector<std::thread> threads;
  for (char letter = 'a'; letter < 'e'; ++letter) {
    threads.emplace_back([&, letter] {
      const std::string body(1 << 20, letter);
      for (int i = 0; i < 20; ++i) EXPECT_EQ(put(body), PutOutcome::stored);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(LargePut, EndsAtItsDeadlineThoughNobodyReads) {
  const ScriptedServer server(stops_after_head(""));
  const auto clock = std::make_shared<ManualClock>();
  clock_ = clock;
  connect(server, 5s);
  std::thread time([&] {
    eventually([&] { return head_came_.load(); });
    clock->advance(5s);
  });
  const auto outcome = put_too_much();
  time.join();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::timed_out);
}

TEST_P(LargePut, ThatIsRefusedOnItsHeadIsNotSentOn) {
  const ScriptedServer server(stops_after_head(answer(413)));
  connect(server);
  const auto outcome = put_too_much();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().status, 413);
}

TEST_P(LargePut, IsNotStoredBeforeItWasSent) {
  const ScriptedServer server(stops_after_head(answer(200)));
  connect(server);
  const auto outcome = put_too_much();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::malformed_response);
}

TEST_P(LargePut, TellsThatTheDaemonClosesInTheMiddle) {
  const ScriptedServer server([](Conversation& c) {
    c.read_head();
    c.close(true);
  });
  connect(server);
  const auto outcome = put(std::string(64 << 20, 'x'));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::unreachable);
}

TEST_P(LargePut, EndsWhenTheClientIsClosedAndTimeIsUp) {
  const ScriptedServer server(stops_after_head(""));
  connect(server, 200ms);
  std::thread closes([&] {
    eventually([&] { return head_came_.load(); });
    client_->close();
  });
  const auto outcome = put_too_much();
  closes.join();
  EXPECT_FALSE(outcome);
  EXPECT_EQ(client_->statistics().connections_open, 0u);
}

}  // namespace
}  // namespace hyperpod::client::large_put_test
