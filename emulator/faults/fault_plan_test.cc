// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::faults {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr FaultSubject a_put{.operation = FaultOperation::put, .bucket = "b", .key = "k"};
constexpr FaultSubject a_lease{.operation = FaultOperation::lease, .bucket = "b", .key = "k"};
constexpr FaultSubject a_release{.operation = FaultOperation::release, .bucket = "b", .key = "k"};
constexpr FaultSubject a_connect{.operation = FaultOperation::connect, .connection = 1};

FaultSubject lease_of(std::string_view bucket, std::string_view key) {
  return {.operation = FaultOperation::lease, .bucket = bucket, .key = key};
}

Fault answering(int status, FaultMatch match = {}) {
  return {.name = std::to_string(status),
          .match = match,
          .script = {{.ending = RespondWith{.status = status}}}};
}

/// Which of `count` equal subjects the plan's faults fire on, counted from 1.
std::vector<int> fired_on(FaultPlan& plan, int count, const FaultSubject& subject = a_lease) {
  std::vector<int> fired;
  for (int i = 1; i <= count; ++i) {
    if (plan.decide(subject)) fired.push_back(i);
  }
  return fired;
}

/// The name of the fault that fires, or "".
std::string taken_by(FaultPlan& plan, const FaultSubject& subject) {
  const auto fired = plan.decide(subject);
  return fired ? fired->name : "";
}

bool fires(const FaultMatch& match, const FaultSubject& subject) {
  FaultPlan plan;
  const bool added = plan.add({.match = match, .script = {Effects{}}}).has_value();
  EXPECT_TRUE(added);
  return plan.decide(subject).has_value();
}

// --- Whom a fault meets -------------------------------------------------------------------------

TEST(FaultPlan, AnEmptyPlanLeavesEverybodyAlone) {
  FaultPlan plan;
  EXPECT_FALSE(plan.decide(a_put));
  EXPECT_TRUE(plan.list().empty());
}

TEST(FaultPlan, AnOperationMeetsItsOwnRequestsOnly) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.operation = FaultOperation::put})));
  EXPECT_FALSE(plan.decide(a_lease));
  EXPECT_FALSE(plan.decide(a_release));
  EXPECT_TRUE(plan.decide(a_put));
}

TEST(FaultPlan, AnyMeetsEveryRequestButNoConnection) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503)));
  EXPECT_TRUE(plan.decide(a_put));
  EXPECT_TRUE(plan.decide(a_lease));
  EXPECT_TRUE(plan.decide(a_release));
  EXPECT_FALSE(plan.decide(a_connect));
  EXPECT_EQ(plan.counts("503").matched, 3u);
}

TEST(FaultPlan, AnyMeetsOnlyWhatAllItsEffectsCanBeDoneTo) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add({.name = "grant",

                        .script = {{.delay = Delay{.low = 1ms}}, {.forget_lease = true}}}));
  EXPECT_FALSE(plan.decide(a_put));
  EXPECT_FALSE(plan.decide(a_release));
  EXPECT_TRUE(plan.decide(a_lease));
  EXPECT_EQ(plan.counts("grant").matched, 1u);
}

TEST(FaultPlan, GlobsSelectBucketsAndKeys) {
  const FaultMatch match{.bucket = "kv-?", .key = "model@*@0"};
  EXPECT_TRUE(fires(match, lease_of("kv-1", "model@8@0")));
  EXPECT_TRUE(fires(match, lease_of("kv-1", "model@@0")));
  EXPECT_FALSE(fires(match, lease_of("kv-10", "model@8@0")));
  EXPECT_FALSE(fires(match, lease_of("kv-1", "model@8@1")));
  EXPECT_FALSE(fires(match, lease_of("kv-1", "a model@8@0")));
}

TEST(FaultPlan, AConnectionIsMetByItsNumber) {
  FaultSubject subject = a_lease;
  subject.connection = 2;
  EXPECT_TRUE(fires({.connection = 2}, subject));
  EXPECT_FALSE(fires({.connection = 3}, subject));
}

TEST(FaultPlan, NthFiresOnceAtThatMatch) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.nth = 3})));
  EXPECT_THAT(fired_on(plan, 9), ElementsAre(3));
}

TEST(FaultPlan, EveryFiresAtEachMultiple) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.every = 3})));
  EXPECT_THAT(fired_on(plan, 9), ElementsAre(3, 6, 9));
}

TEST(FaultPlan, FirstFiresUpToThatMatch) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.first = 3})));
  EXPECT_THAT(fired_on(plan, 9), ElementsAre(1, 2, 3));
}

TEST(FaultPlan, OccurrencesAreCountedOverMatchesOnly) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.key = "wanted", .nth = 2})));
  EXPECT_FALSE(plan.decide(lease_of("b", "wanted")));
  EXPECT_FALSE(plan.decide(lease_of("b", "other")));
  EXPECT_TRUE(plan.decide(lease_of("b", "wanted")));
}

// --- Chance -------------------------------------------------------------------------------------

TEST(FaultPlan, ProbabilityFiresAboutThatOften) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.probability = 0.25})));
  constexpr int requests = 10'000;
  const auto fired = fired_on(plan, requests);
  EXPECT_NEAR(static_cast<double>(fired.size()), requests * 0.25, 5 * 43);  // five deviations
  EXPECT_EQ(plan.counts("503").matched, std::uint64_t{requests});
  EXPECT_EQ(plan.counts("503").fired, fired.size());
}

TEST(FaultPlan, TheSameSeedFiresOnTheSameRequests) {
  const auto fired = [](std::uint64_t seed) {
    FaultPlan plan;
    EXPECT_TRUE(plan.add(answering(503, {.probability = 0.5, .seed = seed})));
    return fired_on(plan, 64);
  };
  EXPECT_EQ(fired(7), fired(7));
  EXPECT_NE(fired(7), fired(8));
}

std::vector<std::chrono::milliseconds> delays(const Delay& delay, int count,
                                              std::uint64_t seed = 1) {
  FaultPlan plan;
  EXPECT_TRUE(plan.add({.match = {.seed = seed}, .script = {{.delay = delay}}}));
  std::vector<std::chrono::milliseconds> drawn;
  for (int i = 0; i < count; ++i) drawn.push_back(plan.decide(a_lease)->delay);
  return drawn;
}

TEST(FaultPlan, AFixedDelayIsAlwaysTheSame) {
  EXPECT_THAT(delays({.low = 250ms}, 3), ElementsAre(250ms, 250ms, 250ms));
}

TEST(FaultPlan, AUniformDelayReachesBothItsEnds) {
  const auto drawn = delays({.kind = Delay::Kind::uniform, .low = 3ms, .high = 6ms}, 1'000);
  EXPECT_EQ(std::set(drawn.begin(), drawn.end()),
            (std::set<std::chrono::milliseconds>{3ms, 4ms, 5ms, 6ms}));
  for (const auto value : {3ms, 4ms, 5ms, 6ms}) {
    EXPECT_NEAR(static_cast<double>(std::ranges::count(drawn, value)), 250, 5 * 14);
  }
}

TEST(FaultPlan, ALognormalDelayHasItsMedianAndItsSpread) {
  constexpr int count = 10'000;
  const auto drawn = delays({.kind = Delay::Kind::lognormal, .low = 1'000ms, .sigma = 0.5}, count);
  const auto share_below = [&](double limit) {
    return static_cast<double>(std::ranges::count_if(
               drawn, [&](auto delay) { return static_cast<double>(delay.count()) < limit; })) /
           count;
  };
  // One standard deviation of the logarithm lies on either side; 0.025 is five of the estimate.
  EXPECT_NEAR(share_below(1'000), 0.5, 0.025);
  EXPECT_NEAR(share_below(1'000 * std::exp(0.5)), 0.841, 0.02);
  EXPECT_NEAR(share_below(1'000 / std::exp(0.5)), 0.159, 0.02);
}

TEST(FaultPlan, NoDelayIsLongerThanTheLongest) {
  for (const auto delay :
       delays({.kind = Delay::Kind::lognormal, .low = longest_fault, .sigma = 10}, 100)) {
    EXPECT_LE(delay, longest_fault);
    EXPECT_GE(delay, 0ms);
  }
}

TEST(FaultPlan, TheSameSeedDrawsTheSameDelays) {
  const Delay delay{.kind = Delay::Kind::uniform, .low = 0ms, .high = 1h};
  EXPECT_EQ(delays(delay, 8, 7), delays(delay, 8, 7));
  EXPECT_NE(delays(delay, 8, 7), delays(delay, 8, 8));
}

// --- What a fault does --------------------------------------------------------------------------

TEST(FaultPlan, TheFirstFaultThatFiresDecides) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(500, {.nth = 2})));
  ASSERT_TRUE(plan.add(answering(503)));
  EXPECT_EQ(taken_by(plan, a_lease), "503");
  EXPECT_EQ(taken_by(plan, a_lease), "500");
  EXPECT_EQ(plan.counts("500"), (FaultCounts{.matched = 2, .fired = 1}));
  EXPECT_EQ(plan.counts("503"), (FaultCounts{.matched = 1, .fired = 1}));
}

TEST(FaultPlan, AFaultWithoutEffectShieldsFromLaterOnes) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add({.name = "spare", .match = {.key = "safe"}, .script = {Effects{}}}));
  ASSERT_TRUE(plan.add(answering(503)));
  EXPECT_EQ(plan.decide(lease_of("b", "safe"))->effects, Effects{});
  EXPECT_EQ(plan.decide(lease_of("b", "other"))->effects.ending,
            Ending(RespondWith{.status = 503}));
}

TEST(FaultPlan, AScriptIsDoneOnceInOrder) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(
      {.name = "script",
       .script = {{.ending = RespondWith{.status = 500}}, {}, {.ending = ResetConnection{}}}}));
  EXPECT_EQ(plan.decide(a_put)->effects.ending, Ending(RespondWith{.status = 500}));
  EXPECT_EQ(plan.decide(a_put)->effects, Effects{});
  EXPECT_EQ(plan.decide(a_put)->effects.ending, Ending(ResetConnection{}));
  EXPECT_FALSE(plan.decide(a_put));
  EXPECT_EQ(plan.counts("script"), (FaultCounts{.matched = 4, .fired = 3}));
}

TEST(FaultPlan, AScriptAdvancesOnlyWhenItFires) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add({.name = "script",
                        .match = {.every = 2},
                        .script = {{.ending = RespondWith{.status = 500}},
                                   {.ending = RespondWith{.status = 503}}}}));
  EXPECT_FALSE(plan.decide(a_put));
  EXPECT_EQ(plan.decide(a_put)->effects.ending, Ending(RespondWith{.status = 500}));
  EXPECT_FALSE(plan.decide(a_put));
  EXPECT_EQ(plan.decide(a_put)->effects.ending, Ending(RespondWith{.status = 503}));
}

TEST(FaultPlan, AFinishedScriptLeavesItsRequestsToLaterFaults) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add({.name = "script", .script = {{}, {}}}));
  ASSERT_TRUE(plan.add(answering(503)));
  EXPECT_EQ(taken_by(plan, a_put), "script");
  EXPECT_EQ(taken_by(plan, a_put), "script");
  EXPECT_EQ(taken_by(plan, a_put), "503");
}

TEST(FaultPlan, AConnectFaultFiresOnlyAboveItsLimit) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add({.name = "full",
                        .match = {.operation = FaultOperation::connect},
                        .script = {{.connections_above = 2}}}));
  const auto opened = [](std::uint64_t open) {
    FaultSubject subject = a_connect;
    subject.open_connections = open;
    return subject;
  };
  EXPECT_FALSE(plan.decide(opened(2)));
  EXPECT_TRUE(plan.decide(opened(3)));
  EXPECT_FALSE(plan.decide(opened(2)));
  EXPECT_EQ(plan.counts("full"), (FaultCounts{.matched = 3, .fired = 1}));
}

// --- The plan itself ----------------------------------------------------------------------------

TEST(FaultPlan, AFaultWithoutANameIsNamedAfterItsPlace) {
  FaultPlan plan;
  ASSERT_TRUE(plan.replace({{.name = "fault-2", .script = {{}}}, {.script = {{}}}}));
  ASSERT_TRUE(plan.add({.script = {{}}}));
  std::vector<std::string> names;
  for (const auto& listed : plan.list()) names.push_back(listed.fault.name);
  EXPECT_THAT(names, ElementsAre("fault-2", "fault-3", "fault-4"));
}

TEST(FaultPlan, ATakenNameIsRefusedAndChangesNothing) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503)));
  const auto refused = plan.add(answering(503, {.nth = 1}));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("fault '503'"), HasSubstr("name is taken")));
  ASSERT_EQ(plan.list().size(), 1u);
  EXPECT_EQ(plan.list().front().fault, answering(503));
}

TEST(FaultPlan, AnInvalidFaultIsRefusedAndChangesNothing) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503)));
  EXPECT_FALSE(plan.add(answering(99)));
  EXPECT_FALSE(plan.replace({answering(500), answering(99)}));
  EXPECT_FALSE(plan.replace({answering(500), answering(500)}));
  EXPECT_EQ(taken_by(plan, a_put), "503");
  EXPECT_EQ(plan.list().size(), 1u);
}

TEST(FaultPlan, ReplaceBeginsAllCountsAnew) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.nth = 1})));
  EXPECT_THAT(fired_on(plan, 2), ElementsAre(1));
  ASSERT_TRUE(plan.replace({answering(503, {.nth = 1})}));
  EXPECT_EQ(plan.counts("503"), FaultCounts{});
  EXPECT_THAT(fired_on(plan, 2), ElementsAre(1));
  ASSERT_TRUE(plan.replace({}));
  EXPECT_FALSE(plan.decide(a_put));
}

TEST(FaultPlan, ARemovedFaultFiresNoMore) {
  FaultPlan plan;
  ASSERT_TRUE(plan.replace({answering(500), answering(503)}));
  EXPECT_TRUE(plan.remove("500"));
  EXPECT_FALSE(plan.remove("500"));
  EXPECT_EQ(taken_by(plan, a_put), "503");
  EXPECT_EQ(plan.counts("500"), FaultCounts{});
  EXPECT_TRUE(plan.remove("503"));
  EXPECT_FALSE(plan.decide(a_put));
}

TEST(FaultPlan, ClearRemovesEveryFault) {
  FaultPlan plan;
  ASSERT_TRUE(plan.replace({answering(500), answering(503)}));
  plan.clear();
  EXPECT_TRUE(plan.list().empty());
  EXPECT_FALSE(plan.decide(a_put));
}

TEST(FaultPlan, ListTellsEachFaultInOrderWithItsCounts) {
  FaultPlan plan;
  ASSERT_TRUE(plan.replace({answering(500, {.nth = 2}), answering(503)}));
  EXPECT_EQ(taken_by(plan, a_put), "503");
  const auto listed = plan.list();
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].fault, answering(500, {.nth = 2}));
  EXPECT_EQ(listed[0].counts, (FaultCounts{.matched = 1, .fired = 0}));
  EXPECT_EQ(listed[1].counts, (FaultCounts{.matched = 1, .fired = 1}));
}

TEST(FaultPlan, CountsHoldWhileRequestsAndChangesRace) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add(answering(503, {.every = 2})));
  std::atomic<std::uint64_t> fired = 0;
  constexpr int workers = 3, requests = 20'000;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < workers; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < requests; ++n) {
          if (const auto fault = plan.decide(a_lease); fault && fault->name == "503") ++fired;
        }
      });
    }
    threads.emplace_back([&] {
      for (int n = 0; n < 500; ++n) {
        EXPECT_TRUE(plan.add(answering(500, {.operation = FaultOperation::put})));
        EXPECT_EQ(plan.list().size(), 2u);
        EXPECT_TRUE(plan.remove("500"));
      }
    });
  }
  EXPECT_EQ(plan.counts("503").matched, std::uint64_t{workers} * requests);
  EXPECT_EQ(plan.counts("503").fired, fired.load());
  EXPECT_EQ(fired.load(), std::uint64_t{workers} * requests / 2);
}

TEST(FaultPlan, AddsAllOrNone) {
  FaultPlan plan;
  ASSERT_TRUE(plan.add({.name = "b", .script = {Effects{}}}));
  EXPECT_FALSE(plan.add_all({{.name = "a", .script = {Effects{}}},
                             {.script = {Effects{}}},
                             {.name = "b", .script = {Effects{}}}}));
  EXPECT_EQ(plan.list().size(), 1u);
  EXPECT_TRUE(plan.add_all({{.name = "a", .script = {Effects{}}}, {.script = {Effects{}}}}))
      << "their names are free";
  const auto list = plan.list();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2].fault.name, "fault-3");
}

TEST(FaultPlan, LoadsManyFaultsInTimeThatGrowsWithTheirNumber) {
  // 30 seconds where each name is compared with all others.
  std::vector<Fault> faults(50'000, Fault{.script = {Effects{}}});
  FaultPlan plan;
  ASSERT_TRUE(plan.add_all(faults));
  ASSERT_TRUE(plan.add_all(faults));
  EXPECT_EQ(plan.list().back().fault.name, "fault-100000");
}

}  // namespace
}  // namespace hyperpod::emulator::faults
