// SPDX-License-Identifier: Apache-2.0
#include "rows/comparison.h"

#include <algorithm>

namespace hyperpod::bench {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

double Comparison::ratio() const {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
  return median(std::move(ratios));
}

nlohmann::json Comparison::details() const {
  return {{"ours", ours},
          {"theirs", theirs},
          {"median_ours", median(ours)},
          {"median_theirs", median(theirs)},
          {"ratio", ratio()}};
}

Result<Comparison> compare(unsigned rounds, const Measure& ours, const Measure& theirs) {
  Comparison comparison;
  for (unsigned round = 0; round < rounds; ++round) {
    const auto our_figure = ours();
    if (!our_figure) return tl::unexpected(our_figure.error());
    const auto their_figure = theirs();
    if (!their_figure) return tl::unexpected(their_figure.error());
    comparison.ours.push_back(*our_figure);
    comparison.theirs.push_back(*their_figure);
  }
  return comparison;
}

}  // namespace hyperpod::bench
