// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <map>
#include <vector>

#include "report/files.h"
#include "report/markup.h"
#include "report/text.h"

namespace hyperpod::conformance::report {
namespace {

std::string decimal_seconds(Duration duration) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.3f", std::chrono::duration<double>(duration).count());
  return text.data();
}

std::string attribute(std::string_view key, std::string_view value) {
  std::string text(" ");
  return text.append(key).append("=\"").append(escaped(value, false)).append("\"");
}

/// The text of a finding; a failure or an error has a message and a type as well.
std::string finding(std::string_view element, const CheckResult& result) {
  const std::string message = result.expected.empty()
                                  ? result.seen
                                  : "expected " + result.expected + "; seen " + result.seen;
  const bool is_output = element == "system-out";
  std::string text("      <");
  text.append(element);
  if (!is_output) {
    text.append(attribute("message", message));
    text.append(attribute("type", name(result.requirement->level())));
  }
  text.append(">");
  if (is_output) text.append(escaped(message)).append("\n");
  text.append(escaped(result.requirement->statement)).append("\n");
  text.append(escaped(standing(*result.requirement))).append("\n");
  text.append(escaped(transcript_text(result, 2)));
  return text.append("</").append(element).append(">\n");
}

/// How many results there are of each kind, as JUnit counts.
struct Totals {
  std::size_t tests = 0;
  std::size_t failures = 0;
  std::size_t errors = 0;
  std::size_t skipped = 0;
  Duration took{};

  void add(const CheckResult& result, bool strict) {
    ++tests;
    took += result.took;
    if (result.outcome == Outcome::fail || (strict && result.outcome == Outcome::warn)) ++failures;
    if (result.outcome == Outcome::error) ++errors;
    if (result.outcome == Outcome::skip) ++skipped;
  }

  /// Of all suites; one suite tells how many were skipped as well.
  std::string attributes(Duration time) const {
    return attribute("tests", std::to_string(tests)) +
           attribute("failures", std::to_string(failures)) +
           attribute("errors", std::to_string(errors)) + attribute("time", decimal_seconds(time));
  }
};

std::string test_case(const CheckResult& result, const std::string& subject, bool strict) {
  const Requirement& requirement = *result.requirement;
  std::string text =
      "    <testcase" +
      attribute("name", std::string(requirement.id) + " " + std::string(requirement.statement)) +
      attribute("classname", subject + "." + std::string(title(requirement.chapter))) +
      attribute("time", decimal_seconds(result.took)) + ">\n";
  const bool failed =
      result.outcome == Outcome::fail || (result.outcome == Outcome::warn && strict);
  if (result.outcome == Outcome::skip)
    text += "      <skipped" + attribute("message", result.seen) + "/>\n";
  if (failed) text += finding("failure", result);
  if (result.outcome == Outcome::error) text += finding("error", result);
  if (result.outcome == Outcome::warn && !strict) text += finding("system-out", result);
  return text + "    </testcase>\n";
}

}  // namespace

std::string to_junit(const Report& report, bool strict) {
  std::map<Chapter, std::vector<const CheckResult*>> chapters;
  Totals all;
  for (const CheckResult& result : report.results) {
    chapters[result.requirement->chapter].push_back(&result);
    all.add(result, strict);
  }
  std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites" +
                     attribute("name", "hyperpod-conformance " + report.subject) +
                     all.attributes(report.took) + ">\n";
  for (const auto& [chapter, results] : chapters) {
    Totals totals;
    for (const CheckResult* result : results) totals.add(*result, strict);
    text += "  <testsuite" + attribute("name", title(chapter)) + totals.attributes(totals.took) +
            attribute("skipped", std::to_string(totals.skipped)) +
            attribute("timestamp", report.started.substr(0, 19)) + ">\n";
    for (const CheckResult* result : results) text += test_case(*result, report.subject, strict);
    text += "  </testsuite>\n";
  }
  return text + "</testsuites>\n";
}

}  // namespace hyperpod::conformance::report
