#include "command_line.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "exit_code.h"

namespace hyperpod::client::cli {
namespace {

void add_connection_options(CLI::App& app, CommandLine& line) {
  app.add_option("--config", line.config,
                 "LMCache's YAML configuration [what LMCACHE_CONFIG_FILE names]")
      ->type_name("FILE");
  app.add_option("--url", line.url, "The daemon, e.g. http://127.0.0.1:9200; several by commas")
      ->type_name("URL");
  app.add_option("--bucket", line.bucket, "Namespace of the keys [lmcache]")->type_name("NAME");
  app.add_option("--shm-name", line.shm_name,
                 "The daemon's segment, /dev/shm/NAME; None reads nothing [shared_memory]")
      ->type_name("NAME");
  app.add_option("--ca-file", line.ca_file, "PEM file of the authorities to trust for HTTPS")
      ->type_name("FILE");
  app.add_option_function<std::uint32_t>(
         "--wait-ms", [&](std::uint32_t ms) { line.wait = std::chrono::milliseconds{ms}; },
         "How long a lookup waits for a key that is absent; 0 does not [5000]")
      ->type_name("MS");
  app.add_option_function<std::uint32_t>(
         "--timeout-ms", [&](std::uint32_t ms) { line.timeout = std::chrono::milliseconds{ms}; },
         "How long a put may take [5000]")
      ->type_name("MS");
  app.add_option("--log-level", line.log_level, "Least important messages to log to stderr")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
}

void add_put(CLI::App& app, PutCommand& put) {
  app.add_option("KEY", put.key)->required();
  app.add_option("FILE", put.file, "- reads standard input")->required();
}

void add_get(CLI::App& app, GetCommand& get) {
  app.add_option("KEY", get.key)->required();
  app.add_option("FILE", get.file, "- writes standard output")->capture_default_str();
}

void add_exists(CLI::App& app, ExistsCommand& exists) {
  app.add_option("KEY", exists.keys)->required();
}

void add_bench(CLI::App& app, BenchCommand& bench) {
  app.add_option("--workers", bench.workers, "Clients, each with limits of its own")
      ->check(CLI::Range(1u, 64u))
      ->capture_default_str();
  app.add_option("--threads", bench.threads, "Threads of each worker")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  app.add_option("--size", bench.object_bytes, "Bytes of an object, e.g. 16MiB")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(std::uint64_t{8}, std::uint64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--read-share", bench.read_share, "Gets among the operations, 0 to 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option_function<double>(
         "--duration",
         [&](double seconds) {
           bench.duration = std::chrono::milliseconds{static_cast<std::int64_t>(seconds * 1000)};
         },
         "Seconds to run [10]")
      ->check(CLI::Range(0.01, 86400.0))
      ->type_name("S");
  app.add_option("--keys", bench.keys, "Objects that are read")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32))
      ->capture_default_str();
  app.add_option("--prefix", bench.prefix, "How its keys begin")->capture_default_str();
  app.add_flag("--verify", bench.verify, "Compare every byte that is read; slower");
}

void add_doctor(CLI::App& app, DoctorCommand& doctor) {
  app.add_option("--workers", doctor.workers, "Workers of the engine on this node")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app.add_flag("--json", doctor.json, "The report as JSON");
  app.footer(
      "Stores one small object in each daemon, which stays there until it is evicted.\n"
      "Exit code: 0 healthy, 1 problems found, 2 usage.\n");
}

// Adds a command; when it is the one given, `line.command` is of its type.
template <class Command>
void add_command(CLI::App& app, CommandLine& line, const char* name, const char* what,
                 void (*add_options)(CLI::App&, Command&)) {
  CLI::App* command = app.add_subcommand(name, what);
  const auto given = std::make_shared<Command>();
  add_options(*command, *given);
  command->callback([&line, given] { line.command = *given; });
  command->fallthrough();
}

}  // namespace

std::unique_ptr<CLI::App> make_app(CommandLine& line) {
  auto app = std::make_unique<CLI::App>("Stores and reads objects of HyperPod's KV daemon.",
                                        "hyperpod-kv");
  app->set_version_flag("--version", HYPERPOD_VERSION);
  app->require_subcommand(1);
  app->footer("Exit code: 0 hit, 1 miss, 2 usage, 3 daemon or segment out of reach.\n");
  add_connection_options(*app, line);
  add_command(*app, line, "put", "Store FILE under KEY", add_put);
  add_command(*app, line, "get", "Write the object under KEY to FILE", add_get);
  add_command(*app, line, "exists", "Tell of each KEY whether it is there", add_exists);
  add_command(*app, line, "bench", "Put the daemon under load, and measure", add_bench);
  add_command(*app, line, "doctor", "Look for what keeps clients here from working, and explain it",
              add_doctor);
  return app;
}

Parsed parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  const auto app = make_app(line);
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream problem;
    const int code = app->exit(error, out, problem);
    return EarlyExit{code == 0 ? exit_hit : exit_usage, out.str() + problem.str()};
  }
  return line;
}

}  // namespace hyperpod::client::cli
