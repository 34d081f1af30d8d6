// SPDX-License-Identifier: Apache-2.0
// What makes sense in a fault, and to whom it can be done.
//
// Pure; any thread.
#pragma once

#include <optional>

#include "faults/effects.h"
#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::faults {

/// The first thing wrong with `fault`.
std::optional<FieldProblem> find_problem(const Fault& fault);

/// The operations that `fault` meets. REQUIRES a valid one.
OperationSet operations_met(const Fault& fault);

}  // namespace hyperpod::emulator::faults
