// SPDX-License-Identifier: Apache-2.0
#include "config/configuration.h"

#include <fmt/format.h>

#include "config/settings.h"
#include "config/validate.h"

namespace hyperpod::emulator::config {

Result<void> Draft::set(const Setting& setting, std::string_view text, std::string origin) {
  if (auto done = setting.set(configuration_, text); !done) {
    return tl::unexpected(
        Error{done.error().code, fmt::format("{}: {}", origin, done.error().message)});
  }
  if (!setting.warning.empty()) {
    warn(fmt::format("{}: {}", origin, setting.warning));
  }
  origins_.insert_or_assign(&setting, std::move(origin));
  return {};
}

void Draft::warn(std::string warning) { configuration_.warnings.push_back(std::move(warning)); }

Result<Configuration> Draft::finish() && {
  const auto violation = find_violation(configuration_.options);
  if (!violation) return std::move(configuration_);

  // Of two options that do not go together, blame one that somebody set.
  std::string place = fmt::format("Options::{}", violation->members.front());
  for (const std::string_view member : violation->members) {
    const auto origin = origins_.find(setting_of_member(member));
    if (origin == origins_.end()) continue;
    place = origin->second;
    break;
  }
  return tl::unexpected(
      Error{ErrorCode::invalid_option, fmt::format("{}: {}", place, violation->problem)});
}

}  // namespace hyperpod::emulator::config
