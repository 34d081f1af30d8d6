// SPDX-License-Identifier: Apache-2.0
// What each command of hyperpod-kv does. Each returns the program's exit code and tells problems on
// stderr, one line each.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "command_line.h"
#include "hyperpod/client/client.h"

namespace hyperpod::client::cli {

int run_put(Client& client, const PutCommand& command);
/// `bucket` is named with a miss.
int run_get(Client& client, const GetCommand& command, const ReadOptions& read,
            const std::optional<std::string>& bucket);
int run_exists(Client& client, const ExistsCommand& command, const ReadOptions& read);

/// What to say of a get whose lease did not last.
std::string expired_lease(std::string_view key);

/// Tells a problem on stderr, in one line whatever others have written into it.
void complain(std::string_view message);

/// Tells the error, behind what it is `about`, and returns the exit code that goes with it.
int fail(const Error& error, const std::string& about = {});

}  // namespace hyperpod::client::cli
