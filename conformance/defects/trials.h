// What a self-check runs: the faultless and the defective, each with the checks aimed at it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "defects/client_defects.h"
#include "defects/defective_daemon.h"
#include "defects/self_check.h"

namespace hyperpod::conformance {

/// One trial to be. `run` may be called on any thread, until the options are gone.
struct Plan {
  std::string name;
  std::string what;
  std::vector<std::string> aims;
  /// The results of its checks, or why there are none.
  std::function<tl::expected<std::vector<CheckResult>, std::string>()> run;
};

std::vector<Plan> daemon_plans(const SelfCheckOptions& options);
std::vector<Plan> client_plans(const SelfCheckOptions& options);

/// Whether a self-check with these options tries this defect.
bool is_wanted(const SelfCheckOptions& options, std::string_view defect);

}  // namespace hyperpod::conformance
