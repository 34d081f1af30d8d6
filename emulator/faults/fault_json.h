// SPDX-License-Identifier: Apache-2.0
// The schema of faults, for whatever document they stand in.
//
// Pure; any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::faults {

/// As faults_from_json, from a parsed document.
Result<std::vector<Fault>> read_scenario(const nlohmann::json& document);

/// The JSON schema of a fault's match, as OpenAPI has it. effects.h has that of its effects.
nlohmann::ordered_json match_schema();

}  // namespace hyperpod::emulator::faults
