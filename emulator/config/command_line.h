// SPDX-License-Identifier: Apache-2.0
// The command line and the environment of hyperpod-emulator.
//
// Not thread-safe; used before any thread starts.
#pragma once

#include <string>
#include <variant>

#include "config/configuration.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::config {

/// Text that was asked for instead of a run: help, version, list of options.
struct Printout {
  std::string text;
};

/// A question to a running emulator, to be answered by the exit status.
struct Healthcheck {
  std::string url;  ///< Of its admin port.
};

using Command = std::variant<Configuration, Printout, Healthcheck>;

/// Reads the arguments, the environment and the file that --config names: command line over
/// environment over file over default. Each option is also a variable (see variable_of); an empty
/// one counts as not set. `environment` is as main() gets it: "NAME=value", a null pointer last.
/// An Error's message is one line that names the option, the variable, or the file, line and key,
/// and the way out.
Result<Command> parse_command_line(int argc, const char* const* argv,
                                   const char* const* environment);

}  // namespace hyperpod::emulator::config
