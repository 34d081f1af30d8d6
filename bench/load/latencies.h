// SPDX-License-Identifier: Apache-2.0
// How long requests took: every one is kept, so that percentiles are exact.
//
// Not synchronised: one for each thread, merged at the end.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace hyperpod::bench {

class Latencies {
 public:
  void record(std::chrono::nanoseconds latency) { values_.push_back(latency); }
  void merge(const Latencies& other);

  std::size_t count() const { return values_.size(); }
  /// The smallest latency that `share` (0..1) of all do not exceed; zero if there are none.
  std::chrono::nanoseconds percentile(double share) const;
  std::chrono::nanoseconds min() const { return percentile(0.0); }
  std::chrono::nanoseconds max() const { return percentile(1.0); }

 private:
  mutable std::vector<std::chrono::nanoseconds> values_;  // reordered by percentile()
};

}  // namespace hyperpod::bench
