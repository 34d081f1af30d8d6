// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "hyperpod/base/child_process.h"
#include "report/files.h"
#include "report/text.h"

namespace hyperpod::conformance::report {
namespace {

/// A run in which each outcome occurs once.
Report sample() {
  Report report;
  report.subject = "daemon";
  report.name = "http://127.0.0.1:9200";
  report.facts = {{"shm_name", "ai_toolkit_cache", "Segment", "/dev/shm/ai_toolkit_cache"},
                  {"capacity", std::uint64_t{64}, "Capacity", "64 bytes"}};
  report.command = "hyperpod-conformance daemon --url http://127.0.0.1:9200";
  report.profile = "full";
  report.seed = 7;
  report.started = "2026-01-02T03:04:05Z";
  constexpr std::array ids{"PUT-01", "PUT-02", "PUT-09", "KEY-01", "KEY-02"};
  constexpr std::array outcomes{Outcome::pass, Outcome::fail, Outcome::warn, Outcome::error,
                                Outcome::skip};
  for (std::size_t i = 0; i < ids.size(); ++i) {
    CheckResult result;
    result.requirement = find_requirement(ids[i]);
    result.outcome = outcomes[i];
    if (result.outcome != Outcome::pass)
      result.seen = "seen <" + std::string(ids[i]) + "> & \"more\"";
    report.results.push_back(result);
  }
  Event event{
      Event::Kind::received, std::chrono::milliseconds(3), 1, "HTTP/1.1 201 Created", 2, "{}"};
  report.results[1].expected = "409";
  report.results[1].events.push_back(event);
  return report;
}

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(JUnit, CountsAWarningAsAFailureOnlyWhenStrict) {
  EXPECT_EQ(count(to_junit(sample(), false), "<failure"), 1u);
  EXPECT_EQ(count(to_junit(sample(), true), "<failure"), 2u);
  EXPECT_EQ(count(to_junit(sample(), false), "<error"), 1u);
  EXPECT_EQ(count(to_junit(sample(), false), "<skipped"), 1u);
  EXPECT_EQ(count(to_junit(sample(), false), "<testcase"), 5u);
}

TEST(JUnit, EscapesWhatTheDaemonSaid) {
  const std::string xml = to_junit(sample(), false);
  EXPECT_NE(xml.find("seen &lt;PUT-02&gt; &amp; &quot;more&quot;"), std::string::npos);
  EXPECT_EQ(xml.find("<PUT-02>"), std::string::npos);
}

/// A program under test that prints what no report may hold as it is.
Report hostile() {
  Report report = sample();
  report.name = "\x1b[31mred\x1b[0m \xE9 \xEF\xBF\xBE \xC2\x9B";
  report.facts[0].value = report.name;
  report.facts[0].shown = report.name;
  report.command = report.name;
  CheckResult& result = report.results[1];
  result = check::judge(*result.requirement, [&] { throw Violation{report.name, report.name}; });
  Transcript transcript;
  transcript.add(Event::Kind::received, 1, report.name, report.name);
  result.events = transcript.events();
  return finished(std::move(report));
}

TEST(Reports, HoldNothingThatTheirFormatsForbid) {
  const Report report = hostile();
  const std::string json = to_json(report, false);
  EXPECT_TRUE(nlohmann::json::accept(json));
  for (const std::string& text : {json, to_junit(report, false), to_html(report, false)}) {
    EXPECT_EQ(count(text, "\x1b"), 0u);
    EXPECT_EQ(count(text, "\xE9 "), 0u);
    EXPECT_EQ(count(text, "\xEF\xBF\xBE"), 0u);
    EXPECT_EQ(count(text, "\xC2\x9B"), 0u);
    EXPECT_EQ(printable(text), text);
  }
}

TEST(JUnit, TellsTotalsAndTypesAsItsSchemaHasThem) {
  const std::string xml = to_junit(sample(), false);
  EXPECT_NE(xml.find("tests=\"5\" failures=\"1\" errors=\"1\" time=\""), std::string::npos) << xml;
  EXPECT_EQ(count(xml, "<failure message="), 1u);
  EXPECT_EQ(count(xml, " type=\"MUST\""), 2u);
  EXPECT_EQ(count(xml, "<system-out>"), 1u) << "which has no attributes";
}

/// What xmllint says of it, held against the schema; "- validates" if all is well.
std::string validated(const std::string& xml) {
  auto process = base::ChildProcess::start(
      {.arguments = {"xmllint", "--noout", "--schema", HYPERPOD_JUNIT_SCHEMA, "-"}, .input = xml});
  if (!process) return process.error().message;
  (void)process->wait();
  return process->errors();
}

TEST(JUnit, IsValidByTheSchemaThatJenkinsAndGitLabRead) {
  Report empty = sample();
  empty.results.clear();
  for (const Report& report : {sample(), hostile(), empty}) {
    for (const bool strict : {false, true})
      EXPECT_EQ(validated(to_junit(report, strict)), "- validates\n");
  }
  std::string without_time = to_junit(sample(), false);
  without_time.replace(without_time.find(" time="), 6, " thyme=");
  EXPECT_NE(validated(without_time), "- validates\n");
}

TEST(Html, GroupsByCauseAndTellsWhatAFindingCosts) {
  Report report = sample();
  report.results[4].cause = "PUT-02";
  const std::string html = to_html(report, false);
  EXPECT_EQ(count(html, "Not judged because of it"), 1u);
  EXPECT_NE(html.find("readers get bytes that change under them"), std::string::npos);
}

TEST(ShellWord, IsOneWordWhateverItHolds) {
  EXPECT_EQ(shell_word("http://[::1]:9200"), "'http://[::1]:9200'");
  EXPECT_EQ(shell_word("plain-1.0"), "plain-1.0");
  EXPECT_EQ(shell_word("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(Json, TellsHowToRepeatTheRun) {
  const auto json = nlohmann::json::parse(to_json(sample(), false));
  EXPECT_EQ(json["reproduce"],
            "hyperpod-conformance daemon --url http://127.0.0.1:9200 --profile full --seed 7");
  EXPECT_EQ(json["shm_name"], "ai_toolkit_cache");
  EXPECT_EQ(json["capacity"], 64);
  EXPECT_EQ(json["counts"]["fail"], 1);
  EXPECT_EQ(json["results"][1]["exchange"][0]["head"], "HTTP/1.1 201 Created");
  EXPECT_EQ(json["partial"], true);
}

TEST(Html, NeedsNothingElseAndTellsFailuresFirst) {
  const std::string html = to_html(sample(), false);
  for (const char* part : {"<script", "<link", "<img", "src=", "url("})
    EXPECT_EQ(count(html, part), 0u) << part;
  EXPECT_LT(html.find("Findings"), html.find("<h2>Store"));
  EXPECT_LT(html.find(">PUT-02<"), html.find(">PUT-01<"));
  EXPECT_EQ(html.find("<PUT-02>"), std::string::npos);
}

TEST(Html, DrawsAPlotWithItsLimitAndTellsWhereItIsExceeded) {
  Report report = sample();
  report.results[0].plots.push_back(
      {"connections", {{"tame", {{0, 2}, {900, 0}}}, {"wild", {{0, 4}, {1000, 0}}}}, 3});
  const std::string html = to_html(report, false);
  EXPECT_EQ(count(html, "<svg"), 1u);
  EXPECT_EQ(count(html, "class=\"under\""), 1u);
  EXPECT_EQ(count(html, "class=\"over\""), 1u);
  EXPECT_EQ(count(html, "class=\"limit\""), 2u);
  EXPECT_EQ(count(html, "peak 4 of 3"), 1u);
}

TEST(Verdict, FollowsTheWorstOutcome) {
  Report report = sample();
  EXPECT_EQ(verdict(report, false), "The daemon does not conform");
  report.results.erase(report.results.begin() + 1);
  EXPECT_EQ(verdict(report, false), "The suite itself failed, so nothing is proven");
  report.results[2].given_failed = true;
  EXPECT_EQ(verdict(report, false), "What was given to the suite failed, so nothing is proven");
  report.results.erase(report.results.begin() + 2);
  EXPECT_EQ(verdict(report, false), "The daemon conforms, with warnings");
  EXPECT_EQ(verdict(report, true), "The daemon does not conform strictly");
  EXPECT_EQ(
      summary(report, false),
      "The daemon conforms, with warnings: 1 passed, 1 warned of, 1 skipped (a partial run).");
}

TEST(Catalogue, IsListedAsTextAndAsJson) {
  for (const auto catalogue : {daemon_catalogue(), client_catalogue()}) {
    EXPECT_EQ(count(catalogue_text(catalogue), "\n"), catalogue.size());
    EXPECT_EQ(nlohmann::json::parse(catalogue_json(catalogue)).size(), catalogue.size());
  }
}

}  // namespace
}  // namespace hyperpod::conformance::report
