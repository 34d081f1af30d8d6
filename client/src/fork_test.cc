// SPDX-License-Identifier: Apache-2.0
// A client on both sides of a fork().
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "hyperpod/client/client.h"
#include "testing/fake_daemon.h"

namespace hyperpod::client {
namespace {

using testing::answer;
using testing::bytes_of;
using testing::eventually;
using testing::FakeDaemon;
using testing::make_client;
using testing::options_for;
using testing::SeenRequest;

bool is_child = false;

}  // namespace

// A hook of LeakSanitizer. What only a thread of the parent pointed to, such as the memory that
// Asio recycles on the I/O thread's stack, is unreachable in a child, where that thread is not.
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,misc-use-internal-linkage)
extern "C" int __lsan_is_turned_off() { return is_child ? 1 : 0; }
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,misc-use-internal-linkage)

namespace {

// Whether a child made by fork() ends with success, in a bearable time.
bool holds_in_child(const std::function<bool()>& check, bool runs_destructors = false) {
  const pid_t child = fork();
  if (child == 0) {
    is_child = true;
    alarm(20);  // a child that hangs is killed
    const int code = check() ? 0 : 1;
    runs_destructors ? exit(code) : _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

template <class Outcome>
bool is_forked(const Result<Outcome>& outcome) {
  return !outcome && outcome.error().code == ErrorCode::forked;
}

class ForkTest : public ::testing::Test {
 protected:
  ForkTest() {
    daemon_.segment().write(0, "hello");
    daemon_.grant("L", {{0, 5}});
  }

  FakeDaemon daemon_;
  std::optional<Client> client_{make_client(options_for(daemon_))};
};

TEST_F(ForkTest, EveryCallInAChildEndsInAnErrorThatSaysSo) {
  ASSERT_TRUE(client_->get("key")->is_hit());
  auto lease = *client_->acquire("key");
  EXPECT_TRUE(holds_in_child([&] {
    std::array<std::byte, 5> room;
    const std::vector<std::string> keys{"a"};
    const std::vector<GetItem> gets{{"a", room}};
    const std::vector<PutItem> puts{{"a", room}};
    bool told = false;
    client_->async_put("key", room, [&](Result<PutOutcome> outcome) { told = is_forked(outcome); });
    client_->close();
    return told && is_forked(client_->put("key", room)) && is_forked(client_->get("key")) &&
           is_forked(client_->get("key", room)) && is_forked(client_->acquire("key")) &&
           is_forked(client_->exists("key")) && is_forked(client_->batched_get(gets)[0]) &&
           is_forked(client_->batched_put(puts)[0]) &&
           client_->batched_contains(keys).error->code == ErrorCode::forked && !lease->is_valid() &&
           is_forked(lease->copy_to(room)) && is_forked(lease->release());
  }));
  EXPECT_TRUE(lease->is_valid());
  lease.reset();
  EXPECT_TRUE(testing::settles(*client_));
  EXPECT_EQ(daemon_.released(), (std::vector<std::string>{"L", "L"}));
}

TEST_F(ForkTest, DestructionInAChildTouchesNothingOfTheParents) {
  ASSERT_TRUE(client_->get("key")->is_hit());
  ASSERT_TRUE(testing::settles(*client_));
  auto lease = *client_->acquire("key");
  const auto asked = daemon_.requests().size();
  const int connections = daemon_.connections();
  EXPECT_TRUE(holds_in_child([&] {
    lease.reset();
    client_.reset();
    return true;
  }));
  EXPECT_EQ(daemon_.requests().size(), asked);
  EXPECT_TRUE(lease->is_valid());
  EXPECT_TRUE(client_->get("key")->is_hit()) << "the parent is not disturbed";
  EXPECT_EQ(daemon_.connections(), connections) << "nor are its connections";
}

TEST_F(ForkTest, AChildThatReturnsEnds) {
  static std::optional<Client> for_ever;
  for_ever.emplace(make_client(options_for(daemon_)));
  ASSERT_TRUE(for_ever->get("key")->is_hit());
  EXPECT_TRUE(holds_in_child([] { return true; }, true));
  for_ever.reset();
}

TEST_F(ForkTest, AChildMakesAClientOfItsOwn) {
  if (!testing::child_may_start_threads) GTEST_SKIP() << "no threads in a child";
  ASSERT_TRUE(client_->get("key")->is_hit());
  EXPECT_TRUE(holds_in_child([&] {
    auto own = make_client(options_for(daemon_));
    const auto got = own.get("key");
    return got && got->is_hit() && testing::text_of(got->bytes()) == "hello";
  }));
  EXPECT_TRUE(client_->get("key")->is_hit());
}

// The parent's connections are open in the child as well.
TEST_F(ForkTest, TheDaemonLearnsThatTheParentHasClosedThoughAChildLives) {
  std::atomic<bool> closed{false};
  testing::ScriptedServer server([&](testing::Conversation& c) {
    c.read_request();
    c.send(answer(200));
    closed = c.peer_closes();
  });
  auto options = options_for(daemon_);
  options.remote_url = server.url();
  std::optional<Client> client(make_client(options));
  ASSERT_EQ(client->put("key", bytes_of("x")), PutOutcome::stored);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[1]);
    char byte;
    _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);  // lives until the parent closes its end
  }
  client.reset();
  EXPECT_TRUE(eventually([&] { return closed.load(); }));
  close(ends[0]);
  close(ends[1]);
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace hyperpod::client
