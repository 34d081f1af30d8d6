// Proof that the suite can fail, and that it fails no daemon without cause: it is run against
// faultless daemons and against daemons with one defect each.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance {

/// The suite against one daemon.
struct Trial {
  std::string name;
  std::string what;
  std::vector<std::string> aims;  ///< Empty: the daemon is faultless.
  std::map<std::string, CheckResult> results;
  std::string obstacle;  ///< Why there was no run; empty if there was one.

  /// Ids of checks that warned or failed.
  std::vector<std::string> caught_by() const;
  /// Aims that did not catch the defect; of a faultless daemon, all that did not pass.
  std::vector<std::string> missed() const;
};

struct SelfCheckOptions {
  std::vector<std::string> only;  ///< Names of defects; empty: all, and the faultless daemons.
  bool whole_core = false;  ///< Runs all of profile core against each defect, not its aims alone.
  unsigned at_once = 6;     ///< Defective daemons at a time.
  std::uint64_t seed = 0;
  double time_scale = 1;
  std::string worker_program;
  std::string run_id;
  /// Called after each trial, by one thread at a time.
  std::function<void(const Trial&, std::size_t done, std::size_t total)> progress;
};

struct SelfCheckReport {
  std::vector<Trial> trials;  ///< The faultless first, then the table's order.
  Duration took{};

  /// Ids of MUST requirements that no defect failed. Only meaningful for a whole run.
  std::vector<std::string> unproven() const;
  bool whole = true;  ///< Nothing was left out.
  bool passed() const;
};

SelfCheckReport run_self_check(const SelfCheckOptions& options);

/// A line each trial, with `reasons` what each check saw as well; then the matrix the other way
/// round; then the verdict.
std::string matrix_text(const SelfCheckReport& report, bool reasons);
std::string trial_line(const Trial& trial);

}  // namespace hyperpod::conformance
