// The command line of hyperpod-kv.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace CLI {
class App;
}

namespace hyperpod::client::cli {

struct PutCommand {
  std::string key;
  std::string file;  // "-" is standard input
};

struct GetCommand {
  std::string key;
  std::string file = "-";  // standard output
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
};

struct DoctorCommand {
  unsigned workers = 1;
  bool json = false;
};

struct CommandLine {
  std::optional<std::string> config;
  std::optional<std::string> url;
  std::optional<std::string> bucket;
  std::optional<std::string> shm_name;
  std::optional<std::string> ca_file;
  std::optional<std::chrono::milliseconds> wait;
  std::optional<std::chrono::milliseconds> timeout;
  std::string log_level = "warn";
  std::variant<PutCommand, GetCommand, ExistsCommand, BenchCommand, DoctorCommand> command;
};

/// What main() is to do: the parsed command line, or a text to print and an exit code.
struct EarlyExit {
  int code;
  std::string text;
};
using Parsed = std::variant<CommandLine, EarlyExit>;

Parsed parse_command_line(int argc, const char* const* argv);

/// The options of the program and of its commands, which write what they are given into `line` once
/// the App has parsed: for parsing, and for what is made from the options' descriptions.
std::unique_ptr<CLI::App> make_app(CommandLine& line);

}  // namespace hyperpod::client::cli
