// SPDX-License-Identifier: Apache-2.0
#include "command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <span>

#include "exit_code.h"
#include "hyperpod/base/arguments.h"
#include "hyperpod/base/nearest.h"
#include "hyperpod/base/text.h"

namespace hyperpod::client::cli {
namespace {

constexpr const char* program = "hyperpod-kv";

// Options with their types as people write them, and nothing else behind their names.
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(34); }

  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    return type.empty() ? std::string() : " " + type;
  }
};

// A check that does not show in the help, where the option's type says what it takes.
CLI::Validator silent(CLI::Validator check) { return check.description(""); }

std::optional<double> read_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) {
    return std::nullopt;
  }
  return number;
}

double read_share(const std::string& text) {
  const auto problem = base::number_problem(text, 0, 1);
  if (!problem.empty()) throw CLI::ValidationError("--read-share " + problem);
  return *read_number(text);
}

// 500ms, 10s, 2min, 1h; a number alone counts seconds.
std::chrono::milliseconds read_duration(const std::string& text) {
  struct Unit {
    std::string_view name;
    double milliseconds;
  };
  constexpr std::array<Unit, 5> units = {
      {{"ms", 1}, {"min", 60'000}, {"s", 1000}, {"h", 3'600'000}, {"", 1000}}};
  const auto unit = std::ranges::find_if(
      units, [&](const Unit& candidate) { return text.ends_with(candidate.name); });
  const auto number =
      read_number(std::string_view(text).substr(0, text.size() - unit->name.size()));
  constexpr double day = 24.0 * 3'600'000;
  if (!number || *number * unit->milliseconds < 1 || *number * unit->milliseconds > day) {
    throw CLI::ValidationError(
        fmt::format("--duration {} is not a duration from 1ms to 24h, as in 500ms, 10s or 2min",
                    base::quoted(text)));
  }
  return std::chrono::milliseconds{static_cast<std::int64_t>(*number * unit->milliseconds)};
}

// Decimal digits alone: neither signs nor another base.
std::uint64_t read_count(std::string_view what, const std::string& text, std::uint64_t least,
                         std::uint64_t most) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < least || number > most) {
    throw CLI::ValidationError(fmt::format("{} {} is not a whole number from {} to {}", what,
                                           base::quoted(text), least, most));
  }
  return number;
}

// Adds an option or argument that takes a whole number up to `most`.
template <class T>
CLI::Option* add_count(CLI::App& app, const char* name, T& number, std::uint64_t least,
                       std::uint64_t most, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &number, least, most](const std::string& text) {
            number = static_cast<T>(read_count(name, text, least, most));
          },
          help)
      ->type_name("N");
}

// The same of milliseconds.
void add_milliseconds(CLI::App& app, const char* name,
                      std::optional<std::chrono::milliseconds>& time, std::uint64_t least,
                      const std::string& help) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  app.add_option_function<std::string>(
         name,
         [name, &time, least](const std::string& text) {
           time = std::chrono::milliseconds{read_count(name, text, least, most)};
         },
         help)
      ->type_name("MS");
}

// 4096, 64KiB, 16MiB: units of 1024, whatever their letters' case.
std::uint64_t read_size(const std::string& text) {
  const auto letters =
      std::ranges::find_if(text, [](char c) { return (c < '0' || c > '9') && c != '.'; });
  const auto digits = static_cast<std::size_t>(letters - text.begin());
  std::string unit = text.substr(digits);
  for (char& c : unit) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  constexpr std::array<std::string_view, 5> prefixes = {"", "k", "m", "g", "t"};
  const auto number = read_number(std::string_view(text).substr(0, digits));
  double bytes = number.value_or(-1);
  bool known = false;
  for (const std::string_view prefix : prefixes) {
    known = unit == prefix || unit == std::string(prefix) + "b" ||
            (!prefix.empty() && unit == std::string(prefix) + "ib");
    if (known) break;
    bytes *= 1024;
  }
  constexpr double least = 8;
  constexpr double most = double(std::uint64_t{1} << 40);
  if (!known || bytes < least || bytes > most) {
    throw CLI::ValidationError(fmt::format(
        "--size {} is not a size from 8 to 1TiB, as in 4096, 64KiB or 16MiB", base::quoted(text)));
  }
  return static_cast<std::uint64_t>(bytes);
}

void add_connection_options(CLI::App& app, CommandLine& line) {
  app.add_option("--config", line.config,
                 "LMCache's YAML configuration [what LMCACHE_CONFIG_FILE names]")
      ->type_name("FILE");
  app.add_option("--url", line.url,
                 "The daemon; several by commas [remote_url of the configuration, or "
                 "http://127.0.0.1:9200]")
      ->type_name("URL");
  app.add_option("--bucket", line.bucket, "Namespace of the keys [lmcache]")->type_name("NAME");
  app.add_option("--shm-name", line.shm_name,
                 "The daemon's segment, /dev/shm/NAME; None reads nothing [shared_memory]")
      ->type_name("NAME");
  app.add_option("--ca-file", line.ca_file,
                 "PEM file of the authorities to trust for HTTPS [the system's]")
      ->type_name("FILE");
  add_milliseconds(
      app, "--wait-ms", line.wait, 0,
      "How long a lookup waits for a key that is absent, in milliseconds; 0 does not [5000]");
  add_milliseconds(app, "--timeout-ms", line.timeout, 1,
                   "How long a put may take [5000], or a checkpoint command [as long as bytes "
                   "move], in milliseconds");
  app.add_option("--log-level", line.log_level, "Least important messages to log to stderr [warn]")
      ->check(silent(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"})))
      ->type_name("trace|debug|info|warn|error|off");
}

// `success` tells of 0 and 1, `failure` of 3.
std::string exit_codes(std::string_view success, std::string_view failure) {
  return fmt::format(
      "Exit status: {},\n"
      "2 unusable arguments or configuration, or a file that cannot be read or written,\n"
      "3 {},\n"
      "or no thread, descriptor or memory to be had.\n",
      success, failure);
}

// Refuses what is not UTF-8.
CLI::Validator text() {
  const auto check = [](std::string_view text) -> std::string {
    for (std::string_view rest = text; !rest.empty();) {
      const auto character = base::first_character(rest);
      if (!character) return base::quoted(text) + " is not UTF-8";
      rest.remove_prefix(character->size);
    }
    return {};
  };
  return {check, ""};
}

void add_put(CLI::App& app, PutCommand& put) {
  app.add_option("KEY", put.key, "Any text in UTF-8")->check(text())->required()->type_name("");
  app.add_option("FILE", put.file, "What to store; - reads standard input")
      ->required()
      ->type_name("");
  app.footer(
      "Prints \"stored\", or \"already stored\" if the key exists, whose bytes then stay.\n"
      "An object has at least one byte. A file may have up to 64 GiB, what comes from a pipe or\n"
      "a device up to 1 GiB: it is read into memory before it is sent.\n" +
      exit_codes("0 stored or already stored",
                 "daemon unreachable, or it refused, as what is larger than its cache"));
}

void add_get(CLI::App& app, GetCommand& get) {
  app.add_option("KEY", get.key, "Any text in UTF-8")->check(text())->required()->type_name("");
  app.add_option("FILE", get.file,
                 "Where to write it; - is standard output [standard output, but binary bytes go to "
                 "a terminal only with -]")
      ->type_name("");
  app.footer("FILE appears, or is replaced, once all of the object is there.\n" +
             exit_codes("0 hit, 1 miss",
                        "daemon or segment unreachable, or it refused or sent what cannot be "
                        "used, or the\nlease ended before the bytes were read"));
}

void add_exists(CLI::App& app, ExistsCommand& exists) {
  app.add_option("KEY", exists.keys, "One key or several")
      ->check(text())
      ->required()
      ->type_name("...");
  app.footer("Prints \"hit KEY\" or \"miss KEY\" for each, whatever becomes of the others.\n" +
             exit_codes("0 all there, 1 some absent", "a daemon unreachable, or it refused"));
}

constexpr std::uint64_t most_of_shards = std::numeric_limits<std::uint64_t>::max();

void add_shard(CLI::App& app, ShardName& shard) {
  app.add_option("NAMESPACE", shard.name, "Any text")->required()->type_name("");
  add_count(app, "RANK", shard.rank, 0, most_of_shards, "From 0 to the namespace's num_ranks - 1")
      ->required()
      ->type_name("");
  add_count(app, "STEP", shard.step, 0, most_of_shards, "Of the training")
      ->required()
      ->type_name("");
}

std::string checkpoint_exit_codes(std::string_view success, std::string_view miss = "") {
  return exit_codes(fmt::format("0 {}{}{}", success, miss.empty() ? "" : ", 1 ", miss),
                    "daemon unreachable, or it refused or sent wrong bytes");
}

void add_namespaces(CLI::App& app, NamespacesCommand& command) {
  app.add_option("NAMESPACE", command.name, "Any text")->required()->type_name("");
  auto* const ranks = add_count(app, "--num-ranks", command.num_ranks, 1, most_of_shards,
                                "Create it with so many ranks, those of metadata shards included");
  auto* const steps = add_count(app, "--steps-retained", command.steps_retained, 1, most_of_shards,
                                "Create it so that the newest so many complete steps are kept");
  auto* const remove = app.add_flag("--delete", command.remove, "Delete it with all its shards");
  ranks->needs(steps)->excludes(remove);
  steps->needs(ranks)->excludes(remove);
  app.footer("Prints \"num_ranks=N steps_retained=N\", or \"deleted\".\n" +
             checkpoint_exit_codes("it is there, was created or was deleted", "it is absent"));
}

void add_shard_put(CLI::App& app, ShardPutCommand& command) {
  add_shard(app, command.shard);
  app.add_option("FILE", command.file,
                 "What to store; - reads standard input, by way of a file in TMPDIR")
      ->required()
      ->type_name("");
  app.footer("Prints \"stored\". Until all of it has been stored, what was there stays.\n" +
             checkpoint_exit_codes("stored"));
}

void add_shard_get(CLI::App& app, ShardGetCommand& command) {
  add_shard(app, command.shard);
  app.add_option("FILE", command.file,
                 "Where to write it; - is standard output [standard output, but binary bytes go to "
                 "a terminal only with -]")
      ->type_name("");
  app.footer(
      "FILE appears, or is replaced, once all of the shard is there and fits its checksum. What\n"
      "went to standard output is worth something only if the status is 0.\n" +
      checkpoint_exit_codes("written", "no such shard"));
}

void add_latest(CLI::App& app, LatestCommand& command) {
  app.add_option("NAMESPACE", command.name, "Any text")->required()->type_name("");
  add_count(app, "--limit", command.limit, 1, most_of_shards, "At most so many steps [5]");
  app.footer("Prints the steps that every rank has stored, a line each, newest first.\n" +
             checkpoint_exit_codes("there are some", "there is none"));
}

void add_shard_delete(CLI::App& app, ShardDeleteCommand& command) {
  add_shard(app, command.shard);
  app.footer("Prints \"deleted\".\n" + checkpoint_exit_codes("deleted", "no such shard"));
}

void add_reset(CLI::App& app, ResetCommand& command) {
  app.add_flag("--yes", command.yes, "Needed, for nothing of it comes back")->required();
  app.footer("Prints \"reset\".\n" + checkpoint_exit_codes("done"));
}

void add_bench(CLI::App& app, BenchCommand& bench) {
  add_count(app, "--workers", bench.workers, 1, 64,
            "Clients, each with limits of its own, 1 to 64 [1]");
  add_count(app, "--threads", bench.threads, 1, 256, "Threads of each worker, 1 to 256 [4]");
  app.add_option_function<std::string>(
         "--size", [&](const std::string& text) { bench.object_bytes = read_size(text); },
         "Bytes of an object [1MiB]")
      ->type_name("SIZE");
  app.add_option_function<std::string>(
         "--read-share", [&](const std::string& text) { bench.read_share = read_share(text); },
         "Gets among the operations, 0 to 1 [0.9]")
      ->type_name("SHARE");
  app.add_option_function<std::string>(
         "--duration", [&](const std::string& text) { bench.duration = read_duration(text); },
         "How long to run; a number alone counts seconds [10s]")
      ->type_name("DURATION");
  add_count(app, "--keys", bench.keys, 1, std::uint64_t{1} << 32, "Objects that are read [64]");
  app.add_option("--prefix", bench.prefix, "How its keys begin [bench]")->type_name("TEXT");
  app.add_flag("--verify", bench.verify, "Compare every byte that is read; slower");
  app.add_option("--html", bench.html, "Write a page with plots of the latencies")
      ->type_name("FILE");
  app.footer(
      "Shows progress, a table and the distribution of latencies on stderr, and the figures as\n"
      "JSON on stdout. Its objects stay until they are evicted.\n" +
      exit_codes("0 some operation succeeded, 1 wrong bytes were read", "no operation succeeded"));
}

void add_doctor(CLI::App& app, DoctorCommand& doctor) {
  add_count(app, "--workers", doctor.workers, 1, 1024,
            "Workers of the engine on this node, 1 to 1024 [1]");
  app.add_flag("--json", doctor.json, "The report as JSON");
  app.footer(
      "Stores one small object in each daemon, which stays there until it is evicted.\n"
      "Exit status: 0 healthy, 1 problems found, 2 unusable arguments, or the report cannot be\n"
      "written, 3 no thread, descriptor or memory to be had.\n");
}

// Adds a command; when it is the one given, `line.command` is of its type.
template <class Command, class Kind = Command>
void add_command(CLI::App& app, CommandLine& line, const char* name, const char* what,
                 void (*add_options)(CLI::App&, Command&)) {
  CLI::App* command = app.add_subcommand(name, what);
  command->set_help_flag("-h,--help", "Print this help and exit");
  const auto given = std::make_shared<Command>();
  add_options(*command, *given);
  command->callback([&line, given] { line.command = Kind(*given); });
  command->fallthrough();
}

void add_checkpoint(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("checkpoint", "Store and read training checkpoints");
  command->set_help_flag("-h,--help", "Print this help and exit");
  command->fallthrough();
  command->require_subcommand(1);
  add_count(*command, "--retries", line.retries, 0, 100,
            "How often to try again what met status 429, 500, 502, 503 or 504, a broken connection "
            "or wrong bytes, 0 to 100 [0]");
  command->footer("hyperpod-kv checkpoint COMMAND --help tells more of it.\n" +
                  checkpoint_exit_codes("success", "absent"));
  add_command<NamespacesCommand, CheckpointCommand>(
      *command, line, "namespaces", "Show, create or delete a namespace", add_namespaces);
  add_command<ShardPutCommand, CheckpointCommand>(
      *command, line, "put", "Store FILE as a rank's shard of a step", add_shard_put);
  add_command<ShardGetCommand, CheckpointCommand>(
      *command, line, "get", "Write a rank's shard of a step to FILE", add_shard_get);
  add_command<LatestCommand, CheckpointCommand>(*command, line, "latest",
                                                "Tell the newest complete steps", add_latest);
  add_command<ShardDeleteCommand, CheckpointCommand>(
      *command, line, "delete", "Delete a rank's shard of a step", add_shard_delete);
  add_command<ResetCommand, CheckpointCommand>(
      *command, line, "reset", "Delete all namespaces, shards and KV objects", add_reset);
}

std::unique_ptr<CLI::App> make_app(CommandLine& line) {
  auto app =
      std::make_unique<CLI::App>("Stores and reads objects of HyperPod's KV daemon.", program);
  app->formatter(std::make_shared<HelpFormatter>());
  app->set_help_flag("-h,--help", "Print this help and exit");
  app->set_version_flag("--version", std::string(program) + " " HYPERPOD_VERSION,
                        "Print the version and exit");
  app->require_subcommand(1);
  app->footer(
      "Options stand before or behind the command; hyperpod-kv COMMAND --help tells more of it.\n"
      "The command line goes over the environment, the environment over the file.\n"
      "Environment: LMCACHE_CONFIG_FILE, LMCACHE_REMOTE_URL, LMCACHE_EXTRA_CONFIG and\n"
      "LMCACHE_USE_LAYERWISE as for LMCache, the variables that the URL names, and NO_COLOR.\n"
      "Exit status: 0 hit, 1 miss, 2 unusable arguments, configuration or file, 3 daemon or "
      "segment\n"
      "unreachable, or the daemon refused.\n");
  add_connection_options(*app, line);
  add_command(*app, line, "put", "Store FILE under KEY", add_put);
  add_command(*app, line, "get", "Write the object under KEY to FILE", add_get);
  add_command(*app, line, "exists", "Tell of each KEY whether it is there", add_exists);
  add_checkpoint(*app, line);
  add_command(*app, line, "bench", "Put the daemon under load, and measure", add_bench);
  add_command(*app, line, "doctor", "Look for what keeps clients here from working, and explain it",
              add_doctor);
  return app;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// The command given, with those that it stands under.
std::vector<const CLI::App*> commands_given(const CLI::App& app) {
  std::vector<const CLI::App*> given{&app};
  while (!given.back()->get_subcommands().empty()) {
    given.push_back(given.back()->get_subcommands().front());
  }
  return given;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

// The word that stands where a command should and is none.
std::optional<std::string> unknown_command(const CLI::App& app) {
  const auto words = app.remaining(true);
  if (words.empty() || words.front().starts_with('-')) return std::nullopt;
  if (command_names(*commands_given(app).back()).empty()) return std::nullopt;
  return words.front();
}

// An option that was given more often than it may be.
const CLI::Option* repeated_option(const std::vector<const CLI::App*>& given) {
  for (const CLI::App* app : given) {
    for (const CLI::Option* option : app->get_options()) {
      if (option->count() > static_cast<std::size_t>(option->get_items_expected_max())) {
        return option;
      }
    }
  }
  return nullptr;
}

// One line about what is wrong, which CLI11 tells by half.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const auto given = commands_given(app);
  const auto commands = command_names(*given.back());
  const auto words = app.remaining(true);
  std::string what;
  const CLI::Option* const repeated =
      error.get_name() == "ArgumentMismatch" ? repeated_option(given) : nullptr;
  if (const auto unknown = unknown_command(app)) {
    what = fmt::format("there is no command {}{}", base::quoted(*unknown),
                       base::did_you_mean(*unknown, commands));
  } else if (!words.empty() && words.front().starts_with('-')) {
    const std::string name = words.front().substr(0, words.front().find('='));
    std::vector<std::string> options;
    for (const CLI::App* command : given) {
      const auto more = option_names(*command);
      options.insert(options.end(), more.begin(), more.end());
    }
    what = fmt::format("there is no option {}{}", name, base::did_you_mean(name, options));
  } else if (!commands.empty() && error.get_name() == "RequiredError") {
    what = fmt::format("name a command: {} or {}",
                       fmt::join(commands.begin(), commands.end() - 1, ", "), commands.back());
  } else if (repeated != nullptr) {
    what = fmt::format("{} is given {}", repeated->get_name(),
                       repeated->count() == 2 ? "twice" : "more than twice");
  } else {
    what = error.what();
  }
  std::string help(program);
  for (const CLI::App* command : std::span(given).subspan(1)) help += " " + command->get_name();
  return fmt::format("{}: {} (see {} --help)\n", program, base::printable(what), help);
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  const auto app = make_app(line);
  const base::Arguments arguments(argc, argv);
  try {
    app->parse(arguments.count(), arguments.values());
  } catch (const CLI::CallForHelp& help) {
    if (unknown_command(*app)) return EarlyExit{exit_usage, explain(*app, help)};
    return EarlyExit{exit_hit, app->help()};
  } catch (const CLI::CallForVersion& version) {
    return EarlyExit{exit_hit, std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    return EarlyExit{exit_usage, explain(*app, error)};
  }
  return line;
}

}  // namespace hyperpod::client::cli
