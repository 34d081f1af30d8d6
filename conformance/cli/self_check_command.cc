// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "cli/output.h"
#include "defects/self_check.h"
#include "hyperpod/base/terminal.h"
#include "report/text.h"

namespace hyperpod::conformance::cli {
namespace {

/// Where a build and an installation put the drivers.
std::vector<std::string> beside_this_program() {
  std::error_code ignored;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  return {here, here / "../libexec/hyperpod-kv"};
}

/// Bodies of many MiB would otherwise stay with malloc, some gigabytes in a whole run, whose page
/// tables are copied for each child that is started.
void give_memory_back() {
#ifdef M_MMAP_THRESHOLD
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  ::mallopt(M_ARENA_MAX, 4);
#endif
}

}  // namespace

int check_self(const SelfCheckArguments& arguments) {
  give_memory_back();
  defects::SelfCheckOptions options;
  options.only = arguments.only;
  options.reference_daemon = arguments.reference_daemon;
  for (const std::string& wanted : options.only) {
    if (defects::is_defect(wanted) || defects::is_reference_switch(options, wanted)) continue;
    return print_error(
        usage, "there is no defect " + wanted + "; those of the second daemon need --reference");
  }
  options.daemons = arguments.suite != "client";
  options.clients = arguments.suite != "daemon";
  options.whole = arguments.whole;
  options.whole_core = arguments.whole_core;
  options.at_once = arguments.at_once;
  options.seed = arguments.seed;
  options.time_scale = arguments.time_scale;
  options.driver_directories =
      arguments.driver_directories.empty() ? beside_this_program() : arguments.driver_directories;
  options.worker_program = "/proc/self/exe";
  options.run_id = fresh_run_id();
  const bool terminal = base::is_terminal(STDOUT_FILENO);
  TimePoint begun = now();
  options.progress = [&](const defects::Trial& trial, std::size_t done, std::size_t total) {
    if (terminal) std::fputs("\r\x1b[K", stdout);
    std::printf("%3zu/%zu  %s", done, total, defects::trial_line(trial).c_str());
    if (terminal && done < total)
      std::fputs(base::progress_bar(done, total, now() - begun).c_str(), stdout);
    std::fflush(stdout);
  };
  bool passed = true;
  std::vector<defects::SelfCheckReport> reports;
  for (unsigned i = 0; i < arguments.seeds; ++i) {
    options.seed = arguments.seed + i;
    begun = now();
    std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
    std::fflush(stdout);
    reports.push_back(defects::run_self_check(options));
    std::fputs(defects::matrix_text(reports.back(), arguments.reasons).c_str(), stdout);
    passed = passed && reports.back().passed();
  }
  const auto fickle = defects::differing_verdicts(reports);
  for (const std::string& line : fickle) std::printf("differs with the seed: %s\n", line.c_str());
  return passed && fickle.empty() ? conforms : could_not_judge;
}

}  // namespace hyperpod::conformance::cli
