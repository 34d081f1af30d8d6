// SPDX-License-Identifier: Apache-2.0
// Plots as pictures within an HTML page.
#pragma once

#include <string>

#include "check/result.h"

namespace hyperpod::conformance::report {

/// An SVG element in the page's own colours: a lane for each series, on one scale, with the limit
/// drawn across it and the peak told beside it.
std::string to_svg(const Plot& plot);

}  // namespace hyperpod::conformance::report
