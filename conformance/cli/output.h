// SPDX-License-Identifier: Apache-2.0
// What the subcommands share: catalogues printed, reports written, runs named.
#pragma once

#include <span>
#include <string>

#include "cli/commands.h"
#include "report/report.h"

namespace hyperpod::conformance::cli {

/// Stands in the keys of one run, so that runs never meet.
std::string fresh_run_id();

/// Prints the catalogue if that was asked for; then there is nothing else to do.
bool print_catalogue(const SuiteArguments& arguments, std::span<const Requirement> catalogue);
/// The first member of `only` that names nothing in the catalogue; "" if there is none.
std::string unknown_id(const SuiteArguments& arguments, std::span<const Requirement> catalogue);
/// Says which of the reports that were asked for cannot be written, and why; "" if all can. Asked
/// before a run that takes minutes, it leaves no file behind.
std::string unwritable_report(const SuiteArguments& arguments);
/// Writes the reports that were asked for; the exit code of the run.
int write_reports(const SuiteArguments& arguments, const Report& report);

}  // namespace hyperpod::conformance::cli
