// SPDX-License-Identifier: Apache-2.0
// A run as files: for continuous integration, for programs, and for people.
#pragma once

#include <span>
#include <string>

#include "report/report.h"

namespace hyperpod::conformance::report {

/// JUnit XML, a test suite for each chapter. A warning counts as a failure only when `strict`.
std::string to_junit(const Report& report, bool strict);

/// Everything the run found, with what is needed to repeat it.
std::string to_json(const Report& report, bool strict);

/// One page that needs nothing else: no script, no font, no picture.
std::string to_html(const Report& report, bool strict);

/// A catalogue as a JSON array.
std::string catalogue_json(std::span<const Requirement> requirements);

}  // namespace hyperpod::conformance::report
