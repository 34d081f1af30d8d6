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

}  // namespace hyperpod::emulator::faults
