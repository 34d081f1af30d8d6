// SPDX-License-Identifier: Apache-2.0
// hyperpod-kv checkpoint.
#pragma once

#include "command_line.h"
#include "hyperpod/client/options.h"

namespace hyperpod::client::cli {

/// Does one checkpoint command, with progress on stderr if that is a terminal, and returns the
/// program's exit code. A signal that ends the program leaves no unfinished file.
int run_checkpoint(const ClientOptions& options, const CommandLine& line,
                   const CheckpointCommand& command);

}  // namespace hyperpod::client::cli
