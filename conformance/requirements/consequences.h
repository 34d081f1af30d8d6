// SPDX-License-Identifier: Apache-2.0
// What it costs a user when a requirement is not kept.
#pragma once

#include <string_view>

#include "requirements/catalogue.h"

namespace hyperpod::conformance::requirements {

/// One sentence, for people. Every requirement has one.
std::string_view consequence(const Requirement& requirement);

/// Which public client relies on a requirement, or where it was observed, in words; "" for what
/// nobody is known to rely on.
std::string_view relied_on_by(const Requirement& requirement);

}  // namespace hyperpod::conformance::requirements
