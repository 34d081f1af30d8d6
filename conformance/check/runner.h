// SPDX-License-Identifier: Apache-2.0
// The one runner of both suites: which checks run beside one another, and in what order.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/result.h"

namespace hyperpod::conformance::check {

/// What a check tolerates beside it.
enum class Isolation {
  serial,    ///< Takes milliseconds; one after the other, so that a small cache keeps its objects.
  parallel,  ///< Mostly waits; runs beside the others.
  /// Begins as a parallel one does, then only waits for half a minute, beside exclusive ones too.
  patient,
  exclusive,   ///< Loads what is under test, or evicts objects: nothing else runs meanwhile.
  late,        ///< As an exclusive one, when patient ones have ended: it looks at what they left.
  disruptive,  ///< May leave nothing to be tested: runs when all others have ended, one by one.
};

/// The check of one requirement. `Subject` is the check class of a suite.
template <class Subject>
struct Entry {
  std::string_view id;
  Profile profile = Profile::core;  ///< The smallest that includes it.
  Isolation isolation = Isolation::exclusive;
  void (*run)(Subject&) = nullptr;
};

/// One check to be run.
struct Task {
  const Requirement* requirement;
  Isolation isolation;
  std::function<CheckResult()> run;  ///< Must not throw. Called on a thread with SIGPIPE blocked.
  /// Of a patient one: is ready when it only waits.
  std::shared_future<void> waits = {};
};

struct RunSettings {
  std::uint64_t seed = 0;  ///< Of the order.
  unsigned at_once = 0;    ///< Parallel checks at a time; 0: all of them.
  /// Called after each check, by one thread at a time.
  std::function<void(const CheckResult&, std::size_t done, std::size_t total)> progress = {};
};

/// Runs all tasks; the results in the catalogue's order.
std::vector<CheckResult> run_tasks(std::vector<Task> tasks, const RunSettings& settings);

/// A finding of requirement `id` that shows one of these symptoms explains findings that others
/// show.
struct Cause {
  std::string_view id;
  std::vector<Symptom> shows;
  std::vector<Symptom> explains;
  std::vector<std::string_view> of = {};  ///< Of these requirements alone; empty: of all.
};

/// One cause, one finding: turns findings that follow from another finding of the same run into
/// "not judged, because …" of the first cause. What is the cause of something follows only from
/// causes that stand before it, and a warning hides no failure.
void attribute_causes(std::vector<CheckResult>& results, std::span<const Cause> causes);

/// Whether `only`, a list of ids ("TTL-03") and of beginnings ("TTL"), names this requirement.
bool is_named(const std::vector<std::string>& only, std::string_view id);

}  // namespace hyperpod::conformance::check
