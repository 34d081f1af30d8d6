#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "client/driver_check.h"
#include "client/suite.h"
#include "report/text.h"

namespace hyperpod::conformance {
namespace {

struct Arguments {
  SuiteArguments suite;
  ClientRunOptions run;
  bool check_driver = false;
};

/// Judges the driver instead of the client.
int judge_driver(const Arguments& arguments) {
  DriverCheckOptions options{.command = arguments.run.target.driver};
  const auto scaled = [&](std::chrono::milliseconds time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time * arguments.suite.time_scale);
  };
  options.start_patience = scaled(options.start_patience);
  options.patience = scaled(options.patience);
  const auto check = check_driver(options);
  if (!check) return complain(could_not_judge, check.error().message);
  std::fputs(check->text().c_str(), stdout);
  return check->passed() || check->not_installed ? conforms : does_not_conform;
}

int report_obstacle(const ClientObstacle& obstacle) {
  if (obstacle.kind == ClientObstacle::Kind::not_installed) {
    std::printf("Skipped: the client is not installed here: %s\n", obstacle.explanation.c_str());
    return conforms;
  }
  return complain(could_not_judge, obstacle.explanation);
}

int check_client(Arguments& arguments) {
  const SuiteArguments& suite = arguments.suite;
  if (suite.listed(client_catalogue())) return conforms;
  if (arguments.run.target.driver.empty()) {
    return complain(usage,
                    "give --driver, the command that starts the client's driver; see --help");
  }
  if (const std::string id = suite.unknown_id(client_catalogue()); !id.empty()) {
    return complain(usage, "\"" + id + "\" is no requirement and no section; see --list");
  }
  if (arguments.check_driver) return judge_driver(arguments);
  arguments.run.target.profile = suite.profile;
  arguments.run.target.time_scale = suite.time_scale;
  arguments.run.only = suite.only;
  arguments.run.seed = suite.seed;
  TextReport text(stdout);
  arguments.run.progress = [&](const CheckResult& result, std::size_t done, std::size_t total) {
    text.progress(result, done, total);
  };
  const auto report = run_client_suite(arguments.run);
  if (!report) return report_obstacle(report.error());
  text.finish(*report, suite.strict);
  return suite.finish(*report);
}

}  // namespace

Command add_client_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("client", "Check a client, through a driver (docs/drivers.md)");
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("--driver", arguments->run.target.driver,
                      "Shell command that starts the driver of the client");
  command->add_flag("--check-driver", arguments->check_driver,
                    "Tell what the driver gets wrong, instead of judging the client");
  command
      ->add_option("--workers", arguments->run.target.workers,
                   "Workers at once where many are (default 1, 2, 8 and, beyond core, 16)")
      ->check(CLI::Range(1, 64));
  command->add_option("--at-once", arguments->run.at_once, "Checks at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  arguments->suite.add_to(*command);
  return {command, [arguments] { return check_client(*arguments); }};
}

}  // namespace hyperpod::conformance
