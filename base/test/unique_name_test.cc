// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/unique_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>

namespace hyperpod::base {
namespace {

TEST(UniqueName, IsThePrefixAndSixteenHexDigits) {
  EXPECT_THAT(unique_name("a_test_"), testing::MatchesRegex("a_test_[0-9a-f]+"));
  EXPECT_EQ(unique_name("a_test_").size(), 7u + 16u);
}

TEST(UniqueName, IsNeverTheSameTwice) {
  std::set<std::string> names;
  for (int i = 0; i < 1000; ++i) names.insert(unique_name(""));
  EXPECT_EQ(names.size(), 1000u);
}

TEST(UniqueName, DiffersBetweenAProcessAndItsFork) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string name = unique_name("");
    ::_exit(::write(pipe[1], name.data(), name.size()) == 16 ? 0 : 1);
  }
  const std::string mine = unique_name("");
  std::string theirs(16, ' ');
  EXPECT_EQ(::read(pipe[0], theirs.data(), theirs.size()), 16);
  EXPECT_NE(mine, theirs);
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace hyperpod::base
