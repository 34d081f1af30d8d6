// A whole run of one of the suites, as the reports tell it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "report/result.h"

namespace hyperpod::conformance {

/// How thoroughly to check. Each profile includes the ones before it.
enum class Profile {
  core,    ///< What everybody needs; seconds.
  full,    ///< All requirements but those that take half a minute each.
  stress,  ///< Those as well, and more load.
};

/// Something that a reader must know of a run: what was under test, and with which settings.
struct Fact {
  std::string key;  ///< In JSON.
  std::variant<std::string, std::uint64_t> value;
  std::string label;  ///< For people.
  std::string shown;
};

struct Report {
  std::string subject;  ///< What is under test: "daemon" or "client".
  std::string name;     ///< Which one: the daemon's URL, the driver's command.
  std::vector<Fact> facts;
  std::string command;  ///< The command line up to what chooses the checks.
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

std::string_view name(Profile profile);
/// The time now, as Report::started has it.
std::string utc_now();

/// Whether `only`, a list of ids ("TTL-03") and of beginnings ("TTL"), names this requirement.
bool is_named(const std::vector<std::string>& only, std::string_view id);

}  // namespace hyperpod::conformance
