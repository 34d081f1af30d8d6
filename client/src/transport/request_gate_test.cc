// SPDX-License-Identifier: Apache-2.0
#include "transport/request_gate.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

namespace hyperpod::client::transport {
namespace {

using namespace std::chrono_literals;

using Names = std::vector<std::string>;

class RequestGateTest : public ::testing::Test {
 protected:
  struct Named : RequestGate::Waiter {
    Named(std::string n, std::size_t host, RequestClass request) : Waiter(host, request), name(n) {}
    std::string name;
  };

  void make(std::uint32_t in_flight, std::uint32_t per_host = 1000, std::size_t hosts = 1) {
    gate_ = std::make_unique<RequestGate>(RequestGate::Limits{in_flight, per_host, hosts});
  }

  bool enter(const std::string& name, RequestClass request = RequestClass::lease,
             std::size_t host = 0) {
    return gate_->enter(waiters_.emplace_back(name, host, request), now_);
  }

  // The names of those whose turn comes, if each leaves as the next enters.
  Names order() {
    Names names;
    while (RequestGate::Waiter* const waiter = gate_->next()) {
      names.push_back(static_cast<Named*>(waiter)->name);
      gate_->leave(waiter->host());
    }
    return names;
  }

  TimePoint now_{};
  std::deque<Named> waiters_;
  std::unique_ptr<RequestGate> gate_;
};

TEST_F(RequestGateTest, LetsLeasesGoBeforePrefetchesBeforePuts) {
  make(1);
  ASSERT_TRUE(enter("busy"));
  EXPECT_FALSE(enter("put", RequestClass::put));
  EXPECT_FALSE(enter("prefetch", RequestClass::prefetch));
  EXPECT_FALSE(enter("put 2", RequestClass::put));
  EXPECT_FALSE(enter("lease", RequestClass::lease));
  EXPECT_FALSE(enter("release", RequestClass::release));
  EXPECT_EQ(gate_->next(), nullptr);
  gate_->leave(0);
  EXPECT_EQ(order(), (Names{"lease", "release", "prefetch", "put", "put 2"}));
}

TEST_F(RequestGateTest, LetsNobodyStarve) {
  make(1);
  enter("busy");
  enter("put", RequestClass::put);
  now_ += 400ms;
  enter("prefetch", RequestClass::prefetch);
  now_ += 599ms;
  enter("early lease");
  now_ += 2ms;
  enter("late lease");
  gate_->leave(0);
  EXPECT_EQ(order(), (Names{"prefetch", "early lease", "put", "late lease"}));
}

TEST_F(RequestGateTest, ForgetsWhoWithdraws) {
  make(1);
  enter("busy");
  enter("first");
  enter("second");
  EXPECT_TRUE(waiters_[1].is_queued());
  gate_->withdraw(waiters_[1]);
  EXPECT_FALSE(waiters_[1].is_queued());
  EXPECT_EQ(gate_->counts().queued, 1u);
  EXPECT_EQ(gate_->counts().peak_queued, 2u);
  gate_->leave(0);
  EXPECT_EQ(order(), Names{"second"});
  EXPECT_EQ(gate_->counts().queued, 0u);
}

TEST_F(RequestGateTest, KeepsToTheLimitOfEachHost) {
  make(3, 2, 2);
  EXPECT_TRUE(enter("a"));
  EXPECT_TRUE(enter("b"));
  EXPECT_FALSE(enter("host 0"));
  EXPECT_TRUE(enter("host 1", RequestClass::lease, 1)) << "passes the one that waits for host 0";
  EXPECT_EQ(gate_->counts().in_flight, 3u);
  EXPECT_FALSE(enter("host 1 too", RequestClass::lease, 1));
  gate_->leave(0);
  EXPECT_EQ(order(), (Names{"host 0", "host 1 too"}));
  EXPECT_EQ(gate_->counts().peak_in_flight, 3u);
}

TEST_F(RequestGateTest, SkipsAWaiterWhoseHostIsFull) {
  make(2, 1, 2);
  enter("a", RequestClass::lease, 0);
  enter("b", RequestClass::lease, 1);
  enter("host 0", RequestClass::lease, 0);
  enter("host 1", RequestClass::put, 1);
  gate_->leave(1);
  EXPECT_EQ(order(), Names{"host 1"});
  gate_->leave(0);
  EXPECT_EQ(order(), Names{"host 0"});
}

TEST_F(RequestGateTest, TellsWhomAClosedClientRefuses) {
  make(1);
  enter("busy");
  enter("release", RequestClass::release);
  EXPECT_EQ(gate_->any_refusable(), nullptr);
  enter("put", RequestClass::put);
  EXPECT_EQ(gate_->any_refusable(), &waiters_.back());
}

}  // namespace
}  // namespace hyperpod::client::transport
