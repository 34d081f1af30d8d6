// SPDX-License-Identifier: Apache-2.0
// Files that are part of the program; the build makes the constants of them.
#pragma once

#include <string_view>

namespace hyperpod::emulator::admin::embedded {

extern const std::string_view page;
extern const std::string_view page_style;
extern const std::string_view page_script;
/// Every file of fixtures/scenarios, each behind a line "#: NAME".
extern const std::string_view scenarios;

}  // namespace hyperpod::emulator::admin::embedded
