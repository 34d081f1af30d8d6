#include <array>
#include <cstdio>
#include <map>
#include <vector>

#include "report/files.h"
#include "report/markup.h"
#include "report/text.h"

namespace hyperpod::conformance {
namespace {

std::string seconds(Duration duration) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.3f", std::chrono::duration<double>(duration).count());
  return text.data();
}

std::string attribute(std::string_view key, std::string_view value) {
  std::string text(" ");
  return text.append(key).append("=\"").append(escaped(value)).append("\"");
}

std::string finding(std::string_view element, const CheckResult& result) {
  const std::string message = result.expected.empty()
                                  ? result.seen
                                  : "expected " + result.expected + "; seen " + result.seen;
  std::string text("      <");
  text.append(element).append(attribute("message", message)).append(">");
  text.append(escaped(result.requirement->statement)).append("\n");
  text.append(escaped(standing(*result.requirement))).append("\n");
  text.append(escaped(transcript_text(result, 2)));
  return text.append("</").append(element).append(">\n");
}

std::string test_case(const CheckResult& result, const std::string& subject, bool strict) {
  const Requirement& requirement = *result.requirement;
  std::string text =
      "    <testcase" +
      attribute("name", std::string(requirement.id) + " " + std::string(requirement.statement)) +
      attribute("classname", subject + "." + std::string(title(requirement.chapter))) +
      attribute("time", seconds(result.took)) + ">\n";
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
  for (const CheckResult& result : report.results)
    chapters[result.requirement->chapter].push_back(&result);
  std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites" +
                     attribute("name", "hyperpod-conformance " + report.subject) +
                     attribute("time", seconds(report.took)) + ">\n";
  for (const auto& [chapter, results] : chapters) {
    std::map<Outcome, std::size_t> counts;
    for (const CheckResult* result : results) ++counts[result->outcome];
    const std::size_t failures = counts[Outcome::fail] + (strict ? counts[Outcome::warn] : 0);
    text += "  <testsuite" + attribute("name", title(chapter)) +
            attribute("tests", std::to_string(results.size())) +
            attribute("failures", std::to_string(failures)) +
            attribute("errors", std::to_string(counts[Outcome::error])) +
            attribute("skipped", std::to_string(counts[Outcome::skip])) +
            attribute("timestamp", report.started.substr(0, 19)) + ">\n";
    for (const CheckResult* result : results) text += test_case(*result, report.subject, strict);
    text += "  </testsuite>\n";
  }
  return text + "</testsuites>\n";
}

}  // namespace hyperpod::conformance
