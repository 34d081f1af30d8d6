// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/text.h"

#include <gtest/gtest.h>

#include <string_view>

namespace hyperpod::base {
namespace {

using namespace std::string_view_literals;

TEST(Text, ReadsOneCharacterAtATime) {
  const auto euro = first_character("\xe2\x82\xac and more");
  ASSERT_TRUE(euro);
  EXPECT_EQ(euro->code, U'\u20ac');
  EXPECT_EQ(euro->size, 3u);
  EXPECT_EQ(first_character("a")->code, U'a');
  EXPECT_EQ(first_character("\0"sv)->size, 1u);
  EXPECT_EQ(first_character("\xf4\x8f\xbf\xbf")->code, U'\U0010ffff');
}

TEST(Text, ReadsNothingThatIsNotUtf8) {
  for (const auto text :
       {"\x80"sv, "\xff"sv, "\xc3"sv, "\xc3("sv, "\xe2\x82"sv, "\xc0\x80"sv, "\xe0\x80\x80"sv,
        "\xf0\x80\x80\x80"sv, "\xed\xa0\x80"sv, "\xf4\x90\x80\x80"sv, "\xf8\x88\x80\x80\x80"sv}) {
    EXPECT_FALSE(first_character(text)) << printable(text);
  }
}

TEST(Text, AppendsEachCharacterAsItIsRead) {
  for (const char32_t code : {U'\0', U'a', U'\u007f', U'\u0080', U'\u07ff', U'\u0800', U'\ud7ff',
                              U'\ue000', U'\uffff', U'\U00010000', U'\U0010ffff'}) {
    std::string text;
    append_utf8(text, code);
    const auto read = first_character(text);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->code, code);
    EXPECT_EQ(read->size, text.size());
  }
}

TEST(Text, AppendsAReplacementForWhatIsNotACharacter) {
  for (const char32_t code : {0xd800, 0xdfff, 0x110000}) {
    std::string text;
    append_utf8(text, code);
    EXPECT_EQ(text, "\xef\xbf\xbd");
  }
}

TEST(Text, EscapesWhatWouldBreakALineOrDriveATerminal) {
  EXPECT_EQ(printable("Schl\xc3\xbcssel '\\'"), "Schl\xc3\xbcssel '\\'");
  EXPECT_EQ(printable("a\nb\tc\r\x1b[31m\x7f\0"sv), "a\\nb\\tc\\x0d\\x1b[31m\\x7f\\x00");
  EXPECT_EQ(printable("\xc2\x9bm \xe2\x80\xa8 \xe2\x80\xae"), "\\u009bm \\u2028 \\u202e");
  EXPECT_EQ(printable("caf\xe9"), "caf\\xe9");
}

TEST(Text, QuotesAndCutsWhatIsLong) {
  EXPECT_EQ(base::quoted("a\nb"), "'a\\nb'");
  EXPECT_EQ(base::quoted(std::string(80, 'x')), "'" + std::string(80, 'x') + "'");
  EXPECT_EQ(base::quoted(std::string(81, 'x')), "'" + std::string(80, 'x') + "...'");
  EXPECT_EQ(base::quoted(std::string(79, 'x') + "\u00e9tat"), "'" + std::string(79, 'x') + "...'")
      << "no character is cut in two";
  EXPECT_EQ(base::quoted(std::string(77, 'x') + "\U0001f600!"),
            "'" + std::string(77, 'x') + "...'");
}

TEST(Text, WritesAStringOfJson) {
  EXPECT_EQ(json_string("a\"b\\c\n\xc3\xbc\xff"), "\"a\\\"b\\\\c\\u000a\xc3\xbc\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace hyperpod::base
