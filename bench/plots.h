// SPDX-License-Identifier: Apache-2.0
// The figures as drawings, for docs/performance.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "error.h"

namespace hyperpod::bench {

/// A bar of one or two parts that lie end to end.
struct Bar {
  std::string label;
  std::vector<double> parts;  ///< Not negative; the first is drawn darker.
};

/// An SVG of horizontal bars, one below the other, to one scale from zero. It has its text as text,
/// and fits light and dark pages.
std::string bar_chart(const std::string& title, const std::string& unit,
                      const std::vector<Bar>& bars);

/// Writes what the report, as hyperpod-bench --json has it, gives bars for into the existing
/// `folder`: cpu.svg (rows of lease and release against nginx), put.svg (rows of PUT) and
/// engine.svg.
Result<void> write_plots(const nlohmann::json& report, const std::string& folder);

}  // namespace hyperpod::bench
