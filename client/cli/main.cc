#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <variant>

#include "bench.h"
#include "command_line.h"
#include "commands.h"
#include "exit_code.h"
#include "hyperpod/client/client.h"
#include "hyperpod/client/config.h"

namespace hyperpod::client::cli {
namespace {

constexpr const char* default_url = "http://127.0.0.1:9200";

std::shared_ptr<spdlog::logger> make_logger(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("hyperpod-kv",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(level));
  return logger;
}

// LMCache's configuration with what the command line says in its place.
Result<ClientOptions> make_options(const CommandLine& line) {
  auto loaded = load_options(line.config);
  if (!loaded) return tl::unexpected(std::move(loaded).error());
  ClientOptions options = std::move(loaded->options);
  options.logger = make_logger(line.log_level);
  for (const std::string& warning : loaded->warnings) options.logger->warn("{}", warning);
  if (options.remote_url.empty()) options.remote_url = default_url;
  if (line.url) options.remote_url = *line.url;
  if (line.bucket) options.bucket = *line.bucket;
  if (line.shm_name) options.shared_memory_name = *line.shm_name;
  if (options.shared_memory_name == "None") options.shared_memory_name.reset();
  if (line.ca_file) options.tls.ca_file = *line.ca_file;
  if (line.timeout) options.timeout = *line.timeout;
  return options;
}

int run(const CommandLine& line) {
  auto options = make_options(line);
  if (!options) return fail(options.error());
  if (const auto* bench = std::get_if<BenchCommand>(&line.command)) {
    return run_bench(*options, *bench);
  }
  auto client = Client::create(*std::move(options));
  if (!client) return fail(client.error());
  if (const auto* put = std::get_if<PutCommand>(&line.command)) return run_put(*client, *put);
  const ReadOptions read{.wait = line.wait};
  if (const auto* get = std::get_if<GetCommand>(&line.command)) return run_get(*client, *get, read);
  return run_exists(*client, std::get<ExistsCommand>(line.command), read);
}

}  // namespace
}  // namespace hyperpod::client::cli

int main(int argc, char** argv) {
  using namespace hyperpod::client::cli;
  const auto parsed = parse_command_line(argc, argv);
  if (const auto* early = std::get_if<EarlyExit>(&parsed)) {
    std::fputs(early->text.c_str(), early->code == exit_hit ? stdout : stderr);
    return early->code;
  }
  return run(std::get<CommandLine>(parsed));
}
