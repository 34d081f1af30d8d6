// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <vector>

namespace hyperpod::base {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::InSequence;
using testing::Return;

class MockTicker : public Ticker {
 public:
  MOCK_METHOD(std::optional<TimePoint>, next_due, (), (const, override));
  MOCK_METHOD(void, run_due, (TimePoint), (override));
};

/// Fires actions at set times, and notes when it was run and what the clock said meanwhile.
class Agenda : public Ticker {
 public:
  explicit Agenda(ManualClock& clock) : clock_(clock) { clock_.attach(*this); }
  ~Agenda() override { clock_.detach(*this); }

  void at(TimePoint due, std::function<void()> action) { due_.emplace(due, std::move(action)); }

  std::optional<TimePoint> next_due() const override {
    return due_.empty() ? std::nullopt : std::optional(due_.begin()->first);
  }
  void run_due(TimePoint now) override {
    EXPECT_EQ(clock_.now(), now);
    while (!due_.empty() && due_.begin()->first <= now) {
      const auto action = due_.extract(due_.begin());
      fired.push_back(now);
      action.mapped()();
    }
  }

  std::vector<TimePoint> fired;

 private:
  ManualClock& clock_;
  std::multimap<TimePoint, std::function<void()>> due_;
};

class ManualClockTest : public testing::Test {
 protected:
  const TimePoint start = TimePoint{} + 1h;
  ManualClock clock{start};
};

TEST_F(ManualClockTest, StandsStillUntilItIsMoved) {
  EXPECT_EQ(clock.now(), start);
  EXPECT_EQ(clock.now(), start);
  clock.advance(1500ms);
  EXPECT_EQ(clock.now(), start + 1500ms);
  clock.advance(1ns);
  EXPECT_EQ(clock.now(), start + 1500ms + 1ns);
}

TEST_F(ManualClockTest, NeverGoesBack) {
  clock.advance(1s);
  clock.advance(-5s);
  EXPECT_EQ(clock.now(), start + 1s);
}

TEST_F(ManualClockTest, DoesNotRunByItself) { EXPECT_FALSE(clock.runs_by_itself()); }

TEST_F(ManualClockTest, StopsAtEachDueTimeAndAtTheEnd) {
  testing::StrictMock<MockTicker> ticker;
  clock.attach(ticker);
  {
    InSequence order;
    EXPECT_CALL(ticker, next_due).WillOnce(Return(start + 1s));
    EXPECT_CALL(ticker, run_due(start + 1s));
    EXPECT_CALL(ticker, next_due).WillOnce(Return(start + 3s));
    EXPECT_CALL(ticker, run_due(start + 3s));
    EXPECT_CALL(ticker, next_due).WillOnce(Return(std::nullopt));
    EXPECT_CALL(ticker, run_due(start + 10s));
  }
  clock.advance(10s);
  clock.detach(ticker);
}

TEST_F(ManualClockTest, DoesNotPassTheEndForATimerBeyondIt) {
  testing::StrictMock<MockTicker> ticker;
  clock.attach(ticker);
  EXPECT_CALL(ticker, next_due).WillOnce(Return(start + 10s + 1ns));
  EXPECT_CALL(ticker, run_due(start + 10s));
  clock.advance(10s);
  EXPECT_EQ(clock.now(), start + 10s);
  clock.detach(ticker);
}

TEST_F(ManualClockTest, ATimerDueInThePastFiresNow) {
  clock.advance(1h);
  Agenda agenda(clock);
  agenda.at(start, [] {});
  clock.advance(0s);
  EXPECT_THAT(agenda.fired, ElementsAre(start + 1h));
}

TEST_F(ManualClockTest, WhatATimerSetsInMotionHappensAtItsOwnTime) {
  Agenda agenda(clock);
  agenda.at(start + 1s, [&] {
    agenda.at(clock.now() + 2s, [] {});
    agenda.at(clock.now() + 9s + 1ns, [] {});
  });
  clock.advance(10s);
  EXPECT_THAT(agenda.fired, ElementsAre(start + 1s, start + 3s));
}

TEST_F(ManualClockTest, SeveralTickersFireInOrderOfTimeAcrossThem) {
  Agenda one(clock), other(clock);
  std::vector<int> order;
  one.at(start + 1s, [&] { order.push_back(1); });
  other.at(start + 2s, [&] { order.push_back(2); });
  one.at(start + 3s, [&] { order.push_back(3); });
  other.at(start + 3s, [&] { order.push_back(3); });
  clock.advance(3s);
  EXPECT_THAT(order, ElementsAre(1, 2, 3, 3));
}

TEST_F(ManualClockTest, OneTickersTimerMaySetAnotherTickersTimer) {
  Agenda one(clock), other(clock);
  one.at(start + 1s, [&] { other.at(clock.now() + 1s, [] {}); });
  clock.advance(5s);
  EXPECT_THAT(other.fired, ElementsAre(start + 2s));
}

TEST_F(ManualClockTest, ADetachedTickerIsLeftAlone) {
  testing::StrictMock<MockTicker> detached;
  testing::NiceMock<MockTicker> attached;
  clock.attach(detached);
  clock.attach(attached);
  clock.detach(detached);
  EXPECT_CALL(attached, run_due(start + 1s));
  clock.advance(1s);
  clock.detach(attached);
}

TEST_F(ManualClockTest, CallersOnSeveralThreadsTakeTurns) {
  constexpr int threads = 4, steps = 500;
  testing::NiceMock<MockTicker> ticker;
  std::atomic<int> inside{0}, overlaps{0};
  ON_CALL(ticker, run_due).WillByDefault([&](TimePoint) {
    if (++inside > 1) ++overlaps;
    --inside;
  });
  clock.attach(ticker);
  std::vector<std::thread> callers;
  for (int i = 0; i < threads; ++i) {
    callers.emplace_back([&] {
      for (int step = 0; step < steps; ++step) clock.advance(1ms);
    });
  }
  for (auto& caller : callers) caller.join();
  clock.detach(ticker);
  EXPECT_EQ(clock.now(), start + threads * steps * 1ms);
  EXPECT_EQ(overlaps, 0);
}

TEST(RealClock, RunsByItselfAndNeverGoesBack) {
  const RealClock clock;
  EXPECT_TRUE(clock.runs_by_itself());
  const auto before = std::chrono::steady_clock::now();
  const auto first = clock.now();
  const auto second = clock.now();
  EXPECT_LE(before, first);
  EXPECT_LE(first, second);
  EXPECT_LE(second, std::chrono::steady_clock::now());
}

}  // namespace
}  // namespace hyperpod::base
