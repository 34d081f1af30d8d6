// SPDX-License-Identifier: Apache-2.0
#include "load/latencies.h"

#include <algorithm>
#include <cmath>

namespace hyperpod::bench {

void Latencies::merge(const Latencies& other) {
  values_.insert(values_.end(), other.values_.begin(), other.values_.end());
}

std::chrono::nanoseconds Latencies::percentile(double share) const {
  if (values_.empty()) return {};
  const double rank = std::ceil(share * static_cast<double>(values_.size()));
  const auto index = std::clamp<std::ptrdiff_t>(std::lround(rank) - 1, 0, std::ssize(values_) - 1);
  std::nth_element(values_.begin(), values_.begin() + index, values_.end());
  return values_[static_cast<std::size_t>(index)];
}

}  // namespace hyperpod::bench
