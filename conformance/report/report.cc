#include "report/report.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace hyperpod::conformance {

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

std::string_view name(Profile profile) {
  constexpr std::array<std::string_view, 3> names{"core", "full", "stress"};
  return names[static_cast<std::size_t>(profile)];
}

std::string utc_now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

bool is_named(const std::vector<std::string>& only, std::string_view id) {
  return std::ranges::any_of(only, [&](const std::string& prefix) {
    return id == prefix || id.starts_with(prefix + "-");
  });
}

}  // namespace hyperpod::conformance
