// SPDX-License-Identifier: Apache-2.0
#include "faults/glob.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace hyperpod::emulator::faults {
namespace {

/// The definition of a glob, without regard for time.
bool defined_to_match(std::string_view glob, std::string_view text) {
  if (glob.empty()) return text.empty();
  if (glob.front() == '*') {
    return defined_to_match(glob.substr(1), text) ||
           (!text.empty() && defined_to_match(glob, text.substr(1)));
  }
  return !text.empty() && (glob.front() == '?' || glob.front() == text.front()) &&
         defined_to_match(glob.substr(1), text.substr(1));
}

RC_GTEST_PROP(Glob, MatchesAsDefined, ()) {
  const auto any_of = [](const std::string& alphabet) {
    return rc::gen::resize(9, rc::gen::container<std::string>(rc::gen::elementOf(alphabet)));
  };
  const std::string glob = *any_of("ab*?");
  const std::string text = *any_of("ab");
  RC_CLASSIFY(defined_to_match(glob, text), "matches");
  RC_ASSERT(glob_matches(glob, text) == defined_to_match(glob, text));
}

TEST(Glob, OnlyStarAndQuestionMarkAreSpecial) {
  EXPECT_TRUE(glob_matches("[a-z]\\.{b}", "[a-z]\\.{b}"));
  EXPECT_FALSE(glob_matches("[a-z]", "b"));
  EXPECT_TRUE(glob_matches("a*", "a*"));
  EXPECT_TRUE(glob_matches("*/*", "org/model"));
}

TEST(Glob, AQuestionMarkIsOneByte) {
  EXPECT_FALSE(glob_matches("?", ""));
  EXPECT_FALSE(glob_matches("?", "é"));
  EXPECT_TRUE(glob_matches("??", "é"));
}

TEST(Glob, AHostilePairTakesNoMoreThanItsProduct) {
  std::string glob;
  while (glob.size() < 1'000) glob += "*a";
  EXPECT_FALSE(glob_matches(glob + "b", std::string(16'384, 'a')));
  EXPECT_FALSE(glob_matches("*" + std::string(1'000, 'a') + "b", std::string(16'384, 'a')));
}

}  // namespace
}  // namespace hyperpod::emulator::faults
