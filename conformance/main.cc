// hyperpod-conformance: tells how far a daemon keeps the protocol of docs/protocol.md.
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "daemon/suite.h"
#include "daemon/worker.h"
#include "defects/self_check.h"
#include "report/files.h"
#include "report/text.h"

namespace {

using namespace hyperpod::conformance;

// What the program ends with, as scripts rely on it.
constexpr int conforms = 0;
constexpr int does_not_conform = 1;
constexpr int usage = 2;
constexpr int could_not_judge = 3;

struct DaemonArguments {
  std::string url;
  RunOptions run;
  std::string restart_command;
  std::string list;
  std::string junit;
  std::string json;
  std::string html;
  bool strict = false;
};

int complain(int code, const std::string& message) {
  std::fprintf(stderr, "hyperpod-conformance: %s\n", message.c_str());
  return code;
}

std::string random_id() {
  std::random_device device;
  std::array<char, 16> text;
  std::snprintf(text.data(), text.size(), "%08x", device());
  return text.data();
}

/// Thousands of connections need thousands of descriptors, and the usual soft limit is 1,024.
void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<void> run_command(const std::string& command) {
  if (std::system(command.c_str()) == 0) return {};
  return tl::unexpected(Error{ErrorCode::system, "the restart command failed: " + command});
}

bool write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  std::ofstream file(path, std::ios::binary);
  file << text;
  return static_cast<bool>(file.flush());
}

int exit_code(const Report& report, bool strict) {
  switch (report.worst()) {
    case Outcome::error:
      return could_not_judge;
    case Outcome::fail:
      return does_not_conform;
    case Outcome::warn:
      return strict ? does_not_conform : conforms;
    case Outcome::pass:
      return conforms;
    case Outcome::skip:
      break;
  }
  return could_not_judge;
}

std::string unknown_id(const std::vector<std::string>& only) {
  for (const std::string& id : only) {
    const auto known = [&](const Requirement& requirement) {
      return requirement.id == id || requirement.id.starts_with(id + "-");
    };
    if (std::ranges::none_of(daemon_catalogue(), known)) return id;
  }
  return "";
}

void add_target_options(CLI::App& app, std::string& url, Target& target) {
  app.add_option("--url", url, "Data port of the daemon, as http://127.0.0.1:9200 or https://…");
  app.add_option("--shm-name", target.shm_name,
                 "Name of the daemon's segment, as ai_toolkit_cache");
  app.add_option("--bucket", target.bucket, "Bucket to store in")->capture_default_str();
  app.add_option("--time-scale", target.time_scale,
                 "Makes all time limits longer, for slow machines")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
  app.add_option("--tls-ca", target.tls.ca_file,
                 "PEM file of the CA to trust; without it any certificate will do")
      ->check(CLI::ExistingFile);
}

CLI::App* add_daemon_command(CLI::App& app, DaemonArguments& arguments) {
  CLI::App* command = app.add_subcommand("daemon", "Check a daemon");
  Target& target = arguments.run.target;
  add_target_options(*command, arguments.url, target);
  const std::map<std::string, Profile> profiles{
      {"core", Profile::core}, {"full", Profile::full}, {"stress", Profile::stress}};
  command->add_option("--profile", target.profile, "core, full or stress (default full)")
      ->transform(CLI::CheckedTransformer(profiles));
  command
      ->add_option(
          "--capacity", target.capacity,
          "The cache's capacity, as 1GiB. Allows checks that evict what others have stored")
      ->transform(CLI::AsSizeValue(false));
  command->add_option("--restart-command", arguments.restart_command,
                      "Shell command that restarts the daemon. Allows the chapter about restarts");
  command->add_option("--only", arguments.run.only, "Ids, as TTL-03, or whole sections, as TTL")
      ->delimiter(',');
  command->add_option("--seed", arguments.run.seed,
                      "Repeats the order and the bytes of another run");
  command
      ->add_flag("--list{text}", arguments.list, "Print the catalogue and end; --list=json as JSON")
      ->check(CLI::IsMember({"text", "json"}));
  command->add_flag("--strict", arguments.strict, "Warnings count as failures");
  command->add_option("--junit", arguments.junit, "Write a report as JUnit XML");
  command->add_option("--json", arguments.json, "Write a report as JSON");
  command->add_option("--html", arguments.html, "Write a report as one HTML page");
  return command;
}

int report_obstacle(const Obstacle& obstacle) {
  // What answers but is no such daemon does not conform; what cannot be asked is not judged.
  const bool judged = obstacle.kind == Obstacle::Kind::no_such_daemon;
  return complain(judged ? does_not_conform : could_not_judge, obstacle.explanation);
}

int check_daemon(DaemonArguments& arguments) {
  if (!arguments.list.empty()) {
    std::fputs((arguments.list == "json" ? catalogue_json(daemon_catalogue()) : catalogue_text(daemon_catalogue())).c_str(), stdout);
    return conforms;
  }
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
  if (const std::string id = unknown_id(arguments.run.only); !id.empty()) {
    return complain(usage, "\"" + id + "\" is no requirement and no section; see --list");
  }
  if (!arguments.restart_command.empty()) {
    target.restart = [&] { return run_command(arguments.restart_command); };
  }
  TextReport text(stdout);
  arguments.run.progress = [&](const CheckResult& result, std::size_t done, std::size_t total) {
    text.progress(result, done, total);
  };
  const auto report = run_daemon_suite(arguments.run);
  if (!report) return report_obstacle(report.error());
  text.finish(*report, arguments.strict);
  for (const auto& [path, content] :
       {std::pair{arguments.junit, to_junit(*report, arguments.strict)},
        std::pair{arguments.json, to_json(*report, arguments.strict)},
        std::pair{arguments.html, to_html(*report, arguments.strict)}}) {
    if (!write_file(path, content)) return complain(could_not_judge, path + " cannot be written");
  }
  return exit_code(*report, arguments.strict);
}

struct WorkerArguments {
  std::string url;
  Target target;
  WorkerOrder order;
  long long duration_ms = 1000;
};

CLI::App* add_worker_command(CLI::App& app, WorkerArguments& arguments) {
  CLI::App* command = app.add_subcommand("worker", "One process of the many-workers check");
  command->group("");  // The suite starts it itself.
  add_target_options(*command, arguments.url, arguments.target);
  command->add_option("--run-id", arguments.target.run_id);
  command->add_option("--connections", arguments.order.connections);
  command->add_option("--duration-ms", arguments.duration_ms);
  command->add_option("--seed", arguments.order.seed);
  return command;
}

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

CLI::App* add_self_check_command(CLI::App& app, SelfCheckOptions& options, bool& reasons) {
  CLI::App* command = app.add_subcommand(
      "self-check", "See the suite fail defective daemons and pass faultless ones");
  command->add_option("--only", options.only, "Names of defects")->delimiter(',');
  command->add_flag("--whole-core", options.whole_core,
                    "Run all of profile core against each defect, not only the checks aimed at it");
  command->add_flag("--reasons", reasons, "Tell what each check saw");
  command->add_option("--at-once", options.at_once, "Daemons at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  command->add_option("--seed", options.seed, "Repeats the order and the bytes of another run");
  command
      ->add_option("--time-scale", options.time_scale,
                   "Makes all time limits longer, for slow machines")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
  return command;
}

int check_self(SelfCheckOptions& options, bool reasons) {
  for (const std::string& wanted : options.only) {
    const auto named = [&](const Defect& defect) { return defect.name == wanted; };
    if (std::ranges::none_of(all_defects(), named))
      return complain(usage, "there is no defect " + wanted);
  }
  options.progress = [](const Trial& trial, std::size_t done, std::size_t total) {
    std::printf("%3zu/%zu  %s", done, total, trial_line(trial).c_str());
    std::fflush(stdout);
  };
  const SelfCheckReport report = run_self_check(options);
  std::fputs(matrix_text(report, reasons).c_str(), stdout);
  return report.passed() ? conforms : could_not_judge;
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  CLI::App app(
      "Tells how far a daemon keeps the HyperPod KV protocol. Exit codes: 0 conforms, 1 does not, "
      "2 usage, 3 could not be judged.");
  app.set_version_flag("--version", HYPERPOD_VERSION);
  app.require_subcommand(1);
  DaemonArguments daemon;
  daemon.run.seed = std::random_device{}();
  daemon.run.target.run_id = "conf-" + random_id();
  daemon.run.target.worker_program = "/proc/self/exe";
  WorkerArguments worker;
  const CLI::App* daemon_command = add_daemon_command(app, daemon);
  SelfCheckOptions self_check;
  self_check.seed = daemon.run.seed;
  self_check.run_id = daemon.run.target.run_id;
  self_check.worker_program = daemon.run.target.worker_program;
  bool reasons = false;
  const CLI::App* self_check_command = add_self_check_command(app, self_check, reasons);
  const CLI::App* worker_command = add_worker_command(app, worker);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? conforms : usage;
  }
  if (worker_command->parsed()) return be_worker(worker);
  if (daemon_command->parsed()) return check_daemon(daemon);
  if (self_check_command->parsed()) return check_self(self_check, reasons);
  return usage;
}
