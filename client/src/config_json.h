// SPDX-License-Identifier: Apache-2.0
// Reads JSON as LMCache does: as Python's json.loads(), which takes NaN and Infinity as well, and
// of a name given twice the last value.
#pragma once

#include <string_view>

#include "config_value.h"
#include "hyperpod/client/error.h"

namespace hyperpod::client {

/// The value in `text`, which is UTF-8. Objects hold their members down to the second level, as
/// parse_yaml() has it. Errors (invalid_option): what is wrong, and at which byte.
Result<ConfigValue> parse_json(std::string_view text);

}  // namespace hyperpod::client
