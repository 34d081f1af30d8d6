// SPDX-License-Identifier: Apache-2.0
// Two contenders measured in turn, so that a noisy machine disturbs both alike.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "error.h"

namespace hyperpod::bench {

/// The median; of an even number of values the mean of the middle two. Zero of none.
double median(std::vector<double> values);

struct Comparison {
  std::vector<double> ours;
  std::vector<double> theirs;

  /// The median over the rounds of ours / theirs within a round.
  double ratio() const;
  nlohmann::json details() const;
};

using Measure = std::function<Result<double>()>;

/// Measures ours, theirs, ours, theirs, … for `rounds` rounds.
Result<Comparison> compare(unsigned rounds, const Measure& ours, const Measure& theirs);

}  // namespace hyperpod::bench
