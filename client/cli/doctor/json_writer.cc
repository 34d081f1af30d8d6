// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/writers.h"

namespace hyperpod::client::cli::doctor {
namespace {

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::ok:
      return "ok";
    case Severity::warning:
      return "warning";
    case Severity::problem:
      return "problem";
  }
  return "unknown";
}

}  // namespace

std::string to_json(const Report& report) {
  auto findings = nlohmann::json::array();
  for (const Section& section : report.sections()) {
    for (const Finding& finding : section.findings) {
      findings.push_back({{"section", section.title},
                          {"id", finding.id},
                          {"severity", name_of(finding.severity)},
                          {"text", finding.text},
                          {"remedy", finding.remedy},
                          {"details", finding.details}});
    }
  }
  const nlohmann::json json = {{"healthy", report.is_healthy()},
                               {"problems", report.count(Severity::problem)},
                               {"warnings", report.count(Severity::warning)},
                               {"findings", std::move(findings)}};
  // Names of files and what daemons send need not be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace hyperpod::client::cli::doctor
