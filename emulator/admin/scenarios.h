// SPDX-License-Identifier: Apache-2.0
// The scenarios that come with the program: fixtures/scenarios.
//
// Any thread.
#pragma once

#include <string>

namespace hyperpod::emulator::admin {

/// {"scenarios":[{"name","description","faults"}]}. Each fault has a name, so that whoever adds it
/// can remove it again.
const std::string& scenarios_document();

}  // namespace hyperpod::emulator::admin
