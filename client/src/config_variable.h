// SPDX-License-Identifier: Apache-2.0
// What LMCache takes the text of an LMCACHE_* variable to be.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::client {

/// The value of a variable that holds `text`: without white space at its ends, and, where it stands
/// in quotes, what Python's literal in these quotes means, escapes included; text in quotes that is
/// not such a literal loses its quotes alone. \N{NAME} escapes are not known.
std::string variable_value(std::string_view text);

}  // namespace hyperpod::client
