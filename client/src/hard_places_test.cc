// SPDX-License-Identifier: Apache-2.0
// What production does to a client: addresses that swallow packets, signals, limits, daemons that
// close connections as they are used, long look-ups.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "hyperpod/client/client.h"
#include "points.h"
#include "testing/fake_daemon.h"
#include "testing/full_listener.h"
#include "transport/connector.h"
#include "transport/placement.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using testing::answer;
using testing::bytes_of;
using testing::Conversation;
using testing::eventually;
using testing::FakeDaemon;
using testing::FullListener;
using ::testing::HasSubstr;
using testing::lease_body;
using testing::make_client;
using testing::options_for;
using testing::ScriptedServer;
using testing::SeenRequest;

std::uint16_t port_of(const std::string& url) {
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

using Endpoints = std::vector<transport::asio::ip::tcp::endpoint>;

transport::asio::ip::tcp::endpoint loopback(std::uint16_t port) {
  return {transport::asio::ip::address_v4::loopback(), port};
}

class HardPlacesTest : public ::testing::Test {
 protected:
  ~HardPlacesTest() override { points::clear(); }

  Client& client() {
    if (!client_) client_.emplace(make_client(options_));
    return *client_;
  }

  std::atomic<int> held_{0};  // these outlive the daemon, which looks at them
  std::atomic<bool> open_{false};
  FakeDaemon daemon_;
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  ClientOptions options_ = options_for(daemon_);
  std::optional<Client> client_;
};

// What has come for two connections is told of together, and the first of them ends the other.
TEST_F(HardPlacesTest, EndsAConnectionForWhichSomethingHasCome) {
  const auto misses = [](Conversation& c) {
    while (c.read_request()) c.send(answer(404));
  };
  std::counting_semaphore<> came{0};
  std::counting_semaphore<> answers{0};
  std::counting_semaphore<> answered{0};
  ScriptedServer idle(misses);
  ScriptedServer asked([&](Conversation& c) {
    while (c.read_request()) {
      came.release();
      answers.acquire();
      c.send(answer(404));
      answered.release();
    }
  });
  ScriptedServer next(misses);
  options_.remote_url = idle.url() + "," + asked.url() + "," + next.url();
  options_.shared_memory_name = std::nullopt;
  options_.max_connections = 2;
  options_.max_concurrent_requests = 1;
  const auto key_of = [&](const ScriptedServer& server) {
    const std::vector<std::string> authorities{idle.url().substr(7), asked.url().substr(7),
                                               next.url().substr(7)};
    for (int i = 0;; ++i) {
      auto key = "key" + std::to_string(i);
      if (authorities[transport::place(authorities, key)] == server.url().substr(7)) return key;
    }
  };
  EXPECT_EQ(client().exists(key_of(idle)), false);
  std::counting_semaphore<> holds{0};
  std::counting_semaphore<> goes_on{0};
  std::counting_semaphore<> ended{0};
  std::atomic<int> found_missing{0};
  const auto count = [&](Result<bool> found) {
    if (found && !*found) ++found_missing;
    ended.release();
  };
  client().async_exists(key_of(asked), count);
  client().async_exists(key_of(next), count);  // waits for a place, and then for room
  came.acquire();
  client().async_exists("", [&](const Result<bool>&) {
    holds.release();
    goes_on.acquire();
  });
  holds.acquire();
  answers.release();
  answered.acquire();
  idle.stop();
  goes_on.release();

  ended.acquire();
  ended.acquire();
  EXPECT_EQ(found_missing, 2);
}

TEST_F(HardPlacesTest, TriesTheNextAddressAfterAQuarterOfASecond) {
  const FullListener swallows;
  points::at<Endpoints>("connect.endpoints", [&](Endpoints& endpoints) {
    endpoints = {loopback(swallows.port()), loopback(port_of(daemon_.url()))};
  });
  options_.clock = clock_;
  options_.timeout = 24h;  // the clock is moved until the daemon's thread has seen a connection
  client();
  Result<PutOutcome> put;
  std::thread caller([&] { put = client().put("key", bytes_of("x")); });
  // Its deadline and the attempt's quarter of a second are armed.
  ASSERT_TRUE(eventually([&] { return client().statistics().connections_open == 1; }));
  clock_->advance(249ms);
  EXPECT_EQ(daemon_.connections(), 0);
  EXPECT_TRUE(eventually([&] {
    clock_->advance(1ms);
    return daemon_.connections() == 1;
  }));
  caller.join();
  EXPECT_EQ(put, PutOutcome::stored);
}

TEST_F(HardPlacesTest, TriesTheNextAddressAtOnceIfOneRefuses) {
  std::uint16_t nobody = 0;
  {
    nobody = ScriptedServer([](Conversation&) {}).port();
  }
  points::at<Endpoints>("connect.endpoints", [&](Endpoints& endpoints) {
    endpoints = {loopback(nobody), loopback(nobody), loopback(port_of(daemon_.url()))};
  });
  options_.clock = clock_;  // stands still
  EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::stored);
}

TEST_F(HardPlacesTest, GivesUpInTimeWhateverSignalsCome) {
  const FullListener swallows;
  options_.remote_url = "127.0.0.1:" + std::to_string(swallows.port());
  options_.timeout = 300ms;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, &before);
  const itimerval every{{0, 5000}, {0, 5000}};
  setitimer(ITIMER_REAL, &every, nullptr);
  const auto start = std::chrono::steady_clock::now();
  const auto put = client().put("key", bytes_of("x"));
  const auto taken = std::chrono::steady_clock::now() - start;
  const itimerval none{};
  setitimer(ITIMER_REAL, &none, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  EXPECT_EQ(put.error().code, ErrorCode::timed_out);
  EXPECT_GE(taken, 300ms);
  EXPECT_LT(taken, 3s);
}

TEST_F(HardPlacesTest, ChangesNoSignalsDispositionAndBlocksNoneForTheCaller) {
  std::vector<void (*)(int)> before;
  for (int number = 1; number < 32; ++number) {
    struct sigaction action {};
    sigaction(number, nullptr, &action);
    before.push_back(action.sa_handler);
  }
  sigset_t mask_before;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask_before);
  EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::stored);
  for (int number = 1; number < 32; ++number) {
    struct sigaction action {};
    sigaction(number, nullptr, &action);
    EXPECT_EQ(action.sa_handler, before[static_cast<std::size_t>(number - 1)]) << number;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    EXPECT_EQ(sigismember(&mask, number), sigismember(&mask_before, number)) << number;
  }
}

// Whether `check` holds in a child, whose limits are its own.
bool in_child(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(check() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int open_descriptors() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

bool limit(decltype(RLIMIT_NOFILE) resource, int value) {
  const rlimit limits{static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
  return setrlimit(resource, &limits) == 0;
}

TEST_F(HardPlacesTest, TellsThatThereIsNoDescriptorForAClient) {
  if (!testing::child_may_start_threads) GTEST_SKIP() << "no threads in a child";
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan needs two descriptors to look at the exception that Asio throws";
#endif
  EXPECT_TRUE(in_child([&] {
    if (!limit(RLIMIT_NOFILE, 3)) return false;
    const auto made = Client::create(options_);
    return !made && made.error().code == ErrorCode::out_of_resources;
  }));
}

TEST_F(HardPlacesTest, TellsThatThereIsNoDescriptorForAConnection) {
  if (!testing::child_may_start_threads) GTEST_SKIP() << "no threads in a child";
  EXPECT_TRUE(in_child([&] {
    auto made = Client::create(options_);
    if (!made) return false;
    if (!limit(RLIMIT_NOFILE, 3)) return false;  // what is open stays open
    for (int i = 0; i < 5; ++i) {
      const auto put = made->put("key", bytes_of("x"));
      if (put || put.error().code != ErrorCode::out_of_resources) return false;
    }
    return !made->daemons()[0].circuit_open;  // it is not the daemon's fault
  }));
}

TEST_F(HardPlacesTest, TellsThatThereIsNoThreadForAClient) {
  if (!testing::child_may_start_threads) GTEST_SKIP() << "no threads in a child";
  EXPECT_TRUE(in_child([&] {
    constexpr uid_t nobody = 65534;  // root has threads without a limit
    if (geteuid() == 0 && setresuid(nobody, nobody, nobody) != 0) return false;
    if (!limit(RLIMIT_NPROC, 0)) return false;
    const auto made = Client::create(options_);
    return !made && made.error().code == ErrorCode::out_of_resources;
  }));
}

TEST_F(HardPlacesTest, LeavesNothingOfAThousandClients) {
  client_.emplace(make_client(options_));
  client_.reset();
  const int descriptors = open_descriptors();
  for (int i = 0; i < 1000; ++i) {
    auto made = make_client(options_);
    if (i % 100 == 0) {
      EXPECT_EQ(made.put("key", bytes_of("x")), PutOutcome::stored);
    }
  }
  // The daemon's own ends of connections go a little later.
  EXPECT_TRUE(eventually([&] { return open_descriptors() <= descriptors; }));
  int threads = 0;
  for ([[maybe_unused]] const auto& t : std::filesystem::directory_iterator("/proc/self/task")) {
    ++threads;
  }
  EXPECT_LT(threads, 20);
}

TEST_F(HardPlacesTest, SendsOnceMoreWhatMetAConnectionBeingClosedAndCountsNoFailure) {
  std::atomic<int> puts{0};
  daemon_.on_put([&](const SeenRequest&) -> std::optional<std::string> {
    // Each connection is closed as it is used for the second time.
    if (++puts % 2 == 0) return std::nullopt;
    return answer(puts == 1 ? 200 : 409);
  });
  EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::stored);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::already_stored);
  }
  EXPECT_EQ(client().statistics().requests_repeated, 5u);
  EXPECT_EQ(client().statistics().leases_repeated, 0u);
  EXPECT_FALSE(client().daemons()[0].circuit_open);
}

TEST_F(HardPlacesTest, CountsTheLeaseRequestsThatItSendsOnceMore) {
  std::atomic<int> asked{0};
  daemon_.on_lease([&](const SeenRequest&) -> std::optional<std::string> {
    if (++asked == 1) return std::nullopt;
    return answer(200, lease_body("L", {{0, 1}}));
  });
  EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::stored);
  EXPECT_EQ(client().exists("key"), true);
  EXPECT_EQ(client().statistics().leases_repeated, 1u);
}

TEST_F(HardPlacesTest, DoesNotSendAgainWhatANewConnectionDidNotRespondTo) {
  daemon_.on_put([](const SeenRequest&) { return std::nullopt; });
  EXPECT_EQ(client().put("key", bytes_of("x")).error().code, ErrorCode::unreachable);
  EXPECT_EQ(daemon_.requests().size(), 1u);
}

TEST_F(HardPlacesTest, LooksManyKeysUpAtOnceAndNoFurtherThanNeeded) {
  options_.max_concurrent_requests = 16;
  options_.timeout = 30s;
  daemon_.on_lease([&](const SeenRequest& request) {
    ++held_;
    eventually([&] { return open_.load(); });
    const bool miss = request.line.find("/key5/") != std::string::npos;
    return miss ? answer(504) : answer(200, lease_body("L", {{0, 1}}));
  });
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) keys.push_back("key" + std::to_string(i));
  ContainsOutcome outcome;
  std::thread caller([&] { outcome = client().batched_contains(keys); });
  EXPECT_TRUE(eventually([&] { return held_ == 16; }));
  open_ = true;
  caller.join();
  EXPECT_EQ(outcome.hits, 5u);
  EXPECT_FALSE(outcome.error);
  client().close();
  EXPECT_LE(held_, 5 + 16) << "nothing beyond those that were under way as the miss came";
  const auto statistics = client().statistics();
  EXPECT_EQ(statistics.lease_released, statistics.lease_acquired);
}

TEST_F(HardPlacesTest, ClosesThoughTheNameServiceDoesNotRespond) {
  std::atomic<bool> asked{false};
  std::atomic<bool> may_respond{false};
  std::atomic<bool> responded{false};
  points::at<const std::string>("resolver.look_up", [&](const std::string&) {
    asked = true;
    eventually([&] { return may_respond.load(); });
    responded = true;
  });
  options_.remote_url = "no-such-host.invalid:9200";
  options_.timeout = 1h;
  Result<PutOutcome> put;
  std::thread caller([&] { put = client().put("key", bytes_of("x")); });
  ASSERT_TRUE(eventually([&] { return asked.load(); }));
  client().close();
  caller.join();
  EXPECT_EQ(put.error().code, ErrorCode::closed);
  EXPECT_FALSE(responded);
  may_respond = true;
  EXPECT_TRUE(eventually([&] { return responded.load(); }));
}

}  // namespace
}  // namespace hyperpod::client
