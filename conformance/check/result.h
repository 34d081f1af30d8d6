// SPDX-License-Identifier: Apache-2.0
// How one check ended.
//
// A check is a function that returns when what is under test keeps its requirement and throws one
// of the structs below when it does not, cannot be asked, or the suite itself fails. judge()
// catches them; nothing is thrown past it. That keeps a check as short as its statement.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check/transcript.h"
#include "requirements/catalogue.h"

namespace hyperpod::conformance::check {

/// What a violation looks like, where checks of different requirements may see the same: only like
/// follows from like.
enum class Symptom : std::uint8_t {
  other,    ///< What no other check sees, or what tells nothing, as a response that does not come.
  missing,  ///< A stored object is not there.
  grant,    ///< A grant cannot be understood.
  place,    ///< Fragments lie elsewhere, or have another length, than the object's bytes.
  bytes,    ///< Other bytes than were stored.
  refused,  ///< An absent key is answered neither by a miss nor by a grant.
  granted,  ///< An absent key is granted.
  lease,    ///< A live lease cannot be released.
  room,     ///< There is more or less room than live leases leave.
  held,     ///< A request that should wait is answered.
  woken,    ///< A request whose key was stored meanwhile is not granted.
  cut,      ///< A body that was cut short counts as an object.
};

/// What is under test does something else than it should.
struct Violation {
  std::string expected;
  std::string seen;
  Symptom symptom = Symptom::other;
};

/// An object that was stored is not there. A full cache may let any object give way that no lease
/// pins, so a check that ends in this way is run again before it counts.
struct Missing : Violation {};

/// The requirement cannot be checked here and now.
struct Skipped {
  std::string reason;
};

/// The requirement cannot be checked because another one is not kept.
struct NotJudged {
  std::string_view cause;  ///< The other one's id.
  std::string seen;
};

/// The suite's own failure.
struct SuiteFailure {
  std::string what;
};

/// What the suite was given failed: a driver, or a command.
struct GivenFailure : SuiteFailure {};

/// How thoroughly to check. Each profile includes the ones before it.
enum class Profile {
  core,    ///< What everybody needs; 5 s.
  full,    ///< All requirements except those that take longer than some seconds each; 30 s.
  stress,  ///< Those as well, and more load.
};

/// In rising order of what they mean for a run.
enum class Outcome {
  skip,   ///< Could not be checked here; the reason is told.
  pass,   ///< The requirement is kept.
  warn,   ///< A SHOULD or a MAY is not kept.
  error,  ///< It could not be judged: the suite failed, or what it was given.
  fail,   ///< A MUST is not kept, whatever could not be judged.
};

/// A picture for the report: how something counted rose and fell, a stepped line for each series.
struct Plot {
  struct Series {
    std::string name;
    std::vector<std::pair<double, double>> points;  ///< Milliseconds, and the count from then on.
  };

  std::string title;
  std::vector<Series> series;
  double limit = 0;  ///< Drawn as a line across, for each series by itself.
};

struct CheckResult {
  const Requirement* requirement = nullptr;
  Outcome outcome = Outcome::skip;
  std::string expected;  ///< Of warn and fail.
  std::string seen;      ///< Of warn and fail; the reason of skip and error.
  /// Of a skip that follows from another finding: the requirement that is not kept.
  std::string_view cause = {};
  Symptom symptom = Symptom::other;  ///< Of warn and fail.
  bool given_failed = false;         ///< Of error: by what the suite was given, not by itself.
  Duration took{};
  std::vector<std::pair<std::string, std::string>> figures;
  std::vector<Plot> plots;
  std::vector<Event> events;  ///< Of warn, fail and error.
  std::uint64_t events_dropped = 0;
};

/// Runs `check` and tells how it ended; the figures, plots and events are the caller's to add.
/// Never throws.
CheckResult judge(const Requirement& requirement, const std::function<void()>& check);

std::string_view name(Outcome outcome);

}  // namespace hyperpod::conformance::check
