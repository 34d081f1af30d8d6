// SPDX-License-Identifier: Apache-2.0
#include "probe/json.h"

#include <gtest/gtest.h>

namespace hyperpod::conformance::probe {
namespace {

TEST(Json, IsWhatTheGrammarAllows) {
  for (const char* text : {"0", "-0", "1e999", "-1.5E-400", "123456789012345678901234567890",
                           R"("\ud800")", R"("a\/b")", "[]", " [1 , {} ] ",
                           R"({"a":[true,false,null]})", R"({"":0,"":1})", "\t\"\xFF\"\n"})
    EXPECT_TRUE(parse_json(text)) << text;
}

TEST(Json, IsNothingElse) {
  for (const char* text : {"",
                           " ",
                           "01",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "-",
                           "tru",
                           "nul",
                           "'a'",
                           R"("a)",
                           R"("\x")",
                           R"("\u12g4")",
                           "\"a\nb\"",
                           "[1,]",
                           "[1 2]",
                           R"({"a"})",
                           R"({a:1})",
                           R"({"a":1,})",
                           "[",
                           "{",
                           "\xEF\xBB\xBF{}",
                           "{} {}",
                           "NaN",
                           "Infinity"})
    EXPECT_FALSE(parse_json(text)) << text;
}

TEST(Json, IsNestedAsDeeplyAsPythonReadsIt) {
  EXPECT_TRUE(parse_json(std::string(400, '[') + std::string(400, ']')));
  EXPECT_FALSE(parse_json(std::string(100'000, '[')));
}

TEST(Json, TellsIntegersFromOtherNumbers) {
  EXPECT_EQ(parse_json("18446744073709551615")->unsigned_integer(), UINT64_MAX);
  EXPECT_EQ(parse_json("-0")->unsigned_integer(), 0u);
  for (const char* text : {"-1", "18446744073709551616", "1.0", "1e3", "\"1\"", "true"})
    EXPECT_FALSE(parse_json(text)->unsigned_integer()) << text;
}

TEST(Json, UndoesEscapes) {
  EXPECT_EQ(parse_json(R"("a\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00")")->string(),
            "a\"\\/\b\f\n\r\tA\u00e9\u20ac\U0001F600");
  EXPECT_EQ(parse_json(R"("\ud83dx\ude00")")->string(), "\uFFFDx\uFFFD");
}

TEST(Json, FindsTheLastMemberOfAName) {
  const auto value = parse_json(R"({"id": 1, "\u0069d": 2, "ID": 3})");
  ASSERT_TRUE(value);
  EXPECT_EQ(value->find("id")->unsigned_integer(), 2u);
  EXPECT_EQ(value->find("none"), nullptr);
}

}  // namespace
}  // namespace hyperpod::conformance::probe
