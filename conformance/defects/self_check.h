// SPDX-License-Identifier: Apache-2.0
// Proof that the suites can fail, and that they fail nobody without cause: each is run against
// correct daemons, or clients, and against such with one defect each.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "report/report.h"

namespace hyperpod::conformance::defects {

/// A suite against one daemon or client.
struct Trial {
  std::string name;
  std::string what;
  std::vector<std::string> aims = {};  ///< Empty: it is correct.
  bool any_aim = false;                ///< One of the aims has to catch it; otherwise each of them.
  std::set<std::string> may_warn = {};
  bool may_skip = false;
  std::map<std::string, CheckResult> results = {};
  std::string obstacle = {};  ///< Why there was no run; empty if there was one.

  /// Ids of checks that warned or failed, or would have if another had not been the cause.
  std::vector<std::string> caught_by() const;
  /// Aims that did not catch the defect; where there is none, all checks that did not pass.
  std::vector<std::string> missed() const;
};

struct SelfCheckOptions {
  bool daemons = true;            ///< Prove the daemon suite.
  bool clients = true;            ///< Prove the client suite.
  std::vector<std::string> only;  ///< Names of defects; empty: all, and those that are correct.
  bool whole = false;  ///< Runs the whole suite against each, and each variation by itself.
  /// conformance/reference/daemon.py; empty: that daemon is left out.
  std::string reference_daemon;
  bool whole_core = false;  ///< Runs all of profile core against each defect, not its aims alone.
  unsigned at_once = 6;     ///< Trials at a time.
  std::uint64_t seed = 0;
  double time_scale = 1;
  std::string worker_program;
  std::string run_id;
  /// Where hyperpod-driver and hyperpod-defective-driver are.
  std::vector<std::string> driver_directories;
  /// Called after each trial, by one thread at a time.
  std::function<void(const Trial&, std::size_t done, std::size_t total)> progress;
};

struct SelfCheckReport {
  std::vector<Trial> trials;  ///< Those that are correct first, then the table's order.
  /// First runs that count no more: those trials ran again, with nothing beside them.
  std::vector<Trial> disturbed;
  Duration took{};
  bool whole = true;                             ///< Nothing was left out.
  std::vector<const Requirement*> requirements;  ///< That were to be proven.

  /// Ids of MUST requirements that no defect failed. Only meaningful for a whole run.
  std::vector<std::string> unproven() const;
  bool passed() const;
};

/// Trials that run beside each other keep the machine busy, which upsets those that measure time:
/// one that is not as it should be runs again by itself, and the second run counts.
SelfCheckReport run_self_check(const SelfCheckOptions& options);

/// A line for each trial whose verdict was another with one seed than with another: that it
/// conforms, with or without warnings, or not, or that an aim was missed. Of pairs, which the seed
/// chooses, only those that several reports have.
std::vector<std::string> differing_verdicts(const std::vector<SelfCheckReport>& reports);

/// Whether there is a defect of this name among daemons or clients.
bool is_defect(std::string_view name);

/// Whether `options.reference_daemon` has a defect or a variation of this name.
bool is_reference_switch(const SelfCheckOptions& options, std::string_view name);

/// A line each trial, with `reasons` what each check saw as well; then the matrix the other way
/// round; then what is not as it should be; then the verdict.
std::string matrix_text(const SelfCheckReport& report, bool reasons);
std::string trial_line(const Trial& trial);

}  // namespace hyperpod::conformance::defects
