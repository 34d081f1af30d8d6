// SPDX-License-Identifier: Apache-2.0
#include "core/use_order.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <ostream>
#include <vector>

namespace hyperpod::emulator::core::use_order_test {
namespace {

struct Thing : UseOrder::Item {};

constexpr std::size_t any_number = std::numeric_limits<std::size_t>::max();

Thing* oldest(UseOrder& order, std::size_t steps = any_number) {
  return static_cast<Thing*>(order.oldest(steps));
}

TEST(UseOrder, APinIsAUseAndItsEndIsNot) {
  UseOrder order;
  std::deque<Thing> things(3);
  for (Thing& thing : things) order.add(thing);
  EXPECT_EQ(oldest(order), &things[0]);
  EXPECT_TRUE(order.pin(things[0]));
  EXPECT_EQ(oldest(order), &things[1]);
  EXPECT_TRUE(order.pin(things[1]));
  EXPECT_TRUE(order.unpin(things[1]));
  EXPECT_TRUE(order.unpin(things[0]));
  EXPECT_EQ(oldest(order), &things[2]);
  order.remove(things[2]);
  EXPECT_EQ(oldest(order), &things[0]) << "which was used before the other";
  order.clear();
}

TEST(UseOrder, WhatWasPassedOverStandsWhereItsUseBelongs) {
  UseOrder order;
  std::deque<Thing> things(4);
  for (Thing& thing : things) order.add(thing);
  for (Thing& thing : things) order.pin(thing);
  Thing later;
  order.add(later);
  EXPECT_EQ(oldest(order), &later) << "all before it are pinned";
  order.unpin(things[2]);
  order.unpin(things[1]);
  EXPECT_EQ(oldest(order), &things[1]);
  order.pin(things[1]);
  EXPECT_EQ(oldest(order), &things[2]);
  order.remove(things[2]);
  EXPECT_EQ(oldest(order), &later);
  order.clear();
}

TEST(UseOrder, ASearchTakesNoMoreStepsThanItMay) {
  UseOrder order;
  std::deque<Thing> things(10);
  for (Thing& thing : things) order.add(thing);
  for (Thing& thing : things) order.pin(thing);
  Thing free;
  order.add(free);
  std::size_t steps = 4;
  EXPECT_EQ(order.oldest(steps), nullptr);
  EXPECT_EQ(steps, 0u);
  steps = 6;
  EXPECT_EQ(order.oldest(steps), &free) << "it goes on where it stopped";
  EXPECT_EQ(steps, 0u);
  EXPECT_EQ(order.oldest(steps), &free) << "nothing is passed over twice";
  order.clear();
}

// --- Against a vector ---------------------------------------------------------------------------

struct Step {
  enum Kind { pin, unpin, remove, add, take };
  Kind kind = pin;
  std::size_t thing = 0;
};

void showValue(const Step& step, std::ostream& out) {
  constexpr const char* names[] = {"pin", "unpin", "remove", "add", "take"};
  out << names[step.kind] << " " << step.thing;
}

constexpr std::size_t many = 12;

rc::Gen<Step> any_step() {
  const auto kind = rc::gen::weightedElement<Step::Kind>(
      {{5, Step::pin}, {5, Step::unpin}, {1, Step::remove}, {3, Step::add}, {4, Step::take}});
  return rc::gen::build<Step>(rc::gen::set(&Step::kind, kind),
                              rc::gen::set(&Step::thing, rc::gen::inRange<std::size_t>(0, many)));
}

class OrderAgainstVector {
 public:
  ~OrderAgainstVector() { order_.clear(); }

  void run(const Step& step) {
    Thing& thing = things_[step.thing];
    const auto at = std::find(model_.begin(), model_.end(), &thing);
    const bool there = at != model_.end();
    switch (step.kind) {
      case Step::pin:
        if (!there) return;
        {
          const bool first = order_.pin(thing);
          RC_ASSERT(first == (thing.pins() == 1));
        }
        model_.erase(at);
        model_.push_back(&thing);
        return;
      case Step::unpin:
        if (thing.pins() == 0) return;
        {
          const bool last = order_.unpin(thing);
          RC_ASSERT(last == (thing.pins() == 0));
        }
        return;
      case Step::remove:
        if (!there) return;
        order_.remove(thing);
        model_.erase(at);
        return;
      case Step::add:
        if (there || thing.pins() > 0) return;
        order_.add(thing);
        model_.push_back(&thing);
        return;
      case Step::take:
        return take();
    }
  }

  int taken = 0;
  int taken_past_pinned = 0;

 private:
  // As eviction does it.
  void take() {
    const auto first = std::find_if(model_.begin(), model_.end(),
                                    [](const Thing* thing) { return thing->pins() == 0; });
    Thing* const found = oldest(order_);
    RC_ASSERT(found == (first == model_.end() ? nullptr : *first));
    if (found == nullptr) return;
    ++taken;
    taken_past_pinned += first != model_.begin();
    order_.remove(*found);
    model_.erase(first);
  }

  std::deque<Thing> things_ = std::deque<Thing>(many);
  std::vector<Thing*> model_;  // in order of use
  UseOrder order_;
};

TEST(UseOrderProperty, AgreesWithAVector) {
  int taken = 0, taken_past_pinned = 0;
  EXPECT_TRUE(rc::check([&] {
    const auto steps = *rc::gen::resize(400, rc::gen::container<std::vector<Step>>(any_step()));
    OrderAgainstVector pair;
    for (const Step& step : steps) pair.run(step);
    taken += pair.taken;
    taken_past_pinned += pair.taken_past_pinned;
  }));
  // A property that generates next to nothing would hold, too.
  EXPECT_GT(taken, 500);
  EXPECT_GT(taken_past_pinned, 100);
}

}  // namespace
}  // namespace hyperpod::emulator::core::use_order_test
