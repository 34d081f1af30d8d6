// SPDX-License-Identifier: Apache-2.0
// The program's subcommands as functions of what the command line said. main.cc reads the command
// line. The returned numbers are the program's exit codes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/result.h"
#include "rooms.h"

namespace hyperpod::conformance::cli {

/// What the program ends with, as scripts rely on it.
enum ExitCode {
  conforms = 0,
  does_not_conform = 1,
  usage = 2,
  could_not_judge = 3,
};

/// Options that both suites have.
struct SuiteArguments {
  SuiteArguments();

  Profile profile = Profile::full;
  std::vector<std::string> only;
  std::uint64_t seed;  ///< Drawn afresh for each run of the program.
  double time_scale = 1;
  std::string list;  ///< "text", "json" or "markdown": print the catalogue. Empty: run the suite.
  std::string junit;
  std::string json;
  std::string html;
  bool strict = false;
};

struct DaemonArguments {
  SuiteArguments suite;
  std::string url;
  std::string shm_name;
  std::string bucket = "hyperpod-conformance";
  std::string ca_file;
  std::uint64_t capacity = 0;
  std::string restart_command;
  bool allow_reset = false;
};

struct ClientArguments {
  SuiteArguments suite;
  std::string driver;
  bool check_driver = false;
  unsigned workers = 0;
  unsigned at_once = 4;
};

struct SelfCheckArguments {
  SelfCheckArguments();

  std::string suite = "all";  ///< "daemon", "client" or "all".
  std::vector<std::string> only;
  std::vector<std::string> driver_directories;
  std::string reference_daemon;
  bool whole = false;
  bool whole_core = false;
  bool reasons = false;
  unsigned at_once = 6;
  unsigned seeds = 1;
  std::uint64_t seed;
  double time_scale = 1;
};

/// One process of the many-workers check; the suite starts it itself.
struct WorkerArguments {
  std::string url;
  std::string shm_name;
  std::string bucket;
  std::string ca_file;
  std::string run_id;
  double time_scale = 1;
  unsigned connections = 16;
  long long duration_ms = 1000;
  std::uint64_t seed = 0;
};

int check_daemon(const DaemonArguments& arguments);
int check_client(const ClientArguments& arguments);
int check_self(const SelfCheckArguments& arguments);
int run_worker(const WorkerArguments& arguments);

/// Says so on standard error; returns `code`.
int print_error(int code, const std::string& message);

}  // namespace hyperpod::conformance::cli
