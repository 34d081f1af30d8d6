// The program's subcommands, and what they have in common.
//
// add_…() describes a subcommand to CLI11 and returns what it does once the command line has been
// read; the App must outlive it. The returned numbers are the program's exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "report/report.h"

namespace hyperpod::conformance {

/// What the program ends with, as scripts rely on it.
enum ExitCode {
  conforms = 0,
  does_not_conform = 1,
  usage = 2,
  could_not_judge = 3,
};

struct Command {
  CLI::App* app;
  std::function<int()> run;
};

Command add_daemon_command(CLI::App& app);
Command add_client_command(CLI::App& app);
Command add_self_check_command(CLI::App& app);
/// One process of the many-workers check; the suite starts it itself.
Command add_worker_command(CLI::App& app);

/// Stands in the keys of one run, so that runs never meet.
std::string fresh_run_id();

/// Says so on standard error; returns `code`.
int complain(int code, const std::string& message);

/// Options that every suite has.
struct SuiteArguments {
  Profile profile = Profile::full;
  std::vector<std::string> only;
  std::uint64_t seed = 0;  ///< Drawn afresh for each run of the program.
  double time_scale = 1;
  std::string list;
  std::string junit;
  std::string json;
  std::string html;
  bool strict = false;

  SuiteArguments();
  void add_to(CLI::App& app);

  /// Prints the catalogue if that was asked for; then there is nothing else to do.
  bool listed(std::span<const Requirement> catalogue) const;
  /// The first member of `only` that names nothing in the catalogue; "" if there is none.
  std::string unknown_id(std::span<const Requirement> catalogue) const;
  /// Writes the reports that were asked for; the exit code of the run.
  int finish(const Report& report) const;
};

void add_time_scale(CLI::App& app, double& time_scale);

}  // namespace hyperpod::conformance
