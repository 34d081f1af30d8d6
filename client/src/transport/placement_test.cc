// SPDX-License-Identifier: Apache-2.0
#include "transport/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace hyperpod::client::transport {
namespace {

const std::vector<std::string> nodes{"10.0.0.1:9200", "10.0.0.2:9200", "10.0.0.3:9200",
                                     "[fd00::4]:9200"};

TEST(Placement, IsTheSameEverywhereAndForever) {
  EXPECT_EQ(placement_score("10.0.0.1:9200", "key"), 0x9435be0bdf61eb05u);
  EXPECT_EQ(placement_score("", ""), 0x25fc6dd36ce04b20u);
}

TEST(Placement, SpreadsKeysEvenly) {
  std::vector<int> keys(nodes.size());
  constexpr int count = 40'000;
  for (int i = 0; i < count; ++i) ++keys[place(nodes, "m@1@0@" + std::to_string(i) + "@half")];
  for (int n : keys) EXPECT_NEAR(n, count / 4, count / 4 * 0.04);
}

TEST(Placement, MovesOnlyTheKeysOfADaemonThatGoes) {
  const std::vector<std::string> fewer(nodes.begin(), nodes.end() - 1);
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "key-" + std::to_string(i);
    const auto before = place(nodes, key);
    EXPECT_TRUE(before == fewer.size() || place(fewer, key) == before) << key;
  }
}

TEST(Placement, DoesNotDependOnTheOrderOfTheList) {
  auto reversed = nodes;
  std::reverse(reversed.begin(), reversed.end());
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "key-" + std::to_string(i);
    EXPECT_EQ(nodes[place(nodes, key)], reversed[place(reversed, key)]);
  }
}

}  // namespace
}  // namespace hyperpod::client::transport
