// SPDX-License-Identifier: Apache-2.0
#include "load/latencies.h"

#include <gtest/gtest.h>

namespace hyperpod::bench {
namespace {

using namespace std::chrono_literals;

TEST(Latencies, PercentilesAreValuesThatWereRecorded) {
  Latencies latencies;
  for (int i = 100; i >= 1; --i) latencies.record(std::chrono::nanoseconds(i));
  EXPECT_EQ(latencies.percentile(0.5), 50ns);
  EXPECT_EQ(latencies.percentile(0.99), 99ns);
  EXPECT_EQ(latencies.min(), 1ns);
  EXPECT_EQ(latencies.max(), 100ns);
}

TEST(Latencies, MergingCountsBoth) {
  Latencies one;
  one.record(1ns);
  Latencies other;
  other.record(9ns);
  one.merge(other);
  EXPECT_EQ(one.count(), 2u);
  EXPECT_EQ(one.max(), 9ns);
}

TEST(Latencies, OfNothingAreZero) { EXPECT_EQ(Latencies().percentile(0.99), 0ns); }

}  // namespace
}  // namespace hyperpod::bench
