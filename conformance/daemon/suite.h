// The daemon suite: which checks there are, and a run of them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "daemon/check.h"

namespace hyperpod::conformance {

/// In rising order of what they mean for a run.
enum class Outcome {
  skip,   ///< Could not be checked here; the reason is told.
  pass,   ///< The daemon keeps the requirement.
  warn,   ///< It does not keep a SHOULD or a MAY.
  fail,   ///< It does not keep a MUST.
  error,  ///< The suite itself failed.
};

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

struct CheckResult {
  const Requirement* requirement = nullptr;
  Outcome outcome = Outcome::skip;
  std::string expected;  ///< Of warn and fail.
  std::string seen;      ///< Of warn and fail; the reason of skip and error.
  Duration took{};
  std::vector<std::pair<std::string, std::string>> figures;
  std::vector<Event> events;  ///< Of warn, fail and error.
  std::uint64_t events_dropped = 0;
};

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

struct Report {
  std::string url;
  std::string shm_name;
  std::uint64_t capacity = 0;
  std::string profile;
  std::vector<std::string> only;
  std::uint64_t seed = 0;
  double time_scale = 1;
  std::string started;  ///< UTC, ISO 8601.
  Duration took{};
  std::vector<CheckResult> results;  ///< In the catalogue's order.

  std::size_t count(Outcome outcome) const;
  Outcome worst() const;
  /// Whether something of the profile could not be checked or was not asked for.
  bool partial() const;
  /// A command line that repeats the run.
  std::string reproduce() const;
};

/// Runs the checks that the options choose. The obstacle is found before any check is run.
tl::expected<Report, Obstacle> run_daemon_suite(const RunOptions& options);

/// Runs one check; never throws.
CheckResult run_check(const CheckEntry& entry, Check& check);

std::string_view name(Outcome outcome);
std::string_view name(Profile profile);

}  // namespace hyperpod::conformance
