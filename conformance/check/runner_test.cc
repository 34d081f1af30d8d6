// SPDX-License-Identifier: Apache-2.0
#include "check/runner.h"

#include <gtest/gtest.h>

#include <atomic>

namespace hyperpod::conformance::check {
namespace {

CheckResult result_of(std::string_view id, Outcome outcome, Symptom symptom = Symptom::other) {
  CheckResult result;
  result.requirement = find_requirement(id);
  result.outcome = outcome;
  result.expected = "this";
  result.seen = "that";
  result.symptom = symptom;
  return result;
}

TEST(AttributeCauses, PutsAFindingDownToTheFirstCause) {
  using enum Symptom;
  std::vector<CheckResult> results{
      result_of("PUT-01", Outcome::fail, grant), result_of("LEASE-02", Outcome::fail, grant),
      result_of("SHM-03", Outcome::fail, bytes), result_of("REL-01", Outcome::pass)};
  const std::vector<Cause> causes{
      {"LEASE-02", {grant}, {grant}}, {"PUT-01", {grant}, {bytes}}, {"SHM-03", {bytes}, {grant}}};
  attribute_causes(results, causes);
  EXPECT_EQ(results[0].outcome, Outcome::skip);
  EXPECT_EQ(results[0].cause, "LEASE-02");
  EXPECT_EQ(results[1].outcome, Outcome::fail) << "what stands later explains nothing of it";
  EXPECT_EQ(results[2].cause, "LEASE-02") << "the cause of its cause";
  EXPECT_EQ(results[2].seen, "not judged, because LEASE-02 is not kept: expected this, seen that");
  EXPECT_EQ(results[3].outcome, Outcome::pass);
}

TEST(AttributeCauses, LeavesAFindingAloneThatFollowsFromNothing) {
  using enum Symptom;
  const std::vector<Cause> causes{{"PUT-01", {bytes}, {bytes}, {"SHM-03"}}};
  const auto judged = [&](const CheckResult& cause, const CheckResult& finding) {
    std::vector<CheckResult> results{cause, finding};
    attribute_causes(results, causes);
    return results[1].outcome;
  };
  const auto finding = result_of("SHM-03", Outcome::fail, bytes);
  const auto put = [](Outcome outcome, Symptom symptom = Symptom::other) {
    return result_of("PUT-01", outcome, symptom);
  };
  EXPECT_EQ(judged(put(Outcome::fail, bytes), finding), Outcome::skip);
  EXPECT_EQ(judged(put(Outcome::pass), finding), Outcome::fail);
  EXPECT_EQ(judged(put(Outcome::fail), finding), Outcome::fail) << "it failed by something else";
  EXPECT_EQ(judged(put(Outcome::warn, bytes), finding), Outcome::fail) << "a warning hides none";
  EXPECT_EQ(judged(put(Outcome::fail, bytes), result_of("SHM-03", Outcome::fail)), Outcome::fail)
      << "it is about something else";
  EXPECT_EQ(judged(put(Outcome::fail, bytes), result_of("KEY-01", Outcome::fail, bytes)),
            Outcome::fail)
      << "not among those that follow";
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

TEST(RunTasks, LeavesPatientTasksWaitingBesideExclusiveOnesAndRunsLateOnesBehindThem) {
  std::promise<void> waits;
  std::promise<void> exclusive_has_run;
  std::string order;
  const auto task = [&](std::string_view id, Isolation isolation, std::function<void()> action) {
    return Task{find_requirement(id), isolation, [id, action = std::move(action)] {
                  action();
                  return result_of(id, Outcome::pass);
                }};
  };
  Task patient = task("TTL-01", Isolation::patient, [&] {
    order += "patient ";
    waits.set_value();
    EXPECT_EQ(exclusive_has_run.get_future().wait_for(std::chrono::seconds(20)),
              std::future_status::ready);
    order += "ended ";
  });
  patient.waits = waits.get_future().share();
  (void)run_tasks({task("PUT-18", Isolation::late, [&] { order += "late "; }),
                   task("PIN-01", Isolation::exclusive,
                        [&] {
                          order += "exclusive ";
                          exclusive_has_run.set_value();
                        }),
                   patient, task("RESTART-01", Isolation::disruptive, [&] { order += "last"; })},
                  {.seed = 1});
  EXPECT_EQ(order, "patient exclusive ended late last");
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
