// SPDX-License-Identifier: Apache-2.0
// What the checks of daemons and those of clients have in common: time limits, figures for the
// report, a transcript, and ways to end.
//
// figure(), plot() and the transcript may be used by any thread; the rest is constant.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check/result.h"

namespace hyperpod::conformance::check {

using Figures = std::vector<std::pair<std::string, std::string>>;

class Check {
 public:
  /// `requirement` is what the check is about; it outlives the check.
  Check(const Requirement& requirement, Profile profile, double time_scale)
      : requirement_(requirement), profile_(profile), time_scale_(time_scale) {}
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  const Requirement& requirement() const { return requirement_; }
  Profile profile() const { return profile_; }
  /// A time limit or a TTL, made longer on slow machines.
  std::chrono::milliseconds span(std::chrono::milliseconds time) const;

  /// Ends the check: its requirement cannot be checked here.
  [[noreturn]] void skip(std::string reason) const;
  /// Ends the check unless `holds`: what is under test does not keep the requirement.
  void expect(bool holds, std::string expected, std::string seen,
              Symptom symptom = Symptom::other) const;

  /// A figure for the report, whatever the outcome.
  void figure(std::string_view name, std::string_view value);
  void plot(Plot plot);
  /// Of figures and plots none is left.
  void forget_figures();
  Transcript& transcript() { return transcript_; }

  /// Runs `body` and tells how it ended, with figures and plots. Never throws.
  template <class Body>
  CheckResult judge(const Body& body) {
    CheckResult result = check::judge(requirement_, body);
    const std::lock_guard lock(mutex_);
    result.figures = figures_;
    result.plots = plots_;
    return result;
  }

 private:
  const Requirement& requirement_;
  const Profile profile_;
  const double time_scale_;
  Transcript transcript_;
  std::mutex mutex_;  // guards what follows
  Figures figures_;
  std::vector<Plot> plots_;
};

}  // namespace hyperpod::conformance::check
