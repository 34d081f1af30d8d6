#include "core/timer_wheel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <vector>

namespace hyperpod::emulator {
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

// Stepping from one next_due to the next must fire each timer at its own millisecond, whatever was
// armed, re-armed and disarmed on the way: the model is a sorted map.
RC_GTEST_PROP(TimerWheelProperty, AgreesWithASortedMap, ()) {
  const TimePoint start = TimePoint{} + 1h;
  TimerWheel wheel(start);
  std::vector<int> fired;
  std::vector<std::unique_ptr<Recorded>> timers;
  for (int id = 0; id < 20; ++id) timers.push_back(std::make_unique<Recorded>(fired, id));
  std::map<int, std::chrono::milliseconds> model;
  std::chrono::milliseconds now{0};

  const auto steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) {
    const int id = *rc::gen::inRange(0, 20);
    auto& timer = *timers[static_cast<std::size_t>(id)];
    switch (*rc::gen::inRange(0, 3)) {
      case 0: {
        const std::chrono::milliseconds wait(*rc::gen::inRange(1, 1 << *rc::gen::inRange(1, 28)));
        wheel.arm(timer, start + now + wait);
        model[id] = now + wait;
        break;
      }
      case 1:
        timer.disarm();
        model.erase(id);
        break;
      default: {
        const auto target =
            now + std::chrono::milliseconds(*rc::gen::inRange(0, 1 << *rc::gen::inRange(1, 28)));
        while (true) {
          const auto due = wheel.next_due();
          const auto stop = due && *due <= start + target ? *due - start : target;
          fired.clear();
          wheel.run_due(start + stop);
          std::vector<int> expected;
          for (const auto& [other, when] : model) {
            if (when <= stop) expected.push_back(other);
          }
          for (int other : expected) {
            RC_ASSERT(model[other] == std::chrono::duration_cast<std::chrono::milliseconds>(stop));
            model.erase(other);
          }
          RC_ASSERT(std::multiset<int>(fired.begin(), fired.end()) ==
                    std::multiset<int>(expected.begin(), expected.end()));
          if (stop == target) break;
        }
        now = target;
      }
    }
  }
}

}  // namespace
}  // namespace hyperpod::emulator
