// SPDX-License-Identifier: Apache-2.0
// How long operations took, in buckets of at most an eighth of their value.
//
// One thread at a time may use a histogram.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace hyperpod::client::cli {

class LatencyHistogram {
 public:
  void add(std::chrono::nanoseconds latency);
  void add(const LatencyHistogram& other);

  std::uint64_t count() const { return count_; }
  std::chrono::nanoseconds longest() const { return longest_; }
  /// The latency that a `share` (0 to 1) of the operations did not exceed; 0 if there are none.
  std::chrono::nanoseconds quantile(double share) const;

  struct Bucket {
    std::chrono::nanoseconds from;  ///< Inclusive.
    std::chrono::nanoseconds to;    ///< Exclusive.
    std::uint64_t count;
  };
  /// From the first bucket that holds an operation to the last, with the empty ones between.
  /// `steps` (1, 2, 4 or 8) buckets stand for each power of two.
  std::vector<Bucket> buckets(unsigned steps) const;

 private:
  static constexpr unsigned steps_bits = 3;  // eight buckets for each power of two
  static std::size_t bucket_of(std::uint64_t nanoseconds);
  static std::uint64_t upper_end(std::size_t bucket);

  std::array<std::uint64_t, 64u << steps_bits> buckets_{};
  std::uint64_t count_ = 0;
  std::chrono::nanoseconds longest_{0};
};

}  // namespace hyperpod::client::cli
