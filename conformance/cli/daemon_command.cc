// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "cli/output.h"
#include "daemon/suite.h"
#include "daemon/worker.h"
#include "hyperpod/base/child_process.h"
#include "report/text.h"

namespace hyperpod::conformance::cli {
namespace {

/// Runs a shell command as if typed into a shell. One that does not end is ended.
Result<void> run_command(const std::string& command, double time_scale) {
  const auto patience =
      std::chrono::ceil<std::chrono::milliseconds>(std::chrono::minutes(2) * time_scale);
  auto process = base::ChildProcess::start({.command = command});
  if (!process) return tl::unexpected(process.error());
  const auto code = process->wait_for(patience);
  if (code == 0) return {};
  if (!code) {
    return tl::unexpected(Error{ErrorCode::failed, "the restart command has not ended after " +
                                                       in_ms(patience) + ": " + command});
  }
  // As a shell tells it.
  const std::string how = *code < 0 ? "was ended by signal " + std::to_string(-*code)
                                    : "ended with " + std::to_string(*code);
  const std::string why = process->last_error_line();
  return tl::unexpected(Error{ErrorCode::failed, "the restart command " + how + ": " + command +
                                                     (why.empty() ? "" : ": " + why)});
}

int report_obstacle(const daemon::Obstacle& obstacle) {
  // What listens there and is not such a daemon, or serves too few, does not conform; what cannot
  // be asked is not judged.
  using enum daemon::Obstacle::Kind;
  const bool judged = obstacle.kind == no_such_daemon || obstacle.kind == few_connections;
  return print_error(judged ? does_not_conform : could_not_judge, obstacle.explanation);
}

}  // namespace

int check_daemon(const DaemonArguments& arguments) {
  const SuiteArguments& suite = arguments.suite;
  if (print_catalogue(suite, daemon_catalogue())) return conforms;
  if (arguments.url.empty() || arguments.shm_name.empty()) {
    return print_error(usage, "give --url and --shm-name; see --help");
  }
  if (arguments.shm_name.find('/') != std::string::npos) {
    return print_error(
        usage, "--shm-name \"" + arguments.shm_name + "\" has a slash; give the name alone");
  }
  const auto endpoint = parse_url(arguments.url);
  if (!endpoint) return print_error(usage, endpoint.error().message);
  if (const std::string id = unknown_id(suite, daemon_catalogue()); !id.empty()) {
    return print_error(usage, "\"" + id + "\" is not a requirement or a section; see --list");
  }
  if (const std::string why = unwritable_report(suite); !why.empty()) {
    return print_error(usage, why);
  }
  daemon::RunOptions run;
  run.target.endpoint = *endpoint;
  run.target.tls.ca_file = arguments.ca_file;
  run.target.shm_name = arguments.shm_name;
  run.target.capacity = arguments.capacity;
  run.target.bucket = arguments.bucket;
  run.target.profile = suite.profile;
  run.target.time_scale = suite.time_scale;
  run.target.worker_program = "/proc/self/exe";
  run.target.run_id = fresh_run_id();
  run.target.allow_reset = arguments.allow_reset;
  run.restart_command = arguments.restart_command;
  if (!arguments.restart_command.empty()) {
    run.target.restart = [&] { return run_command(arguments.restart_command, suite.time_scale); };
  }
  run.only = suite.only;
  run.seed = suite.seed;
  TextReport text(stdout);
  run.progress = [&](const CheckResult& result, std::size_t done, std::size_t total) {
    text.progress(result, done, total);
  };
  auto report = daemon::run_daemon_suite(run);
  if (!report) return report_obstacle(report.error());
  if (suite.strict) report->command += " --strict";
  text.finish(*report, suite.strict);
  return write_reports(suite, *report);
}

int run_worker(const WorkerArguments& arguments) {
  const auto endpoint = parse_url(arguments.url);
  if (!endpoint) return print_error(usage, endpoint.error().message);
  daemon::Target target;
  target.endpoint = *endpoint;
  target.tls.ca_file = arguments.ca_file;
  target.shm_name = arguments.shm_name;
  target.bucket = arguments.bucket;
  target.run_id = arguments.run_id;
  target.time_scale = arguments.time_scale;
  const daemon::WorkerOrder order{.connections = arguments.connections,
                                  .duration = std::chrono::milliseconds(arguments.duration_ms),
                                  .seed = arguments.seed};
  try {
    std::puts(daemon::to_json(daemon::run_worker(target, order)).c_str());
  } catch (const Violation& violation) {
    return print_error(could_not_judge,
                       "expected " + violation.expected + ", seen " + violation.seen);
  } catch (const SuiteFailure& failure) {
    return print_error(could_not_judge, failure.what);
  }
  return conforms;
}

}  // namespace hyperpod::conformance::cli
