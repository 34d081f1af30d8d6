// SPDX-License-Identifier: Apache-2.0
// The options of the client that hyperpod-kv uses.
#pragma once

#include "command_line.h"
#include "hyperpod/client/options.h"

namespace hyperpod::client::cli {

/// Where the daemon is if nothing says so.
constexpr const char* default_url = "http://127.0.0.1:9200";

/// Puts what the command line says in place of what LMCache's configuration says.
void override_options(const CommandLine& line, ClientOptions& options);

/// LMCache's configuration, overridden by the command line, with a logger to stderr. Errors: as
/// load_options().
Result<ClientOptions> make_options(const CommandLine& line);

}  // namespace hyperpod::client::cli
