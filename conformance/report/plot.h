// Plots as pictures within an HTML page.
#pragma once

#include <string>

#include "report/result.h"

namespace hyperpod::conformance {

/// An SVG element in the page's own colours: a lane for each series, on one scale, with the limit
/// drawn across it and the peak told beside it.
std::string to_svg(const Plot& plot);

}  // namespace hyperpod::conformance
