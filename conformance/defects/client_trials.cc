// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <optional>

#include "client/suite.h"
#include "defects/trials.h"

namespace hyperpod::conformance::defects {
namespace {

using Results = tl::expected<std::vector<CheckResult>, std::string>;

/// The path of a driver of ours; nullopt if it is in none of the directories.
std::optional<std::string> find_driver(const SelfCheckOptions& options, const std::string& name) {
  for (const std::string& directory : options.driver_directories) {
    const auto path = std::filesystem::path(directory) / name;
    if (std::filesystem::exists(path)) return path.string();
  }
  return std::nullopt;
}

Results run(const std::string& program, const std::string& defect, std::vector<std::string> only,
            Profile profile, unsigned at_once, const SelfCheckOptions& options) {
  const auto path = find_driver(options, program);
  if (!path) {
    return tl::unexpected(program +
                          " is in none of the directories where it was looked for; name "
                          "its directory with --drivers, or leave clients out");
  }
  client::RunOptions run;
  run.target.driver = "env HYPERPOD_DEFECT=" + defect + " '" + *path + "'";
  run.target.profile = profile;
  run.target.time_scale = options.time_scale;
  run.only = std::move(only);
  run.seed = options.seed;
  run.at_once = at_once;
  auto report = client::run_client_suite(run);
  if (!report) return tl::unexpected(report.error().explanation);
  return std::move(report->results);
}

}  // namespace

std::vector<Plan> client_plans(const SelfCheckOptions& options) {
  std::vector<Plan> plans;
  if (options.only.empty()) {
    const auto correct = [&](const char* name, const char* what, const char* program) {
      plans.push_back(
          {.name = name,
           .what = what,
           .may_skip = true,  // C-TIME-11 needs a localhost of two addresses
           .run = [program, &options] { return run(program, "", {}, Profile::full, 2, options); }});
    };
    correct("correct client", "our own, as it comes", "hyperpod-driver");
    correct("mutated client, no defect", "the one with the switches, all off",
            "hyperpod-defective-driver");
  }
  for (const ClientDefect& defect : client_defects()) {
    if (!is_wanted(options, defect.name)) continue;
    const std::vector<std::string> aims(defect.aims.begin(), defect.aims.end());
    const auto only = options.whole || options.whole_core ? std::vector<std::string>{} : aims;
    plans.push_back({.name = std::string(defect.name),
                     .what = std::string(defect.what),
                     .aims = aims,
                     .may_skip = defect.may_skip,
                     .run = [name = std::string(defect.name), only, &options] {
                       const auto profile = options.whole ? Profile::full : Profile::core;
                       return run("hyperpod-defective-driver", name, only, profile, 1, options);
                     }});
  }
  return plans;
}

}  // namespace hyperpod::conformance::defects
