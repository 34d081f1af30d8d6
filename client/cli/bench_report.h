// SPDX-License-Identifier: Apache-2.0
// How the latencies of a benchmark are shown: as lines of text, and as a page with plots.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "latency_histogram.h"

namespace hyperpod::client::cli {

/// The operations of one kind.
struct LatencySeries {
  std::string name;
  const LatencyHistogram& histogram;
};

/// A line with a bar for each power of two of microseconds; empty if there were no operations.
std::string to_lines(const LatencySeries& series);

/// A page that stands alone: the figures, and a plot of each series with its percentiles. `figures`
/// is the benchmark's report in JSON.
std::string to_page(const nlohmann::json& figures, const std::vector<LatencySeries>& all);

}  // namespace hyperpod::client::cli
