// SPDX-License-Identifier: Apache-2.0
#include "rows/comparison.h"

#include <gtest/gtest.h>

namespace hyperpod::bench {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(median({}), 0);
}

TEST(Compare, TakesTurnsAndComparesWithinARound) {
  std::string order;
  double ours = 0;
  double theirs = 0;
  const auto comparison = compare(
      3,
      [&]() -> Result<double> {
        order += 'A';
        return ours += 10;
      },
      [&]() -> Result<double> {
        order += 'B';
        return theirs += 20;
      });
  ASSERT_TRUE(comparison);
  EXPECT_EQ(order, "ABABAB");
  EXPECT_EQ(comparison->ratio(), 0.5);
}

TEST(Compare, EndsAtTheFirstFailure) {
  int calls = 0;
  const auto comparison = compare(
      5,
      [&]() -> Result<double> {
        ++calls;
        return failure("broken");
      },
      []() -> Result<double> { return 1; });
  EXPECT_FALSE(comparison);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace hyperpod::bench
