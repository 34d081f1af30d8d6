// SPDX-License-Identifier: Apache-2.0
// Tells the author of a driver what it gets wrong, before it is trusted to speak for a client:
// every command of docs/drivers.md, with a daemon that the suite plays, and what a driver meets
// beside them.
//
// One thread calls check_driver() at a time, with SIGPIPE blocked or ignored. However a driver
// behaves, it returns: each response has a deadline, and what still runs in the end is killed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "probe/time.h"

namespace hyperpod::conformance::client {

/// One thing that is not as docs/drivers.md says.
struct DriverFinding {
  enum class Weight {
    wrong,  ///< The suite cannot judge the client rightly.
    hint,   ///< It can, or the client may be to blame and not its driver.
  } weight;
  std::string sent;  ///< The command, or what was done.
  std::string expected;
  std::string came;

  /// For people, on one line.
  std::string line() const;
};

struct DriverCheck {
  std::string client;          ///< As `hello` tells; empty if it did not.
  bool not_installed = false;  ///< The driver says so, with exit code 77; no more was examined.
  std::vector<DriverFinding> findings;
  std::vector<std::string> not_offered;  ///< Operations; nothing of them was examined.
  bool complete = false;                 ///< The driver bore with the examination to its end.
  std::string error_output;              ///< The end of its standard error.

  bool passed() const;
  /// For people: a line for each finding, and a last one that sums up.
  std::string text() const;
};

struct DriverCheckOptions {
  std::string command;  ///< A simple shell command.
  /// For the response to the first command: a client may take long to load.
  std::chrono::milliseconds start_patience{60'000};
  std::chrono::milliseconds patience{10'000};  ///< For all others.
};

/// Error: failed, if the check itself could not be carried out.
Result<DriverCheck> check_driver(const DriverCheckOptions& options);

}  // namespace hyperpod::conformance::client
