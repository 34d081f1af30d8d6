// SPDX-License-Identifier: Apache-2.0
#include "latency_histogram.h"

#include <gtest/gtest.h>

namespace hyperpod::client::cli {
namespace {

using namespace std::chrono_literals;

TEST(LatencyHistogram, IsRightToAnEighth) {
  for (const auto latency : {0ns, 1ns, 7ns, 8ns, 9ns, 1000ns, 123'456'789ns, 3'600'000'000'000ns}) {
    LatencyHistogram histogram;
    histogram.add(latency);
    histogram.add(24h);  // so that the longest does not hide the bucket's end
    EXPECT_GE(histogram.quantile(0.5), latency);
    EXPECT_LE(histogram.quantile(0.5), latency + latency / 8);
  }
}

TEST(LatencyHistogram, FindsQuantiles) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0ns);
  for (int i = 1; i <= 1000; ++i) histogram.add(i * 1us);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.5).count()), 500'000, 65'000);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.99).count()), 990'000, 10'001);
  EXPECT_EQ(histogram.quantile(1), 1ms);
  EXPECT_EQ(histogram.longest(), 1ms);
}

TEST(LatencyHistogram, AddsUp) {
  LatencyHistogram a;
  LatencyHistogram b;
  a.add(1ms);
  b.add(2ms);
  a.add(b);
  EXPECT_EQ(a.count(), 2u);
  EXPECT_EQ(a.longest(), 2ms);
}

TEST(LatencyHistogram, ListsItsBucketsFromTheFirstToTheLast) {
  LatencyHistogram histogram;
  EXPECT_TRUE(histogram.buckets(1).empty());
  for (const auto latency : {1024ns, 1500ns, 2047ns, 4096ns}) histogram.add(latency);
  const auto doubling = histogram.buckets(1);
  ASSERT_EQ(doubling.size(), 3u);
  EXPECT_EQ(doubling[0].from, 1024ns);
  EXPECT_EQ(doubling[0].to, 2048ns);
  EXPECT_EQ(doubling[0].count, 3u);
  EXPECT_EQ(doubling[1].count, 0u);
  EXPECT_EQ(doubling[2].from, 4096ns);
  EXPECT_EQ(doubling[2].count, 1u);
  EXPECT_EQ(histogram.buckets(8).front().to, 1152ns);
}

}  // namespace
}  // namespace hyperpod::client::cli
