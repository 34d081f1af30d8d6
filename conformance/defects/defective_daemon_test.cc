// SPDX-License-Identifier: Apache-2.0
#include "defects/defective_daemon.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "defects/client_defects.h"
#include "defects/self_check.h"
#include "probe/connection.h"

namespace hyperpod::conformance::defects {
namespace {

TEST(Defects, HaveNamesOfTheirOwnAndAimAtRequirements) {
  std::set<std::string_view> names;
  for (const Defect& defect : all_defects()) {
    EXPECT_TRUE(names.insert(defect.name).second) << defect.name;
    EXPECT_FALSE(defect.aims.empty()) << defect.name;
    for (const std::string_view id : defect.aims)
      EXPECT_NE(find_requirement(id), nullptr) << defect.name << " " << id;
  }
  EXPECT_GE(names.size(), 40u);
}

TEST(Defects, AimAtEveryMust) {
  std::set<std::string_view> aimed;
  for (const Defect& defect : all_defects()) aimed.insert(defect.aims.begin(), defect.aims.end());
  for (const Requirement& requirement : daemon_catalogue()) {
    if (requirement.level() != Level::must) continue;
    EXPECT_TRUE(aimed.contains(requirement.id)) << requirement.id;
  }
}

TEST(ClientDefects, HaveNamesOfTheirOwnAndAimAtEveryMust) {
  std::set<std::string_view> names;
  std::set<std::string_view> aimed;
  for (const ClientDefect& defect : client_defects()) {
    EXPECT_TRUE(names.insert(defect.name).second) << defect.name;
    EXPECT_FALSE(defect.aims.empty()) << defect.name;
    for (const std::string_view id : defect.aims)
      EXPECT_NE(find_requirement(id), nullptr) << defect.name << " " << id;
    aimed.insert(defect.aims.begin(), defect.aims.end());
  }
  EXPECT_GE(names.size(), 25u);
  for (const Requirement& requirement : client_catalogue()) {
    if (requirement.level() != Level::must) continue;
    EXPECT_TRUE(aimed.contains(requirement.id)) << requirement.id;
  }
}

TEST(DefectiveDaemon, OutlivesClientsThatAnnounceExabytesAndGo) {
  const auto defect = std::ranges::find(all_defects(), "stores_what_was_cut_short", &Defect::name);
  ASSERT_NE(defect, all_defects().end());
  auto daemon = DefectiveDaemon::start(defect->configure);
  ASSERT_TRUE(daemon) << daemon.error().message;
  const auto say = [&](std::string_view headers) {
    const TimePoint deadline = now() + std::chrono::seconds{30};
    auto connection = Connection::open((*daemon)->target().endpoint, deadline);
    EXPECT_TRUE(connection);
    EXPECT_TRUE(connection->send(
        fmt::format("PUT /v1/kv/b/k HTTP/1.1\r\nHost: x\r\n{}\r\n\r\nhi", headers), deadline));
    connection->finish_sending();
    std::string response(1024, '\0');
    const auto got = connection->receive(response, deadline);
    return response.substr(0, got.value_or(0));
  };
  for (int i = 0; i < 20; ++i) say("Content-Length: 99999999999999999999999");
  EXPECT_TRUE(say("Content-Length: 2").starts_with("HTTP/1.1 200"));
}

TEST(SelfCheck, TellsADefectThatIsCaughtFromOneThatSurvives) {
  Trial trial{"late", "answers late", {"HOLD-03", "TTL-03"}, {}, {}};
  trial.results["HOLD-03"].outcome = Outcome::fail;
  trial.results["TTL-03"].outcome = Outcome::pass;
  EXPECT_EQ(trial.missed(), std::vector<std::string>{"TTL-03"});
  trial.results["TTL-03"].outcome = Outcome::error;
  EXPECT_EQ(trial.missed(), std::vector<std::string>{"TTL-03"})
      << "an error of the suite catches nothing";
  trial.results["TTL-03"].outcome = Outcome::warn;
  EXPECT_TRUE(trial.missed().empty());
}

TEST(SelfCheck, IsNotPassedWhenACorrectDaemonDoesNotPass) {
  Trial trial{"correct", "", {}, {}, {}};
  trial.results["PUT-01"].outcome = Outcome::pass;
  EXPECT_TRUE(trial.missed().empty());
  trial.results["PUT-02"].outcome = Outcome::skip;
  EXPECT_EQ(trial.missed(), std::vector<std::string>{"PUT-02"});
}

TEST(SelfCheck, IsNotPassedWhileAMustWasNeverFailed) {
  SelfCheckReport report;
  for (const Requirement& requirement : daemon_catalogue())
    report.requirements.push_back(&requirement);
  EXPECT_FALSE(report.passed());
  for (const Requirement& requirement : daemon_catalogue()) {
    Trial trial{"defect", "", {std::string(requirement.id)}, {}, {}};
    trial.results[std::string(requirement.id)].outcome = Outcome::fail;
    report.trials.push_back(trial);
  }
  EXPECT_TRUE(report.passed());
}

TEST(SelfCheck, CountsTheSecondRunOfWhatWasDisturbedAndShowsTheFirst) {
  Trial disturbed{"late", "answers late", {"HOLD-03"}};
  disturbed.results["HOLD-03"].outcome = Outcome::pass;
  Trial undisturbed = disturbed;
  undisturbed.results["HOLD-03"].outcome = Outcome::fail;
  SelfCheckReport report;
  report.whole = false;
  report.trials = {undisturbed};
  report.disturbed = {disturbed};
  EXPECT_TRUE(report.passed());
  const std::string text = matrix_text(report, false);
  EXPECT_NE(text.find("0 not as they should be, 1 tried again"), std::string::npos) << text;
  EXPECT_NE(text.find("SURVIVED  late"), std::string::npos) << text;

  report.trials = {disturbed};
  EXPECT_FALSE(report.passed());
  EXPECT_NE(matrix_text(report, false).find("Not as they should be"), std::string::npos);
}

}  // namespace
}  // namespace hyperpod::conformance::defects
