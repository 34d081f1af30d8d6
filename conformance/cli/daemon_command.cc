#include <cstdlib>
#include <memory>

#include "cli/command.h"
#include "daemon/suite.h"
#include "daemon/worker.h"
#include "report/text.h"

namespace hyperpod::conformance {
namespace {

struct Arguments {
  std::string url;
  SuiteArguments suite;
  RunOptions run;
  std::string restart_command;
};

Result<void> run_command(const std::string& command) {
  if (std::system(command.c_str()) == 0) return {};
  return tl::unexpected(Error{ErrorCode::system, "the restart command failed: " + command});
}

void add_target_options(CLI::App& app, std::string& url, Target& target) {
  app.add_option("--url", url, "Data port of the daemon, as http://127.0.0.1:9200 or https://…");
  app.add_option("--shm-name", target.shm_name,
                 "Name of the daemon's segment, as ai_toolkit_cache");
  app.add_option("--bucket", target.bucket, "Bucket to store in")->capture_default_str();
  app.add_option("--tls-ca", target.tls.ca_file,
                 "PEM file of the CA to trust; without it any certificate will do")
      ->check(CLI::ExistingFile);
}

int report_obstacle(const Obstacle& obstacle) {
  // What answers but is no such daemon does not conform; what cannot be asked is not judged.
  const bool judged = obstacle.kind == Obstacle::Kind::no_such_daemon;
  return complain(judged ? does_not_conform : could_not_judge, obstacle.explanation);
}

int check_daemon(Arguments& arguments) {
  const SuiteArguments& suite = arguments.suite;
  if (suite.listed(daemon_catalogue())) return conforms;
  Target& target = arguments.run.target;
  if (arguments.url.empty() || target.shm_name.empty()) {
    return complain(usage, "give --url and --shm-name; see --help");
  }
  if (target.shm_name.find('/') != std::string::npos) {
    return complain(usage,
                    "--shm-name \"" + target.shm_name + "\" has a slash; give the name alone");
  }
  const auto endpoint = parse_url(arguments.url);
  if (!endpoint) return complain(usage, endpoint.error().message);
  target.endpoint = *endpoint;
  if (const std::string id = suite.unknown_id(daemon_catalogue()); !id.empty()) {
    return complain(usage, "\"" + id + "\" is no requirement and no section; see --list");
  }
  if (!arguments.restart_command.empty()) {
    target.restart = [&] { return run_command(arguments.restart_command); };
  }
  target.profile = suite.profile;
  target.time_scale = suite.time_scale;
  target.worker_program = "/proc/self/exe";
  target.run_id = fresh_run_id();
  arguments.run.only = suite.only;
  arguments.run.seed = suite.seed;
  TextReport text(stdout);
  arguments.run.progress = [&](const CheckResult& result, std::size_t done, std::size_t total) {
    text.progress(result, done, total);
  };
  const auto report = run_daemon_suite(arguments.run);
  if (!report) return report_obstacle(report.error());
  text.finish(*report, suite.strict);
  return suite.finish(*report);
}

struct WorkerArguments {
  std::string url;
  Target target;
  WorkerOrder order;
  long long duration_ms = 1000;
};

int be_worker(WorkerArguments& arguments) {
  const auto endpoint = parse_url(arguments.url);
  if (!endpoint) return complain(usage, endpoint.error().message);
  arguments.target.endpoint = *endpoint;
  arguments.order.duration = std::chrono::milliseconds(arguments.duration_ms);
  try {
    std::puts(to_json(run_worker(arguments.target, arguments.order)).c_str());
  } catch (const Violation& violation) {
    return complain(could_not_judge, "expected " + violation.expected + ", seen " + violation.seen);
  } catch (const SuiteFailure& failure) {
    return complain(could_not_judge, failure.what);
  }
  return conforms;
}

}  // namespace

Command add_daemon_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("daemon", "Check a daemon");
  const auto arguments = std::make_shared<Arguments>();
  Target& target = arguments->run.target;
  add_target_options(*command, arguments->url, target);
  command
      ->add_option(
          "--capacity", target.capacity,
          "The cache's capacity, as 1GiB. Allows checks that evict what others have stored")
      ->transform(CLI::AsSizeValue(false));
  command->add_option("--restart-command", arguments->restart_command,
                      "Shell command that restarts the daemon. Allows the chapter about restarts");
  arguments->suite.add_to(*command);
  return {command, [arguments] { return check_daemon(*arguments); }};
}

Command add_worker_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("worker", "One process of the many-workers check");
  command->group("");
  const auto arguments = std::make_shared<WorkerArguments>();
  add_target_options(*command, arguments->url, arguments->target);
  add_time_scale(*command, arguments->target.time_scale);
  command->add_option("--run-id", arguments->target.run_id);
  command->add_option("--connections", arguments->order.connections);
  command->add_option("--duration-ms", arguments->duration_ms);
  command->add_option("--seed", arguments->order.seed);
  return {command, [arguments] { return be_worker(*arguments); }};
}

}  // namespace hyperpod::conformance
