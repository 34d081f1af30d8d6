// SPDX-License-Identifier: Apache-2.0
#include "latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace hyperpod::client::cli {

std::size_t LatencyHistogram::bucket_of(std::uint64_t nanoseconds) {
  constexpr std::uint64_t steps = 1u << steps_bits;
  if (nanoseconds < steps) return nanoseconds;
  const auto shift = static_cast<unsigned>(std::bit_width(nanoseconds)) - 1 - steps_bits;
  return (static_cast<std::size_t>(shift) << steps_bits) + (nanoseconds >> shift);
}

std::uint64_t LatencyHistogram::upper_end(std::size_t bucket) {
  constexpr std::size_t steps = 1u << steps_bits;
  if (bucket < steps) return bucket;
  const std::size_t shift = (bucket >> steps_bits) - 1;
  const std::uint64_t first = (steps + bucket % steps) << shift;
  return first + (std::uint64_t{1} << shift) - 1;
}

void LatencyHistogram::add(std::chrono::nanoseconds latency) {
  const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(latency.count(), 0));
  ++buckets_[bucket_of(value)];
  ++count_;
  longest_ = std::max(longest_, latency);
}

void LatencyHistogram::add(const LatencyHistogram& other) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  longest_ = std::max(longest_, other.longest_);
}

std::vector<LatencyHistogram::Bucket> LatencyHistogram::buckets(unsigned steps) const {
  const std::size_t merged = (1u << steps_bits) / steps;
  std::vector<Bucket> all;
  for (std::size_t i = 0; i < buckets_.size(); i += merged) {
    std::uint64_t count = 0;
    for (std::size_t k = i; k < i + merged; ++k) count += buckets_[k];
    if (count == 0 && all.empty()) continue;
    const std::uint64_t from = i == 0 ? 0 : upper_end(i - 1) + 1;
    all.push_back({std::chrono::nanoseconds{from},
                   std::chrono::nanoseconds{upper_end(i + merged - 1) + 1}, count});
  }
  while (!all.empty() && all.back().count == 0) all.pop_back();
  return all;
}

std::chrono::nanoseconds LatencyHistogram::quantile(double share) const {
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size() && count_ > 0; ++i) {
    seen += buckets_[i];
    if (seen >= std::max<std::uint64_t>(wanted, 1)) {
      return std::min(std::chrono::nanoseconds{upper_end(i)}, longest_);
    }
  }
  return std::chrono::nanoseconds{0};
}

}  // namespace hyperpod::client::cli
