// SPDX-License-Identifier: Apache-2.0
#include "transport/circuit_breaker.h"

#include <gtest/gtest.h>

namespace hyperpod::client::transport {
namespace {

using namespace std::chrono_literals;

class CircuitBreakerTest : public ::testing::Test {
 protected:
  void fail(int times) {
    for (int i = 0; i < times; ++i) breaker_.record_transport_failure();
  }

  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  CircuitBreaker breaker_{clock_};
};

TEST_F(CircuitBreakerTest, OpensAfterThreeFailuresInARow) {
  fail(2);
  EXPECT_FALSE(breaker_.is_open());
  EXPECT_TRUE(breaker_.admit());
  EXPECT_TRUE(breaker_.record_transport_failure()) << "this opens it";
  EXPECT_FALSE(breaker_.record_transport_failure());
  EXPECT_TRUE(breaker_.is_open());
  EXPECT_TRUE(breaker_.refuses());
  EXPECT_FALSE(breaker_.admit());
}

TEST_F(CircuitBreakerTest, CountsOnlyFailuresInARow) {
  for (int i = 0; i < 10; ++i) {
    fail(2);
    breaker_.record_response();
  }
  EXPECT_FALSE(breaker_.is_open());
}

TEST_F(CircuitBreakerTest, LetsOneProbePassEveryFiveSeconds) {
  fail(3);
  clock_->advance(4999ms);
  EXPECT_FALSE(breaker_.admit());
  clock_->advance(1ms);
  EXPECT_FALSE(breaker_.refuses());
  EXPECT_TRUE(breaker_.admit());
  EXPECT_FALSE(breaker_.admit());
  EXPECT_TRUE(breaker_.refuses());
}

TEST_F(CircuitBreakerTest, WaitsAFullIntervalAfterAProbeThatFails) {
  fail(3);
  clock_->advance(5s);
  ASSERT_TRUE(breaker_.admit());
  clock_->advance(3s);
  fail(1);
  clock_->advance(4s);
  EXPECT_FALSE(breaker_.admit());
  clock_->advance(1s);
  EXPECT_TRUE(breaker_.admit());
}

TEST_F(CircuitBreakerTest, ProbesAgainWhenAProbeNeverComesBack) {
  fail(3);
  clock_->advance(5s);
  ASSERT_TRUE(breaker_.admit());
  clock_->advance(5s);
  EXPECT_TRUE(breaker_.admit());
}

TEST_F(CircuitBreakerTest, IsClosedByAnyAnswerAndNeedsThreeFailuresAgain) {
  fail(3);
  clock_->advance(5s);
  ASSERT_TRUE(breaker_.admit());
  EXPECT_TRUE(breaker_.record_response()) << "this closes it";
  EXPECT_FALSE(breaker_.record_response());
  EXPECT_FALSE(breaker_.is_open());
  fail(2);
  EXPECT_TRUE(breaker_.admit());
}

TEST_F(CircuitBreakerTest, DoesNotStayOpenHoweverManyFailuresCame) {
  fail(100'000);
  clock_->advance(5s);
  EXPECT_TRUE(breaker_.admit());
  breaker_.record_response();
  EXPECT_TRUE(breaker_.admit());
}

}  // namespace
}  // namespace hyperpod::client::transport
