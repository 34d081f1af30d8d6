// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <array>
#include <cstdio>

namespace hyperpod::bench {
namespace {

constexpr const char* line_format = "%-14s %-46s %-14s %-22s %-16s %-22s %7s  %s\n";

const char* verdict(const Result<Finding>& finding) {
  if (finding) return finding->holds ? "PASS" : "SHORT";
  return finding.error().code == ErrorCode::missing ? "NOT_MEASURED" : "FAILED";
}

}  // namespace

std::string fixed(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string grouped(double value) {
  std::string text = fixed(value, 0);
  for (auto at = std::ssize(text) - 3; at > 0 && text[static_cast<std::size_t>(at - 1)] != '-';
       at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

void print_heading() {
  std::printf(line_format, "row", "what", "emulator", "against", "result", "bound", "others",
              "verdict");
}

void print_row(const Row& row, const Result<Finding>& finding, double bystanders) {
  if (finding) {
    std::printf(line_format, row.id.c_str(), row.what.c_str(), finding->measured.c_str(),
                finding->against.c_str(), finding->result.c_str(), row.bound.c_str(),
                (fixed(bystanders * 100, 0) + " %").c_str(), verdict(finding));
  } else {
    const bool missing = finding.error().code == ErrorCode::missing;
    std::printf("%-14s %-46s %s: %s\n", row.id.c_str(), row.what.c_str(),
                missing ? "not measured" : "COULD NOT BE MEASURED",
                finding.error().message.c_str());
  }
  std::fflush(stdout);
}

nlohmann::json row_report(const Row& row, const Result<Finding>& finding, double bystanders) {
  nlohmann::json report{{"id", row.id},
                        {"what", row.what},
                        {"bound", row.bound},
                        {"verdict", verdict(finding)},
                        {"used_by_others", bystanders}};
  if (!finding) {
    report["message"] = finding.error().message;
    return report;
  }
  report["measured"] = finding->measured;
  report["against"] = finding->against;
  report["result"] = finding->result;
  report["details"] = finding->details;
  return report;
}

}  // namespace hyperpod::bench
