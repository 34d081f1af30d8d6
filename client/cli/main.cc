#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <variant>

#include "bench.h"
#include "cli/doctor/doctor.h"
#include "cli/doctor/writers.h"
#include "client_options.h"
#include "command_line.h"
#include "commands.h"
#include "exit_code.h"
#include "hyperpod/client/client.h"

namespace hyperpod::client::cli {
namespace {

int examine(const CommandLine& line, const DoctorCommand& command) {
  const doctor::Inquiry inquiry{
      .config_file = line.config,
      .override_options = [&line](ClientOptions& options) { override_options(line, options); },
      .workers = command.workers};
  const doctor::Report report = doctor::diagnose({}, inquiry);
  const bool colour = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  std::fputs((command.json ? doctor::to_json(report) : doctor::to_text(report, colour)).c_str(),
             stdout);
  return report.is_healthy() ? exit_hit : exit_miss;
}

int run(const CommandLine& line) {
  if (const auto* command = std::get_if<DoctorCommand>(&line.command)) {
    return examine(line, *command);
  }
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
