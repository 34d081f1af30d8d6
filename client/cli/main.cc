// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <variant>

#include "bench.h"
#include "checkpoint.h"
#include "cli/doctor/doctor.h"
#include "cli/doctor/writers.h"
#include "client_options.h"
#include "command_line.h"
#include "commands.h"
#include "exit_code.h"
#include "hyperpod/base/standard_descriptors.h"
#include "hyperpod/base/terminal.h"
#include "hyperpod/client/client.h"
#include "limits_in_force.h"
#include "output.h"

namespace hyperpod::client::cli {
namespace {

int examine(const CommandLine& line, const DoctorCommand& command) {
  const doctor::Inquiry inquiry{
      .config_file = line.config,
      .override_options = [&line](ClientOptions& options) { override_options(line, options); },
      .workers = command.workers};
  const doctor::Report report = doctor::diagnose({}, inquiry);
  print(command.json ? doctor::to_json(report)
                     : doctor::to_text(report, base::wants_colour(STDOUT_FILENO)));
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
  if (const auto* command = std::get_if<CheckpointCommand>(&line.command)) {
    return run_checkpoint(*options, line, *command);
  }
  const bool names_segment =
      options->shared_memory_name || options->remote_url.find('#') != std::string::npos;
  if (std::holds_alternative<GetCommand>(line.command) && !names_segment) {
    complain(
        "nothing can be read without a segment, and its name is None; name the daemon's with "
        "--shm-name");
    return exit_out_of_reach;
  }
  auto client = Client::create(*std::move(options));
  if (!client) return fail(client.error());
  if (const auto* put = std::get_if<PutCommand>(&line.command)) return run_put(*client, *put);
  const ReadOptions read{.wait = line.wait};
  if (const auto* get = std::get_if<GetCommand>(&line.command))
    return run_get(*client, *get, read, line.bucket);
  return run_exists(*client, std::get<ExistsCommand>(line.command), read);
}

int fail_on_memory() {
  std::fprintf(stderr, "hyperpod-kv: there is not enough memory; %s\n",
               limit_in_force(Resource::memory).c_str());
  return exit_out_of_reach;
}

int fail_on_system(const std::system_error& error) {
  const bool descriptors = error.code() == std::errc::too_many_files_open;
  complain(std::string("there is no ") + (descriptors ? "descriptor" : "thread") +
           " to be had: " + error.code().message() + "; " +
           limit_in_force(descriptors ? Resource::descriptors : Resource::threads));
  return exit_out_of_reach;
}

int parse_and_run(int argc, char** argv) try {
  const auto parsed = parse_command_line(argc, argv);
  if (const auto* early = std::get_if<EarlyExit>(&parsed)) {
    if (early->code == exit_hit) {
      print(early->text);
    } else {
      std::fputs(early->text.c_str(), stderr);
    }
    return early->code;
  }
  return run(std::get<CommandLine>(parsed));
} catch (const std::bad_alloc&) {
  return fail_on_memory();
} catch (const std::length_error&) {
  return fail_on_memory();
} catch (const std::system_error& error) {
  return fail_on_system(error);
}

}  // namespace
}  // namespace hyperpod::client::cli

int main(int argc, char** argv) {
  using namespace hyperpod::client::cli;
  hyperpod::base::take_standard_descriptors();
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit of files' sizes fails, and is told of
  return end_output(parse_and_run(argc, argv));
}
