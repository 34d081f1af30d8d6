// SPDX-License-Identifier: Apache-2.0
// hyperpod-kv bench: workers, each a client with threads, that put and get objects for a while.
#pragma once

#include "command_line.h"
#include "hyperpod/client/options.h"

namespace hyperpod::client::cli {

/// Shows progress, a table and the distribution of latencies on stderr, the figures as JSON on
/// stdout, and returns the exit code: 0, or 1 if a byte was read that nobody stored there, or 2 if
/// command.html cannot be written, or 3 if no operation succeeded. An interrupt ends the run early.
int run_bench(const ClientOptions& options, const BenchCommand& command);

}  // namespace hyperpod::client::cli
