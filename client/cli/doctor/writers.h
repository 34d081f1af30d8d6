// SPDX-License-Identifier: Apache-2.0
// The doctor's report for people and for programs.
#pragma once

#include <string>

#include "cli/doctor/finding.h"

namespace hyperpod::client::cli::doctor {

/// Lines of at most some 100 columns: a heading for each section, a line for each finding, its
/// remedy indented below it, and a summary. `colour` adds the escape sequences of a terminal.
std::string to_text(const Report& report, bool colour);

/// One object on one line: `healthy`, `problems`, `warnings`, and `findings`, each with `section`,
/// `id`, `severity`, `text`, `remedy` and `details`.
std::string to_json(const Report& report);

}  // namespace hyperpod::client::cli::doctor
