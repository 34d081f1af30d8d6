// SPDX-License-Identifier: Apache-2.0
#include "core/lease_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

namespace hyperpod::emulator::core::lease_id_test {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

TEST(LeaseId, IsTwentyTwoCharactersThatNeedNoPercentEncoding) {
  for (int i = 0; i < 1000; ++i) {
    const auto id = LeaseId::generate();
    EXPECT_EQ(id.text().size(), 22u);
    EXPECT_EQ(id.text().find_first_not_of(alphabet), std::string_view::npos) << id.text();
  }
}

// 132 bits need each of 64 characters equally often at each of the 22 places.
TEST(LeaseId, DrawsEachCharacterEquallyOftenAtEachPlace) {
  constexpr int ids = 64 * 400;
  std::array<std::map<char, int>, LeaseId::length> counts;
  for (int i = 0; i < ids; ++i) {
    const auto id = LeaseId::generate();
    for (std::size_t place = 0; place < LeaseId::length; ++place) ++counts[place][id.text()[place]];
  }
  for (const auto& at_place : counts) {
    EXPECT_EQ(at_place.size(), alphabet.size());
    for (const auto& [character, count] : at_place) {
      EXPECT_GT(count, 400 / 2) << character;  // ten standard deviations
      EXPECT_LT(count, 400 * 3 / 2) << character;
    }
  }
}

TEST(LeaseId, IsNeverGivenTwiceWhateverTheThread) {
  constexpr std::size_t threads = 4, each = 20'000;
  std::vector<std::vector<LeaseId>> drawn(threads);
  std::vector<std::thread> workers;
  for (auto& ids : drawn) {
    workers.emplace_back(
        [&ids] { std::generate_n(std::back_inserter(ids), each, LeaseId::generate); });
  }
  for (auto& worker : workers) worker.join();
  std::unordered_set<LeaseId> all;
  for (const auto& ids : drawn) all.insert(ids.begin(), ids.end());
  EXPECT_EQ(all.size(), threads * each);
}

TEST(LeaseId, ParsesItsOwnText) {
  const auto id = LeaseId::generate();
  const auto parsed = LeaseId::parse(std::string(id.text()));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, id);
  EXPECT_EQ(std::hash<LeaseId>{}(*parsed), std::hash<LeaseId>{}(id));
  EXPECT_NE(*parsed, LeaseId::generate());
}

TEST(LeaseId, ParsesEveryCharacterOfItsAlphabet) {
  for (const char character : alphabet) {
    EXPECT_TRUE(LeaseId::parse(std::string(LeaseId::length, character))) << character;
  }
}

TEST(LeaseId, RefusesTextThatCannotBeOne) {
  const std::string id(LeaseId::generate().text());
  EXPECT_FALSE(LeaseId::parse(""));
  EXPECT_FALSE(LeaseId::parse(id.substr(1)));
  EXPECT_FALSE(LeaseId::parse(id + "A"));
  for (int byte = 0; byte < 256; ++byte) {
    const auto character = static_cast<char>(byte);
    if (alphabet.find(character) != std::string_view::npos) continue;
    std::string foreign = id;
    foreign[LeaseId::length - 1] = character;
    EXPECT_FALSE(LeaseId::parse(foreign)) << byte;
  }
}

TEST(LeaseId, HashesSpreadOverATable) {
  std::unordered_set<LeaseId> ids;
  while (ids.size() < 100'000) ids.insert(LeaseId::generate());
  std::size_t longest = 0;
  for (std::size_t bucket = 0; bucket < ids.bucket_count(); ++bucket) {
    longest = std::max(longest, ids.bucket_size(bucket));
  }
  EXPECT_LT(longest, 20u);  // at a load of at most 1 a uniform hash gives about 9
}

}  // namespace
}  // namespace hyperpod::emulator::core::lease_id_test
