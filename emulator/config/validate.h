// SPDX-License-Identifier: Apache-2.0
// What no option may be, whoever set it: a file, a command line or a C++ program.
//
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/emulator/error.h"
#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::config {

/// An option, or two that do not go together, and what is wrong with them.
struct Violation {
  /// Members of Options, such as "behaviour.miss_status"; the one to blame first stands first.
  std::vector<std::string_view> members;
  /// One sentence without the members' names in front, with the way out.
  std::string problem;
};

/// The first rule that `options` break; nullopt if they can be used as far as one can tell without
/// touching the machine: addresses are not resolved and files are not opened.
std::optional<Violation> find_violation(const Options& options);

/// find_violation as an error (invalid_option) that names the member.
Result<void> validate(const Options& options);

}  // namespace hyperpod::emulator::config
