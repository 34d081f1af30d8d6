// SPDX-License-Identifier: Apache-2.0
// The command line of hyperpod-kv.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace hyperpod::client::cli {

struct PutCommand {
  std::string key;
  std::string file;  // "-" is standard input
};

struct GetCommand {
  std::string key;
  std::optional<std::string> file;  // "-" and no value: standard output
};

struct ExistsCommand {
  std::vector<std::string> keys;
};

struct BenchCommand {
  unsigned workers = 1;  // clients, as each worker of an engine has its own
  unsigned threads = 4;  // of each worker
  std::uint64_t object_bytes = 1 << 20;
  double read_share = 0.9;
  std::chrono::milliseconds duration{10'000};
  std::uint64_t keys = 64;
  std::string prefix = "bench";
  bool verify = false;
  std::string html;  // where to write the plots; empty: nowhere
};

struct DoctorCommand {
  unsigned workers = 1;
  bool json = false;
};

/// What names a shard.
struct ShardName {
  std::string name;  // of the namespace
  std::uint64_t rank = 0;
  std::uint64_t step = 0;
};

struct NamespacesCommand {
  std::string name;
  std::optional<std::uint64_t> num_ranks;  // both or neither: create it
  std::optional<std::uint64_t> steps_retained;
  bool remove = false;
};

struct ShardPutCommand {
  ShardName shard;
  std::string file;  // "-" is standard input
};

struct ShardGetCommand {
  ShardName shard;
  std::optional<std::string> file;  // "-" and no value: standard output
};

struct LatestCommand {
  std::string name;
  std::uint64_t limit = 5;
};

struct ShardDeleteCommand {
  ShardName shard;
};

struct ResetCommand {
  bool yes = false;
};

using CheckpointCommand = std::variant<NamespacesCommand, ShardPutCommand, ShardGetCommand,
                                       LatestCommand, ShardDeleteCommand, ResetCommand>;

struct CommandLine {
  std::optional<std::string> config;
  std::optional<std::string> url;
  std::optional<std::string> bucket;
  std::optional<std::string> shm_name;
  std::optional<std::string> ca_file;
  std::optional<std::chrono::milliseconds> wait;
  std::optional<std::chrono::milliseconds> timeout;
  std::string log_level = "warn";
  std::uint32_t retries = 0;  // of checkpoint commands
  std::variant<PutCommand, GetCommand, ExistsCommand, CheckpointCommand, BenchCommand,
               DoctorCommand>
      command;
};

/// What main() is to do: the parsed command line, or a text to print and an exit code.
struct EarlyExit {
  int code;
  std::string text;
};
using Parsed = std::variant<CommandLine, EarlyExit>;

/// Never fails: what cannot be parsed is an EarlyExit with exit_usage and one line that names the
/// offending word and, for a misspelt command or option, the one that was probably meant.
Parsed parse_command_line(int argc, const char* const* argv);

}  // namespace hyperpod::client::cli
