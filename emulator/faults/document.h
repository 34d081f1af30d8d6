// SPDX-License-Identifier: Apache-2.0
// JSON and YAML documents of others, as JSON values.
//
// Pure functions; any thread. An error says where in the document it lies.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::faults {

/// Strict JSON, of at most 16 levels, in which no member is given twice.
Result<nlohmann::json> parse_json(std::string_view text);

/// One YAML document as the JSON it stands for, under the same rules. A plain scalar that is not a
/// JSON number, boolean or null is a string, so that 0600 and 250ms need no quotes.
Result<nlohmann::json> parse_yaml(std::string_view text);

}  // namespace hyperpod::emulator::faults
