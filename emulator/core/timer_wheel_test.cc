// SPDX-License-Identifier: Apache-2.0
#include "core/timer_wheel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <ostream>
#include <vector>

namespace hyperpod::emulator::core::timer_wheel_test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

struct Recorded : Timer {
  Recorded(std::vector<int>& fired_ids, int timer_id) : fired(fired_ids), id(timer_id) {}
  void on_due() override { fired.push_back(id); }
  std::vector<int>& fired;
  int id;
};

class TimerWheelTest : public testing::Test {
 protected:
  TimePoint start = TimePoint{} + 1h;
  TimerWheel wheel{start};
  std::vector<int> fired;
};

TEST_F(TimerWheelTest, FiresAtItsTimeAndNotBefore) {
  Recorded timer(fired, 1);
  wheel.arm(timer, start + 30s);
  wheel.run_due(start + 30s - 1ms);
  EXPECT_THAT(fired, IsEmpty());
  wheel.run_due(start + 30s);
  EXPECT_THAT(fired, ElementsAre(1));
  EXPECT_FALSE(timer.armed());
}

TEST_F(TimerWheelTest, FiresToTheNanosecondWithinAMillisecond) {
  Recorded first(fired, 1), second(fired, 2), third(fired, 3);
  wheel.arm(third, start + 2ms);
  wheel.arm(second, start + 1500us + 1ns);
  wheel.arm(first, start + 1500us);
  wheel.run_due(start + 1500us - 1ns);
  EXPECT_THAT(fired, IsEmpty());
  wheel.run_due(start + 1500us);
  EXPECT_THAT(fired, ElementsAre(1));
  EXPECT_EQ(wheel.next_due(), start + 1500us + 1ns);
  wheel.run_due(start + 3ms);
  EXPECT_THAT(fired, ElementsAre(1, 2, 3));
}

TEST_F(TimerWheelTest, FiresInOrderOfTime) {
  Recorded late(fired, 3), early(fired, 1), middle(fired, 2);
  wheel.arm(late, start + 2h);
  wheel.arm(early, start + 5ms);
  wheel.arm(middle, start + 90s);
  wheel.run_due(start + 3h);
  EXPECT_THAT(fired, ElementsAre(1, 2, 3));
}

TEST_F(TimerWheelTest, DisarmedOrDestroyedTimersDoNotFire) {
  Recorded disarmed(fired, 1);
  wheel.arm(disarmed, start + 5ms);
  disarmed.disarm();
  {
    Recorded destroyed(fired, 2);
    wheel.arm(destroyed, start + 5ms);
  }
  EXPECT_EQ(wheel.next_due(), std::nullopt);
  wheel.run_due(start + 1h);
  EXPECT_THAT(fired, IsEmpty());
}

TEST_F(TimerWheelTest, ATimeInThePastFiresAtTheNextRun) {
  wheel.run_due(start + 1s);
  Recorded timer(fired, 1);
  wheel.arm(timer, start);
  EXPECT_LE(wheel.next_due(), start + 1s);
  wheel.run_due(start + 1s);
  EXPECT_THAT(fired, ElementsAre(1));
}

TEST_F(TimerWheelTest, ATimerBeyondTheHorizonStillFires) {
  Recorded timer(fired, 1);
  const auto due = start + 24h * 365 * 10;
  wheel.arm(timer, due);
  wheel.run_due(due - 1ms);
  EXPECT_THAT(fired, IsEmpty());
  wheel.run_due(due);
  EXPECT_THAT(fired, ElementsAre(1));
}

TEST_F(TimerWheelTest, FiresAndMovesNoMoreAtOnceThanItMay) {
  std::deque<Recorded> timers;
  for (int i = 0; i < 10; ++i) {
    wheel.arm(timers.emplace_back(fired, i), start + 10s + std::chrono::microseconds(i));
  }
  int calls = 1;
  while (wheel.run_due(start + 1min, 3)) {
    EXPECT_LE(*wheel.next_due(), start + 10s + std::chrono::microseconds(fired.size()))
        << "some are still to be fired";
    ++calls;
  }
  EXPECT_THAT(fired, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_GT(calls, 2 * 10 / 3) << "each was fired, and moved before that";
  EXPECT_EQ(wheel.next_due(), std::nullopt);
}

// --- Against a sorted map -----------------------------------------------------------------------

/// One step of a random history. What its numbers mean depends on the kind of step.
struct Step {
  enum Kind { arm, disarm, step_through, jump };
  Kind kind = arm;
  int timer = 0;
  int magnitude = 0;           // bits of the duration
  std::uint64_t duration = 0;  // in ns, of which `magnitude` bits count

  Duration span() const {
    return Duration(static_cast<std::int64_t>(duration & ((1ull << magnitude) - 1)));
  }
};

void showValue(const Step& step, std::ostream& out) {
  constexpr const char* names[] = {"arm", "disarm", "step_through", "jump"};
  out << names[step.kind] << " " << step.timer << " " << step.span().count() << "ns";
}

constexpr int timers = 24;

rc::Gen<Step> any_step() {
  using rc::gen::inRange;
  const auto kind = rc::gen::weightedElement<Step::Kind>(
      {{5, Step::arm}, {1, Step::disarm}, {2, Step::step_through}, {1, Step::jump}});
  // Up to 2^57 ns, four and a half years, so that timers stand on every level and beyond them all.
  return rc::gen::build<Step>(
      rc::gen::set(&Step::kind, kind), rc::gen::set(&Step::timer, inRange(0, timers)),
      rc::gen::set(&Step::magnitude, inRange(0, 58)), rc::gen::set(&Step::duration));
}

/// A wheel and what it must do, told by a map.
class WheelAgainstMap {
 public:
  struct Plan : Timer {
    WheelAgainstMap* owner = nullptr;
    int id = 0;
    void on_due() override { owner->fired(*this); }
  };

  WheelAgainstMap() {
    for (int id = 0; id < timers; ++id) {
      plans_.push_back(std::make_unique<Plan>());
      plans_.back()->owner = this;
      plans_.back()->id = id;
    }
  }

  void run(const Step& step) {
    switch (step.kind) {
      case Step::arm:
        return arm(step.timer, step.span());
      case Step::disarm:
        return disarm(step.timer);
      case Step::step_through:
        return step_to(now_ + step.span());
      case Step::jump:
        return jump_to(now_ + step.span());
    }
  }

  void check() const {
    for (int id = 0; id < timers; ++id) RC_ASSERT(plan(id).armed() == model_.contains(id));
    RC_ASSERT(wheel_.next_due().has_value() == !model_.empty());
  }

  int fired_in_all = 0;
  int armed_by_others = 0;
  int cascades = 0;  // stops at which timers only moved down

 private:
  Plan& plan(int id) const { return *plans_[static_cast<std::size_t>(id)]; }

  void arm(int id, Duration after) {
    wheel_.arm(plan(id), now_ + after);
    model_[id] = now_ + after;
    RC_ASSERT(*wheel_.next_due() <= now_ + after);
  }

  void disarm(int id) {
    plan(id).disarm();
    model_.erase(id);
  }

  /// Every third timer that fires arms itself again, every seventh disarms its neighbour.
  void fired(Plan& plan) {
    RC_ASSERT(model_.contains(plan.id));
    const TimePoint due = model_[plan.id];
    RC_ASSERT(due == plan.due());
    RC_ASSERT(due <= now_);
    for (const auto& [other, when] : model_) RC_ASSERT(when >= due);
    if (stepping_) RC_ASSERT(due == now_);
    model_.erase(plan.id);
    ++fired_in_all;
    if (fired_in_all % 3 == 0) {
      ++armed_by_others;
      arm(plan.id, Duration(fired_in_all) * 1'000'003);
    }
    if (fired_in_all % 7 == 0) disarm((plan.id + 1) % timers);
  }

  void jump_to(TimePoint target) {
    now_ = target;
    while (wheel_.run_due(now_, 2)) {
    }
    nothing_is_overdue();
  }

  void step_to(TimePoint target) {
    stepping_ = true;
    for (int stops = 0;; ++stops) {
      RC_ASSERT(stops < 10'000);
      const auto due = wheel_.next_due();
      const bool last = !due || *due > target;
      const int fired_before = fired_in_all;
      now_ = last ? target : std::max(now_, *due);
      wheel_.run_due(now_);
      nothing_is_overdue();
      if (last) break;
      if (fired_in_all == fired_before) ++cascades;
    }
    stepping_ = false;
  }

  void nothing_is_overdue() const {
    for (const auto& [id, due] : model_) RC_ASSERT(due > now_);
  }

  const TimePoint start_ = TimePoint{} + 1h;
  TimePoint now_ = start_;
  bool stepping_ = false;
  TimerWheel wheel_{start_};
  std::map<int, TimePoint> model_;
  std::vector<std::unique_ptr<Plan>> plans_;
};

TEST(TimerWheelProperty, AgreesWithASortedMap) {
  int fired = 0, armed_by_others = 0, cascades = 0;
  EXPECT_TRUE(rc::check([&] {
    const auto steps = *rc::gen::resize(400, rc::gen::container<std::vector<Step>>(any_step()));
    WheelAgainstMap pair;
    for (const Step& step : steps) {
      pair.run(step);
      pair.check();
    }
    fired += pair.fired_in_all;
    armed_by_others += pair.armed_by_others;
    cascades += pair.cascades;
  }));
  // A property that generates next to nothing would hold, too.
  EXPECT_GT(fired, 2000);
  EXPECT_GT(armed_by_others, 500);
  EXPECT_GT(cascades, 500);
}

}  // namespace
}  // namespace hyperpod::emulator::core::timer_wheel_test
