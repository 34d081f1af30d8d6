// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/finding.h"

#include <algorithm>
#include <utility>

namespace hyperpod::client::cli::doctor {

void Report::begin(std::string title) { sections_.push_back({std::move(title), {}}); }

void Report::ok(std::string id, std::string text, nlohmann::json details) {
  add({Severity::ok, std::move(id), std::move(text), {}, std::move(details)});
}

void Report::warning(std::string id, std::string text, std::string remedy, nlohmann::json details) {
  add({Severity::warning, std::move(id), std::move(text), std::move(remedy), std::move(details)});
}

void Report::problem(std::string id, std::string text, std::string remedy, nlohmann::json details) {
  add({Severity::problem, std::move(id), std::move(text), std::move(remedy), std::move(details)});
}

std::size_t Report::count(Severity severity) const {
  std::size_t count = 0;
  for (const Section& section : sections_) {
    count += static_cast<std::size_t>(
        std::ranges::count(section.findings, severity, &Finding::severity));
  }
  return count;
}

void Report::add(Finding finding) {
  if (sections_.empty()) begin({});
  sections_.back().findings.push_back(std::move(finding));
}

}  // namespace hyperpod::client::cli::doctor
