// SPDX-License-Identifier: Apache-2.0
// The process that wraps a client under test: started, spoken to, stopped, continued and ended.
//
// docs/drivers.md has the protocol: a JSON object a line each way. One thread uses a Driver at a
// time, with SIGPIPE blocked or ignored. What the process does wrong comes back as an Error: closed
// (it ended), timed_out (it said nothing in time), malformed (what it said is not a response).
#pragma once

#include <sys/types.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "hyperpod/base/child_process.h"
#include "probe/time.h"

namespace hyperpod::conformance::client {

using Json = nlohmann::ordered_json;

/// What a line of a driver says; discarded if it is not JSON, or nested deeper than 100. Members
/// that are null are left out, also those of the objects in its arrays: many serializers write a
/// member without a value so.
Json response_in(std::string_view line);

/// What a driver has printed, on one line and of a length that can be read.
std::string shortened(std::string text);

/// How a process ended, as Driver::wait() says.
std::string end_told(int status);

class Driver {
 public:
  struct Settings {
    /// A shell command. It runs as if typed into a shell; signals reach all of its processes.
    std::string command;
    /// Without the right of root to open what its mode forbids.
    bool obey_modes = false;
  };

  /// Errors: out_of_resources, failed.
  static Result<Driver> start(const Settings& settings);

  /// Sends `command` and waits for its response. Its "id" is set here.
  Result<Json> ask(Json command, Duration patience);

  // The halves of ask(), for commands during which something is to happen.
  Result<void> send(Json command, Duration patience);
  Result<Json> receive(Duration patience);

  /// How the process ended, and what it said on standard error. Waits for that a little.
  std::string ending();

  /// A line as it is; a line break is added.
  Result<void> send_line(const std::string& line, Duration patience);
  /// The next line that the process prints, without its line break.
  Result<std::string> receive_line(Duration patience);

  void finish_input();  ///< The process finds the end of its standard input.

  void signal(int number);
  /// Sends SIGSTOP and waits until the kernel says that the process has stopped. False if it ended.
  bool stop();
  void resume() { signal(SIGCONT); }

  /// Waits for the process's end. Its exit code, or minus the number of the signal that ended it;
  /// nullopt if it is not over in time.
  std::optional<int> wait(Duration patience);

  pid_t pid() const { return process_.pid(); }
  /// The end of what the process printed on standard error.
  std::string error_output() const;

 private:
  explicit Driver(base::ChildProcess process) : process_(std::move(process)) {}

  base::ChildProcess process_;
  std::string received_;
  std::uint64_t last_id_ = 0;
};

}  // namespace hyperpod::conformance::client
