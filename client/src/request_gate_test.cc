#include "request_gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;

class RequestGateTest : public testing::Test {
 protected:
  void make(std::uint32_t in_flight, std::uint32_t per_host = 1000, std::size_t hosts = 1) {
    gate_ = std::make_unique<RequestGate>(RequestGate::Limits{in_flight, per_host, hosts}, clock_);
  }

  RequestGate::Pass enter(std::size_t host = 0, RequestClass request = RequestClass::lease) {
    auto pass = gate_->enter(host, request, clock_->now());
    if (!pass) throw std::runtime_error("no place");
    return *std::move(pass);
  }

  // A thread that enters, notes its name, and leaves again.
  void queue(const std::string& name, RequestClass request, std::size_t host = 0) {
    const auto queued = gate_->counts().queued;
    threads_.emplace_back([this, name, request, host, deadline = clock_->now() + 1h] {
      auto pass = gate_->enter(host, request, deadline);
      std::lock_guard lock(mutex_);
      order_.push_back(pass ? name : name + " refused");
    });
    while (gate_->counts().queued == queued) std::this_thread::yield();
  }

  std::vector<std::string> order() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return order_;
  }

  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  std::unique_ptr<RequestGate> gate_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<std::string> order_;
};

using Names = std::vector<std::string>;

TEST_F(RequestGateTest, LetsLeasesGoBeforePrefetchesBeforePuts) {
  make(1);
  std::optional<RequestGate::Pass> busy(enter());
  queue("put", RequestClass::put);
  queue("prefetch", RequestClass::prefetch);
  queue("put 2", RequestClass::put);
  queue("lease", RequestClass::lease);
  queue("release", RequestClass::release);
  busy.reset();
  EXPECT_EQ(order(), (Names{"lease", "release", "prefetch", "put", "put 2"}));
}

TEST_F(RequestGateTest, LetsNobodyStarve) {
  make(1);
  std::optional<RequestGate::Pass> busy(enter());
  queue("put", RequestClass::put);
  clock_->advance(400ms);
  queue("prefetch", RequestClass::prefetch);
  clock_->advance(599ms);
  queue("early lease", RequestClass::lease);
  clock_->advance(2ms);
  queue("late lease", RequestClass::lease);
  busy.reset();
  EXPECT_EQ(order(), (Names{"prefetch", "early lease", "put", "late lease"}));
}

TEST_F(RequestGateTest, GivesUpAtTheDeadline) {
  make(1);
  const auto busy = enter();
  std::optional<RequestGate::Refusal> refusal;
  std::thread waiter([&, deadline = clock_->now() + 5s] {
    refusal = gate_->enter(0, RequestClass::lease, deadline).error();
  });
  while (gate_->counts().queued == 0) std::this_thread::yield();
  clock_->advance(5s);
  waiter.join();
  EXPECT_EQ(refusal, RequestGate::Refusal::timed_out);
  EXPECT_EQ(gate_->counts().queued, 0u);
}

TEST_F(RequestGateTest, KeepsToTheLimitOfEachHost) {
  make(3, 2, 2);
  const auto a = enter(0);
  std::optional<RequestGate::Pass> b(enter(0));
  EXPECT_FALSE(gate_->enter(0, RequestClass::lease, clock_->now()));
  queue("host 0", RequestClass::lease, 0);
  const auto c = enter(1);  // passes the one that waits for host 0
  EXPECT_EQ(gate_->counts().in_flight, 3u);
  EXPECT_FALSE(gate_->enter(1, RequestClass::lease, clock_->now()));
  b.reset();
  EXPECT_EQ(order(), Names{"host 0"});
}

TEST_F(RequestGateTest, SkipsAWaiterWhoseHostIsFull) {
  make(2, 1, 2);
  std::optional<RequestGate::Pass> a(enter(0));
  std::optional<RequestGate::Pass> b(enter(1));
  queue("host 0", RequestClass::lease, 0);
  queue("host 1", RequestClass::put, 1);
  b.reset();
  while (gate_->counts().queued == 2) std::this_thread::yield();
  while (gate_->counts().in_flight == 2) std::this_thread::yield();
  a.reset();
  EXPECT_EQ(order(), (Names{"host 1", "host 0"}));
}

TEST_F(RequestGateTest, RefusesAllButReleasesOnceClosed) {
  make(1);
  std::optional<RequestGate::Pass> busy(enter());
  queue("lease", RequestClass::lease);
  queue("release", RequestClass::release);
  gate_->close();
  while (gate_->counts().queued == 2) std::this_thread::yield();
  EXPECT_EQ(gate_->enter(0, RequestClass::put, clock_->now() + 1h).error(),
            RequestGate::Refusal::closed);
  busy.reset();
  EXPECT_EQ(order(), (Names{"lease refused", "release"}));
}

TEST_F(RequestGateTest, DrainsWhenTheLastRequestLeaves) {
  make(2);
  std::optional<RequestGate::Pass> busy(enter());
  gate_->drain(clock_->now());  // the deadline has come
  std::thread drainer([&, deadline = clock_->now() + 1h] { gate_->drain(deadline); });
  busy.reset();
  drainer.join();
  EXPECT_EQ(gate_->counts().in_flight, 0u);
}

TEST_F(RequestGateTest, NeverExceedsItsLimitUnderLoad) {
  make(3, 2, 2);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const auto request = static_cast<RequestClass>((t + i) % 4);
        const auto pass =
            gate_->enter(static_cast<std::size_t>(t % 2), request, clock_->now() + 1h);
        const int now_inside = ++inside;
        for (int seen = most; now_inside > seen && !most.compare_exchange_weak(seen, now_inside);) {
        }
        std::this_thread::yield();
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 3);
  EXPECT_EQ(gate_->counts().in_flight, 0u);
  EXPECT_EQ(gate_->counts().peak_in_flight, 3u);
}

}  // namespace
}  // namespace hyperpod::client
