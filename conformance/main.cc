// SPDX-License-Identifier: Apache-2.0
// hyperpod-conformance: tells how far a daemon, or a client, keeps the protocol of
// docs/protocol.md. This is the only file that knows CLI11.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/commands.h"
#include "hyperpod/base/arguments.h"
#include "hyperpod/base/descriptor_limit.h"
#include "hyperpod/base/nearest.h"
#include "hyperpod/base/standard_descriptors.h"
#include "hyperpod/base/text.h"

namespace hyperpod::conformance::cli {
namespace {

// Options with their types as people write them, and nothing else behind their names.
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    const std::string name = CLI::Formatter::make_option_name(option, is_positional);
    return name.substr(0, name.find('{'));  // behind it CLI11 writes what a flag alone stands for
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    return type.empty() ? std::string() : " " + type;
  }
};

// A check that does not show in the help, where the option's type says what it takes.
CLI::Validator silent(CLI::Validator check) { return check.description(""); }

CLI::Validator one_of(std::vector<std::string> words) {
  return {[words = std::move(words)](const std::string& given) {
            if (std::ranges::find(words, given) != words.end()) return std::string();
            std::string all;
            for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
            return "\"" + given + "\" is not one of " + all;
          },
          ""};
}

// Turns 1GiB into a number of bytes; a unit counts in powers of 1,024, with or without its "i".
CLI::Validator size() {
  return {[](std::string& given) {
            const std::string before = given;
            try {
              return CLI::AsSizeValue(false)(given);
            } catch (const CLI::ValidationError&) {
              return "\"" + before + "\" is not a size, as 64MiB or 1GiB";
            }
          },
          ""};
}

CLI::Validator decimal() { return {base::to_decimal, ""}; }

void add_time_scale(CLI::App& app, double& time_scale) {
  app.add_option("--time-scale", time_scale,
                 "Makes all time limits longer, for slow machines: 0.1 to 100 times [1]")
      ->type_name("NUMBER")
      ->check({[](const std::string& given) { return base::number_problem(given, 0.1, 100); }, ""});
}

void add_suite_options(CLI::App& app, SuiteArguments& suite) {
  const std::map<std::string, Profile> profiles{
      {"core", Profile::core}, {"full", Profile::full}, {"stress", Profile::stress}};
  app.add_option_function<std::string>(
         "--profile",
         [&suite, profiles](const std::string& name) { suite.profile = profiles.at(name); },
         "How much is checked [full]")
      ->type_name("core|full|stress")
      ->check(one_of({"core", "full", "stress"}));
  app.add_option("--only", suite.only, "Ids, as TTL-03, or whole sections, as TTL, by commas")
      ->type_name("ID")
      ->delimiter(',');
  app.add_option("--seed", suite.seed, "Repeats the order and the bytes of another run")
      ->type_name("NUMBER")
      ->transform(decimal());
  add_time_scale(app, suite.time_scale);
  app.add_flag("--list{text}", suite.list, "Print the catalogue and end")
      ->type_name("[=text|json|markdown]")
      ->check(one_of({"text", "json", "markdown"}));
  app.add_flag("--strict", suite.strict, "Warnings count as failures");
  app.add_option("--junit", suite.junit, "Write a report as JUnit XML")->type_name("FILE");
  app.add_option("--json", suite.json, "Write a report as JSON")->type_name("FILE");
  app.add_option("--html", suite.html, "Write a report as one HTML page")->type_name("FILE");
}

/// Options that say which daemon; `arguments` are those of the suite or of one of its workers.
template <class Arguments>
void add_target_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--url", arguments.url,
                 "Data port of the daemon, as http://127.0.0.1:9200 or https://…")
      ->type_name("URL");
  app.add_option("--shm-name", arguments.shm_name,
                 "Name of the daemon's segment, as ai_toolkit_cache")
      ->type_name("NAME");
  app.add_option("--bucket", arguments.bucket, "Bucket to store in [hyperpod-conformance]")
      ->type_name("NAME")
      ->check({[](const std::string& given) {
                 return given.empty() ? "a bucket has a name; leave the option out for its default"
                                      : std::string();
               },
               ""});
  app.add_option("--tls-ca", arguments.ca_file,
                 "PEM file of the CA to trust; without it any certificate will do")
      ->type_name("FILE")
      ->check(silent(CLI::ExistingFile));
}

void add_daemon_options(CLI::App& app, DaemonArguments& arguments) {
  add_target_options(app, arguments);
  app.add_option("--capacity", arguments.capacity,
                 "The cache's capacity, as 1GiB. Allows checks that evict what others have stored")
      ->type_name("SIZE")
      ->transform(size());
  app.add_option("--restart-command", arguments.restart_command,
                 "Shell command that restarts the daemon. Allows the chapter about restarts")
      ->type_name("COMMAND");
  app.add_flag("--allow-reset", arguments.allow_reset,
               "Allow the reset of the checkpoint API, which removes what others have stored");
  add_suite_options(app, arguments.suite);
}

std::string at_once_help(const char* what, std::size_t standard) {
  return std::string(what) + " at a time, up to 64 [" + std::to_string(standard) + "]";
}

void add_client_options(CLI::App& app, ClientArguments& arguments) {
  app.add_option("--driver", arguments.driver, "Shell command that starts the driver of the client")
      ->type_name("COMMAND");
  app.add_flag("--check-driver", arguments.check_driver,
               "Tell what the driver gets wrong, instead of judging the client");
  app.add_option("--workers", arguments.workers,
                 "Workers at once where many are, up to 64 [1, 2, 8 and, beyond core, 16]")
      ->type_name("N")
      ->transform(decimal())
      ->check(silent(CLI::Range(1, 64)));
  app.add_option("--at-once", arguments.at_once, at_once_help("Checks", arguments.at_once))
      ->type_name("N")
      ->transform(decimal())
      ->check(silent(CLI::Range(1, 64)));
  add_suite_options(app, arguments.suite);
}

void add_self_check_options(CLI::App& app, SelfCheckArguments& arguments) {
  app.add_option("--suite", arguments.suite, "Which suite is tried [" + arguments.suite + "]")
      ->type_name("daemon|client|all")
      ->check(one_of({"daemon", "client", "all"}));
  app.add_option("--only", arguments.only, "Names of defects, by commas")
      ->type_name("NAME")
      ->delimiter(',');
  app.add_option("--drivers", arguments.driver_directories,
                 "Directory of hyperpod-driver and hyperpod-defective-driver")
      ->type_name("DIRECTORY");
  app.add_option("--reference", arguments.reference_daemon,
                 "conformance/reference/daemon.py, to try its defects and variations as well")
      ->type_name("FILE")
      ->check(silent(CLI::ExistingFile));
  app.add_flag("--whole", arguments.whole,
               "Run the whole suite against each defect, and each variation by itself; CONC-05 and "
               "CONC-07, which load the machine, only where they are aimed at a defect");
  app.add_option("--seeds", arguments.seeds, "Repeat everything with as many seeds, up to 100 [1]")
      ->type_name("N")
      ->transform(decimal())
      ->check(silent(CLI::Range(1, 100)));
  app.add_flag("--whole-core", arguments.whole_core,
               "Run all of profile core against each defect, not only the checks aimed at it");
  app.add_flag("--reasons", arguments.reasons, "Tell what each check saw");
  app.add_option("--at-once", arguments.at_once, at_once_help("Trials", arguments.at_once))
      ->type_name("N")
      ->transform(decimal())
      ->check(silent(CLI::Range(1, 64)));
  app.add_option("--seed", arguments.seed, "Repeats the order and the bytes of another run")
      ->type_name("NUMBER")
      ->transform(decimal());
  add_time_scale(app, arguments.time_scale);
}

void add_worker_options(CLI::App& app, WorkerArguments& arguments) {
  app.group("");
  add_target_options(app, arguments);
  add_time_scale(app, arguments.time_scale);
  app.add_option("--run-id", arguments.run_id);
  app.add_option("--connections", arguments.connections);
  app.add_option("--duration-ms", arguments.duration_ms);
  app.add_option("--seed", arguments.seed);
}

constexpr const char* program = "hyperpod-conformance";
constexpr const char* worker_command = "worker";  // Not for people.

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// What is wrong with a command line, and the way out, in one line.
std::string explained(const CLI::App& app, const CLI::ParseError& error) {
  const auto given = app.get_subcommands();
  const CLI::App* const command = given.empty() ? nullptr : given.front();
  std::vector<std::string> commands;
  for (const CLI::App* candidate : app.get_subcommands({})) {
    if (candidate->get_name() != worker_command) commands.push_back(candidate->get_name());
  }
  const auto words = app.remaining(true);
  std::string what = error.what();
  if (!words.empty() && words.front().starts_with('-')) {
    const std::string name = words.front().substr(0, words.front().find('='));
    what = "there is no option " + name +
           base::did_you_mean(name, option_names(command == nullptr ? app : *command));
  } else if (!words.empty() && command == nullptr) {
    what = "there is no command \"" + words.front() + "\"" +
           base::did_you_mean(words.front(), commands);
  } else if (!words.empty()) {
    what = "\"" + words.front() + "\" belongs to no option";
  } else if (command == nullptr && error.get_name() == "RequiredError") {
    what = "name a command: daemon, client or self-check";
  }
  const std::string help = command == nullptr ? "" : " " + command->get_name();
  return what + " (see " + program + help + " --help)";
}

int run(int argc, char** argv) {
  CLI::App app("Tells how far a daemon or a client keeps the HyperPod KV protocol.", program);
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.set_version_flag("--version", std::string(program) + " " HYPERPOD_VERSION,
                       "Print the version and exit");
  app.footer(
      "hyperpod-conformance COMMAND --help tells more of a command.\n"
      "Exit status: 0 conforms, 1 does not conform, 2 unusable arguments, 3 could not be\n"
      "judged (self-check: a defect survived, or something correct did not pass).\n");
  app.require_subcommand(1);
  DaemonArguments daemon;
  CLI::App* const daemon_app = app.add_subcommand("daemon", "Check a daemon");
  add_daemon_options(*daemon_app, daemon);
  ClientArguments client;
  CLI::App* const client_app =
      app.add_subcommand("client", "Check a client, through a driver (docs/drivers.md)");
  add_client_options(*client_app, client);
  SelfCheckArguments self_check;
  CLI::App* const self_check_app = app.add_subcommand(
      "self-check", "See the suites fail what is defective and pass what is not");
  add_self_check_options(*self_check_app, self_check);
  WorkerArguments worker;
  add_worker_options(*app.add_subcommand(worker_command, "One process of the many-workers check"),
                     worker);
  const base::Arguments arguments(argc, argv);
  try {
    app.parse(arguments.count(), arguments.values());
  } catch (const CLI::Success& asked) {  // --help and --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    return print_error(usage, explained(app, error));
  }
  if (daemon_app->parsed()) return check_daemon(daemon);
  if (client_app->parsed()) return check_client(client);
  if (self_check_app->parsed()) return check_self(self_check);
  return run_worker(worker);
}

}  // namespace
}  // namespace hyperpod::conformance::cli

int main(int argc, char** argv) {
  hyperpod::base::take_standard_descriptors();
  ::signal(SIGPIPE, SIG_IGN);
  using namespace hyperpod::conformance::cli;
  hyperpod::base::raise_descriptor_limit();
  const int code = run(argc, argv);
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  const int error = errno;
  return print_error(could_not_judge,
                     std::string("cannot write to standard output: ") + std::strerror(error));
}
