// SPDX-License-Identifier: Apache-2.0
// The client suite: which checks there are, and a run of them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "check/runner.h"
#include "client/check.h"
#include "report/report.h"

namespace hyperpod::conformance::client {

using CheckEntry = check::Entry<Check>;

/// One check for each requirement, in the catalogue's order.
std::span<const CheckEntry> client_checks();

struct RunOptions {
  Target target;
  std::vector<std::string>
      only;                ///< Ids, or their beginnings ("C-TTL"); empty: all of the profile.
  std::uint64_t seed = 0;  ///< Of the order.
  unsigned at_once = 4;    ///< Parallel checks at a time.
  /// Called after each check, by one thread at a time.
  std::function<void(const CheckResult&, std::size_t done, std::size_t total)> progress;
};

/// What kept a run from taking place.
struct Obstacle {
  enum class Kind {
    not_installed,  ///< The driver ended with 77: its client is not there.
    driver,         ///< It cannot be started, or does not keep the protocol of drivers.
  } kind;
  std::string explanation;
};

/// Asks a driver what it offers.
tl::expected<DriverFacts, Obstacle> ask_driver(const std::string& command, double time_scale = 1);

/// Runs the checks that the options choose. `target.facts` is found out before any is run.
tl::expected<Report, Obstacle> run_client_suite(RunOptions options);

/// Runs one check; never throws.
CheckResult run_client_check(const CheckEntry& entry, const Target& target);

// The checks by chapter, each table in the catalogue's order.
std::span<const CheckEntry> throttle_checks();
std::span<const CheckEntry> connection_checks();
std::span<const CheckEntry> many_worker_checks();
std::span<const CheckEntry> timeout_checks();
std::span<const CheckEntry> client_lease_checks();
std::span<const CheckEntry> client_ttl_checks();
std::span<const CheckEntry> client_memory_checks();
std::span<const CheckEntry> recovery_checks();
std::span<const CheckEntry> wire_checks();
std::span<const CheckEntry> batch_checks();

}  // namespace hyperpod::conformance::client
