// The daemon suite: which checks there are, and a run of them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "daemon/check.h"

namespace hyperpod::conformance {

/// How a check may share the daemon with others.
enum class Company {
  quick,    ///< Takes milliseconds: one after the other, so that a small cache keeps their objects.
  patient,  ///< Mostly waits: beside all others but those that want to be alone.
  alone,    ///< Loads the daemon or evicts objects, so nothing else runs meanwhile.
};

struct CheckEntry {
  std::string_view id;
  Profile profile;  ///< The smallest that includes it.
  Company company;
  void (*run)(Check&);
};

/// One check for each requirement, in the catalogue's order.
std::span<const CheckEntry> daemon_checks();

struct RunOptions {
  Target target;
  std::vector<std::string> only;  ///< Ids, or their beginnings ("TTL"); empty: all of the profile.
  std::uint64_t seed = 0;         ///< Of the order and of all bytes.
  /// Called after each check, by one thread at a time.
  std::function<void(const CheckResult&, std::size_t done, std::size_t total)> progress;
};

/// What kept a run from taking place.
struct Obstacle {
  enum class Kind { unreachable, no_such_daemon, segment } kind;
  std::string explanation;  ///< For the user: what was seen, and what to do.
};

/// Runs the checks that the options choose. The obstacle is found before any check is run.
tl::expected<Report, Obstacle> run_daemon_suite(const RunOptions& options);

/// Runs one check; never throws.
CheckResult run_check(const CheckEntry& entry, Check& check);

}  // namespace hyperpod::conformance
