// SPDX-License-Identifier: Apache-2.0
// A whole run of one of the suites, as the reports tell it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "check/result.h"

namespace hyperpod::conformance::report {

/// Something that a reader must know of a run: what was under test, and with which settings.
struct Fact {
  std::string key;  ///< In JSON.
  std::variant<std::string, std::uint64_t> value;
  std::string label;  ///< For people.
  std::string shown;
};

/// Everything that results do not tell. Text in it may come from outside as it is: finished() makes
/// it printable.
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

/// The report with its text made printable; results are printable as they come from checks.
Report finished(Report report);

/// `text` as one word of a shell's command line, in quotes where it needs them.
std::string shell_word(std::string_view text);

std::string_view name(Profile profile);
/// "1.25 s".
std::string seconds(Duration duration);
/// The time now, as Report::started has it.
std::string utc_now();

}  // namespace hyperpod::conformance::report
