// SPDX-License-Identifier: Apache-2.0
// What makes sense in a fault, and to whom it can be done.
//
// Pure; any thread.
#pragma once

#include <optional>
#include <string>

#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::faults {

/// A bit for each operation: 1 << operation.
using OperationSet = unsigned;

constexpr OperationSet just(FaultOperation operation) {
  return 1u << static_cast<unsigned>(operation);
}

struct FieldProblem {
  std::string field;  ///< Its path within the fault, "match.probability".
  std::string what;   ///< "must be in (0, 1], not 2"
};

/// The first thing wrong with `fault`.
std::optional<FieldProblem> find_problem(const Fault& fault);

/// The operations that `fault` meets. REQUIRES a valid one.
OperationSet operations_met(const Fault& fault);

}  // namespace hyperpod::emulator::faults
