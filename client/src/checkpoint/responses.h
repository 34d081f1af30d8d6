// SPDX-License-Identifier: Apache-2.0
// What the checkpoint API's JSON says (protocol, "Checkpoints"). Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "hyperpod/client/checkpoints.h"

namespace hyperpod::client::checkpoint {

/// Of the GET of a namespace. The error is half a sentence, to stand behind the daemon's address.
tl::expected<NamespaceNumbers, std::string> parse_namespace(std::string_view body);

/// Of the GET of the latest steps: numbers, or texts of digits, in any order. Newest first, each
/// once. The error is as above.
tl::expected<std::vector<std::uint64_t>, std::string> parse_steps(std::string_view body);

}  // namespace hyperpod::client::checkpoint
