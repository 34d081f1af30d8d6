// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/writers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyperpod::client::cli::doctor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report example() {
  Report report;
  report.begin("segment /dev/shm/x");
  report.ok("one", "fine", {{"bytes", 7}});
  report.warning("two", "doubtful", "look:\n  - there");
  report.problem("three", "wrong", "mend it");
  return report;
}

TEST(TextWriter, WritesALineForEachFindingAndItsRemedyBelowIt) {
  EXPECT_EQ(to_text(example(), false),
            "segment /dev/shm/x\n"
            "  ok       fine\n"
            "  warning  doubtful\n"
            "           -> look:\n"
            "                - there\n"
            "  problem  wrong\n"
            "           -> mend it\n"
            "\n"
            "1 problem, 1 warning\n");
}

TEST(TextWriter, ColoursWhatStandsInFront) {
  EXPECT_THAT(to_text(example(), true), HasSubstr("\x1b[31mproblem\x1b[0m  wrong\n"));
  EXPECT_THAT(to_text(example(), false), Not(HasSubstr("\x1b")));
}

TEST(TextWriter, SumsUp) {
  Report report;
  EXPECT_EQ(to_text(report, false), "healthy\n");
  report.warning("id", "text", "remedy");
  EXPECT_THAT(to_text(report, false), HasSubstr("\nhealthy, with 1 warning\n"));
  report.problem("id", "text", "remedy");
  report.problem("id", "text", "remedy");
  EXPECT_THAT(to_text(report, false), HasSubstr("\n2 problems, 1 warning\n"));
}

TEST(TextWriter, BreaksLongLines) {
  Report report;
  report.begin("section");
  std::string words;
  for (int i = 0; i < 60; ++i) words += "word ";
  report.problem("id", words + std::string(150, 'x'), words);
  const auto text = to_text(report, false);
  EXPECT_THAT(text, HasSubstr("\n           word word"));
  EXPECT_THAT(text, HasSubstr("\n              word word"));
  EXPECT_THAT(text, HasSubstr("\n           " + std::string(150, 'x') + "\n"));
}

TEST(TextWriter, LetsNothingSteerTheTerminal) {
  Report report;
  report.begin("a\x1b[2J");
  report.problem("id", "b\x1b[2J\r", "c\x07");
  EXPECT_THAT(to_text(report, false),
              HasSubstr("  problem  b\\x1b[2J\\x0d\n           -> c\\x07\n"));
}

TEST(JsonWriter, TellsEverythingToPrograms) {
  const auto json = nlohmann::json::parse(to_json(example()));
  EXPECT_EQ(json["healthy"], false);
  EXPECT_EQ(json["problems"], 1);
  EXPECT_EQ(json["warnings"], 1);
  ASSERT_EQ(json["findings"].size(), 3u);
  EXPECT_EQ(json["findings"][0], (nlohmann::json{{"section", "segment /dev/shm/x"},
                                                 {"id", "one"},
                                                 {"severity", "ok"},
                                                 {"text", "fine"},
                                                 {"remedy", ""},
                                                 {"details", {{"bytes", 7}}}}));
  EXPECT_EQ(json["findings"][2]["severity"], "problem");
}

TEST(JsonWriter, StandsBytesThatAreNoText) {
  Report report;
  report.problem("id", "\xff", "");
  EXPECT_TRUE(nlohmann::json::accept(to_json(report)));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor
