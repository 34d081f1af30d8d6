// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "cli/output.h"
#include "client/driver_check.h"
#include "client/suite.h"
#include "hyperpod/base/text.h"
#include "report/text.h"

namespace hyperpod::conformance::cli {
namespace {

/// Judges the driver instead of the client.
int judge_driver(const ClientArguments& arguments) {
  client::DriverCheckOptions options{.command = arguments.driver};
  const auto scaled = [&](std::chrono::milliseconds time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time * arguments.suite.time_scale);
  };
  options.start_patience = scaled(options.start_patience);
  options.patience = scaled(options.patience);
  const auto check = client::check_driver(options);
  if (!check) return print_error(could_not_judge, check.error().message);
  std::fputs(printable(check->text()).c_str(), stdout);
  return check->passed() || check->not_installed ? conforms : does_not_conform;
}

int report_obstacle(const client::Obstacle& obstacle) {
  if (obstacle.kind == client::Obstacle::Kind::not_installed) {
    const std::string& why = obstacle.explanation;
    std::printf("Skipped: the client is not installed here%s%s\n", why.empty() ? "" : ": ",
                base::printable(why).c_str());
    return conforms;
  }
  return print_error(could_not_judge, obstacle.explanation);
}

}  // namespace

int check_client(const ClientArguments& arguments) {
  const SuiteArguments& suite = arguments.suite;
  if (print_catalogue(suite, client_catalogue())) return conforms;
  if (arguments.driver.empty()) {
    return print_error(usage,
                       "give --driver, the command that starts the client's driver; see --help");
  }
  if (const std::string id = unknown_id(suite, client_catalogue()); !id.empty()) {
    return print_error(usage, "\"" + id + "\" is not a requirement or a section; see --list");
  }
  if (const std::string why = unwritable_report(suite); !why.empty()) {
    return print_error(usage, why);
  }
  if (arguments.check_driver) return judge_driver(arguments);
  client::RunOptions run;
  run.target.driver = arguments.driver;
  run.target.workers = arguments.workers;
  run.target.profile = suite.profile;
  run.target.time_scale = suite.time_scale;
  run.only = suite.only;
  run.seed = suite.seed;
  run.at_once = arguments.at_once;
  TextReport text(stdout);
  run.progress = [&](const CheckResult& result, std::size_t done, std::size_t total) {
    text.progress(result, done, total);
  };
  auto report = client::run_client_suite(run);
  if (!report) return report_obstacle(report.error());
  if (suite.strict) report->command += " --strict";
  text.finish(*report, suite.strict);
  return write_reports(suite, *report);
}

}  // namespace hyperpod::conformance::cli
