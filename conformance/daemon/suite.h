// SPDX-License-Identifier: Apache-2.0
// The daemon suite: which checks there are, and a run of them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "check/runner.h"
#include "daemon/check.h"
#include "report/report.h"

namespace hyperpod::conformance::daemon {

using CheckEntry = check::Entry<Check>;

/// One check for each requirement, in the catalogue's order.
std::span<const CheckEntry> daemon_checks();

struct RunOptions {
  Target target;
  std::vector<std::string> only;  ///< Ids, or their beginnings ("TTL"); empty: all of the profile.
  std::uint64_t seed = 0;         ///< Of the order and of all bytes.
  std::string restart_command;    ///< What Target::restart runs; for the line that repeats a run.
  /// Called after each check, by one thread at a time.
  std::function<void(const CheckResult&, std::size_t done, std::size_t total)> progress;
};

/// What kept a run from taking place.
struct Obstacle {
  enum class Kind { unreachable, no_such_daemon, few_connections, segment } kind;
  std::string explanation;  ///< For the user: what was seen, and what to do.
};

/// Runs the checks that the options choose. The obstacle is found before any check is run.
tl::expected<Report, Obstacle> run_daemon_suite(const RunOptions& options);

/// Runs one check; never throws.
CheckResult run_check(const CheckEntry& entry, Check& check);

}  // namespace hyperpod::conformance::daemon
