// SPDX-License-Identifier: Apache-2.0
// The effects of faults: one table, from which their JSON, its schema and the rules about what can
// be together are made. A new effect is a field of Effects and a row of the table.
//
// Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::faults {

/// A bit for each operation.
using OperationSet = unsigned;

constexpr OperationSet operation_bit(FaultOperation operation) {
  return 1u << static_cast<unsigned>(operation);
}

/// put, lease and release.
inline constexpr OperationSet kv_requests = operation_bit(FaultOperation::put) |
                                            operation_bit(FaultOperation::lease) |
                                            operation_bit(FaultOperation::release);
/// Those, and the requests of the checkpoint API.
inline constexpr OperationSet all_requests = kv_requests |
                                             operation_bit(FaultOperation::checkpoint_put) |
                                             operation_bit(FaultOperation::checkpoint_get) |
                                             operation_bit(FaultOperation::checkpoint_delete) |
                                             operation_bit(FaultOperation::checkpoint_namespace);

struct FieldProblem {
  std::string field;  ///< Its path within the fault, "match.probability".
  std::string what;   ///< "must be in (0, 1], not 2"
};

/// The first thing wrong with `effects`, whose path is `path`. Narrows `operations` to those that
/// all of `effects` can be done to.
std::optional<FieldProblem> find_problem(const Effects& effects, const std::string& path,
                                         OperationSet& operations);

/// Those of `operations` that all of `effects` can be done to.
OperationSet operations_met(const Effects& effects, OperationSet operations);

/// Reads a JSON object whose path is `path`. What find_problem looks at is not checked.
Result<void> read_effects(const nlohmann::json& value, const std::string& path, Effects& out);
/// Without what has its default.
nlohmann::json write_effects(const Effects& effects);
/// The JSON schema of effects, as OpenAPI has it.
nlohmann::ordered_json effects_schema();
/// The JSON schema of an incident's name.
nlohmann::ordered_json incident_schema();

}  // namespace hyperpod::emulator::faults
