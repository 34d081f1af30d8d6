#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>

#include "cli/command.h"
#include "defects/self_check.h"

namespace hyperpod::conformance {
namespace {

struct Arguments {
  SelfCheckOptions options;
  std::string suite = "all";
  bool reasons = false;
};

/// Where a build and an installation put the drivers.
std::vector<std::string> beside_this_program() {
  std::error_code ignored;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  return {here, here / "../libexec/hyperpod-kv"};
}

int check_self(Arguments& arguments) {
  SelfCheckOptions& options = arguments.options;
  for (const std::string& wanted : options.only) {
    if (!is_defect(wanted)) return complain(usage, "there is no defect " + wanted);
  }
  options.daemons = arguments.suite != "client";
  options.clients = arguments.suite != "daemon";
  if (options.driver_directories.empty()) options.driver_directories = beside_this_program();
  options.worker_program = "/proc/self/exe";
  options.run_id = fresh_run_id();
  options.progress = [](const Trial& trial, std::size_t done, std::size_t total) {
    std::printf("%3zu/%zu  %s", done, total, trial_line(trial).c_str());
    std::fflush(stdout);
  };
  const SelfCheckReport report = run_self_check(options);
  std::fputs(matrix_text(report, arguments.reasons).c_str(), stdout);
  return report.passed() ? conforms : could_not_judge;
}

}  // namespace

Command add_self_check_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "self-check", "See the suites fail what is defective and pass what is not");
  const auto arguments = std::make_shared<Arguments>();
  SelfCheckOptions& options = arguments->options;
  options.seed = std::random_device{}();
  command->add_option("--suite", arguments->suite, "daemon, client or all")
      ->check(CLI::IsMember({"daemon", "client", "all"}))
      ->capture_default_str();
  command->add_option("--only", options.only, "Names of defects")->delimiter(',');
  command->add_option("--drivers", options.driver_directories,
                      "Directory of hyperpod-driver and hyperpod-defective-driver");
  command->add_flag("--whole-core", options.whole_core,
                    "Run all of profile core against each defect, not only the checks aimed at it");
  command->add_flag("--reasons", arguments->reasons, "Tell what each check saw");
  command->add_option("--at-once", options.at_once, "Trials at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  command->add_option("--seed", options.seed, "Repeats the order and the bytes of another run");
  add_time_scale(*command, options.time_scale);
  return {command, [arguments] { return check_self(*arguments); }};
}

}  // namespace hyperpod::conformance
