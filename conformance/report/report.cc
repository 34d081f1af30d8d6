// SPDX-License-Identifier: Apache-2.0
#include "report/report.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace hyperpod::conformance::report {

std::size_t Report::count(Outcome outcome) const {
  return static_cast<std::size_t>(std::ranges::count(results, outcome, &CheckResult::outcome));
}

Outcome Report::worst() const {
  Outcome worst = Outcome::skip;
  for (const CheckResult& result : results) worst = std::max(worst, result.outcome);
  return worst;
}

bool Report::partial() const { return !only.empty() || count(Outcome::skip) > 0; }

std::string Report::reproduce() const {
  std::string line = command + " --profile " + profile + " --seed " + std::to_string(seed);
  if (time_scale != 1) line += " --time-scale " + std::to_string(time_scale);
  for (const std::string& id : only) line += " --only " + id;
  return line;
}

Report finished(Report report) {
  report.name = printable(report.name);
  report.command = printable(report.command);
  for (Fact& fact : report.facts) {
    fact.shown = printable(fact.shown);
    if (auto* const text = std::get_if<std::string>(&fact.value)) *text = printable(*text);
  }
  return report;
}

std::string shell_word(std::string_view text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_./:=,@%+").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(text);
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string_view name(Profile profile) {
  constexpr std::array<std::string_view, 3> names{"core", "full", "stress"};
  return names[static_cast<std::size_t>(profile)];
}

std::string seconds(Duration duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f s",
                std::chrono::duration<double>(duration).count());
  return text.data();
}

std::string utc_now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace hyperpod::conformance::report
