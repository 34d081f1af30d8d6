// SPDX-License-Identifier: Apache-2.0
#include "check/runner.h"

#include <gtest/gtest.h>

#include <atomic>

namespace hyperpod::conformance::check {
namespace {

CheckResult result_of(std::string_view id, Outcome outcome) {
  CheckResult result;
  result.requirement = find_requirement(id);
  result.outcome = outcome;
  result.expected = "this";
  result.seen = "that";
  return result;
}

TEST(AttributeCauses, PutsAFindingDownToTheFirstCause) {
  std::vector<CheckResult> results{
      result_of("PUT-01", Outcome::fail), result_of("LEASE-02", Outcome::fail),
      result_of("SHM-03", Outcome::fail), result_of("REL-01", Outcome::pass)};
  const std::vector<Dependency> dependencies{
      {"PUT-01", {"LEASE-02"}}, {"SHM-03", {"PUT-01"}}, {"REL-01", {"LEASE-02"}}};
  attribute_causes(results, dependencies);
  EXPECT_EQ(results[0].outcome, Outcome::skip);
  EXPECT_EQ(results[0].cause, "LEASE-02");
  EXPECT_EQ(results[1].outcome, Outcome::fail);
  EXPECT_EQ(results[2].cause, "LEASE-02") << "the cause of its cause";
  EXPECT_EQ(results[2].seen, "not judged, because LEASE-02 is not kept: expected this, seen that");
  EXPECT_EQ(results[3].outcome, Outcome::pass);
}

TEST(AttributeCauses, LeavesAFindingAloneWhoseNeedsAreMet) {
  std::vector<CheckResult> results{result_of("PUT-01", Outcome::pass),
                                   result_of("SHM-03", Outcome::warn)};
  attribute_causes(results, std::vector<Dependency>{{"SHM-03", {"PUT-01", "PUT-02"}}});
  EXPECT_EQ(results[1].outcome, Outcome::warn);
}

TEST(AttributeMissing, PutsWhatIsMissingDownToOneMust) {
  const auto missing = [](std::string_view id, Outcome outcome) {
    CheckResult result = result_of(id, outcome);
    result.missing = true;
    return result;
  };
  const std::vector<CheckResult> found{
      missing("PUT-02", Outcome::fail), missing("HTTP-05", Outcome::warn),
      result_of("KEY-01", Outcome::fail), missing("SHM-04", Outcome::fail)};
  auto results = found;
  attribute_missing(results, std::vector<std::string_view>{"PUT-01", "SHM-04"});
  EXPECT_EQ(results[0].cause, "SHM-04");
  EXPECT_EQ(results[1].cause, "SHM-04");
  EXPECT_EQ(results[2].outcome, Outcome::fail) << "it is about something else";
  EXPECT_EQ(results[3].outcome, Outcome::fail);

  results = found;
  attribute_missing(results, {});
  EXPECT_EQ(results[0].outcome, Outcome::fail) << "the first MUST, where no root is missing";
  EXPECT_EQ(results[3].cause, "PUT-02");

  results = {missing("HTTP-05", Outcome::warn), missing("HOLD-05", Outcome::warn)};
  attribute_missing(results, {});
  EXPECT_EQ(results[1].outcome, Outcome::warn) << "a warning hides nothing";
}

TEST(RunTasks, RunsExclusiveTasksAloneAndReportsInTheCataloguesOrder) {
  std::atomic<int> running = 0;
  std::atomic<bool> disturbed = false;
  std::vector<Task> tasks;
  for (const auto& [id, isolation] :
       std::vector<std::pair<std::string_view, Isolation>>{{"REL-01", Isolation::exclusive},
                                                           {"PUT-02", Isolation::parallel},
                                                           {"PUT-01", Isolation::serial},
                                                           {"KEY-01", Isolation::exclusive}}) {
    tasks.push_back({find_requirement(id), isolation, [&, id = id, isolation = isolation] {
                       const int others = running++;
                       if (isolation == Isolation::exclusive && others != 0) disturbed = true;
                       --running;
                       return result_of(id, Outcome::pass);
                     }});
  }
  std::size_t told = 0;
  const auto results = run_tasks(
      tasks, {.seed = 3, .progress = [&](const CheckResult&, std::size_t done, std::size_t total) {
                EXPECT_EQ(done, ++told);
                EXPECT_EQ(total, 4u);
              }});
  std::vector<std::string_view> ids;
  ids.reserve(results.size());
  for (const CheckResult& result : results) ids.push_back(result.requirement->id);
  EXPECT_EQ(ids, (std::vector<std::string_view>{"PUT-01", "PUT-02", "KEY-01", "REL-01"}));
  EXPECT_FALSE(disturbed);
}

TEST(RunTasks, RunsDisruptiveTasksLastAndInTheCataloguesOrder) {
  std::vector<std::string_view> begun;
  std::vector<Task> tasks;
  for (const auto& [id, isolation] :
       std::vector<std::pair<std::string_view, Isolation>>{{"RESTART-06", Isolation::disruptive},
                                                           {"RESTART-01", Isolation::disruptive},
                                                           {"PIN-01", Isolation::exclusive},
                                                           {"RESTART-02", Isolation::disruptive}}) {
    tasks.push_back({find_requirement(id), isolation, [&, id = id] {
                       begun.push_back(id);
                       return result_of(id, Outcome::pass);
                     }});
  }
  for (const std::uint64_t seed : {1, 2, 3}) {
    begun.clear();
    (void)run_tasks(tasks, {.seed = seed});
    EXPECT_EQ(begun,
              (std::vector<std::string_view>{"PIN-01", "RESTART-01", "RESTART-02", "RESTART-06"}));
  }
}

TEST(Judge, TellsWhichOtherRequirementIsTheCause) {
  const CheckResult result = judge(*find_requirement("RESTART-02"), [] {
    throw NotJudged{"RESTART-01", "nobody listens"};
  });
  EXPECT_EQ(result.outcome, Outcome::skip);
  EXPECT_EQ(result.cause, "RESTART-01");
  EXPECT_EQ(result.seen, "not judged, because RESTART-01 is not kept: nobody listens");
}

}  // namespace
}  // namespace hyperpod::conformance::check
