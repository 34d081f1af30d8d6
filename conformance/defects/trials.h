// SPDX-License-Identifier: Apache-2.0
// What a self-check runs: those that are correct and the defective, each with the checks aimed at
// it.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "defects/client_defects.h"
#include "defects/defective_daemon.h"
#include "defects/self_check.h"

namespace hyperpod::conformance::defects {

using Ids = std::set<std::string>;

/// What --whole runs against a defect beside the checks aimed at it: not what saturates the machine
/// for a fixed time, which says nothing of other defects and disturbs the trials beside it.
Ids ids_for_a_defect();

/// One trial to be. `run` may be called on any thread, until the options are gone.
struct Plan {
  std::string name;
  std::string what = {};
  std::vector<std::string> aims = {};
  bool any_aim = false;  ///< One of the aims has to catch it; otherwise each of them.
  std::set<std::string> may_warn = {};
  bool may_skip = false;  ///< Some of the requirements cannot be checked on every machine.
  /// The results of its checks, or why there are none.
  std::function<tl::expected<std::vector<CheckResult>, std::string>()> run;
};

std::vector<Plan> daemon_plans(const SelfCheckOptions& options);
std::vector<Plan> client_plans(const SelfCheckOptions& options);
std::vector<Plan> reference_plans(const SelfCheckOptions& options);

/// Whether a self-check with these options tries this defect.
bool is_wanted(const SelfCheckOptions& options, std::string_view defect);

}  // namespace hyperpod::conformance::defects
