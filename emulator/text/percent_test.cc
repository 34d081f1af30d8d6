// SPDX-License-Identifier: Apache-2.0
#include "text/percent.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>

namespace hyperpod::emulator::text {
namespace {

using namespace std::string_literals;

TEST(PercentDecode, DecodesOnce) {
  EXPECT_EQ(percent_decode("a%2540b"), "a%40b");
  EXPECT_EQ(percent_decode("%25"), "%");
  EXPECT_EQ(percent_decode("%2F%2f"), "//");
  EXPECT_EQ(percent_decode("%00"), "\0"s);
  EXPECT_EQ(percent_decode(""), "");
}

TEST(PercentDecode, LeavesEverythingElseAsItIs) {
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("@:~!$&'()*,;="), "@:~!$&'()*,;=");
}

TEST(PercentDecode, RefusesBrokenEscapes) {
  for (const char* broken :
       {"%", "a%", "%4", "a%4", "%%40", "%4g", "%g4", "% 4", "%-1", "%+1", "%0x", "%4%30"}) {
    EXPECT_EQ(percent_decode(broken), std::nullopt) << broken;
  }
}

TEST(PercentDecode, AcceptsUtf8AtItsBounds) {
  for (const char* text : {"%7F", "%C2%80", "%DF%BF", "%E0%A0%80", "%ED%9F%BF", "%EE%80%80",
                           "%EF%BF%BF", "%F0%90%80%80", "%F4%8F%BF%BF", "\xC3\xA4"}) {
    EXPECT_TRUE(percent_decode(text)) << text;
  }
}

TEST(PercentDecode, RefusesWhatIsNoUtf8) {
  for (const char* text : {
           "%80",          "%BF",                                // continuation without lead
           "%C0%80",       "%C1%BF",                             // overlong
           "%E0%80%80",    "%E0%9F%BF",                          // overlong
           "%F0%80%80%80", "%F0%8F%BF%BF",                       // overlong
           "%ED%A0%80",    "%ED%BF%BF",                          // surrogates
           "%F4%90%80%80", "%F5%80%80%80", "%FF",                // beyond Unicode
           "%C3",          "%E2%82",       "%F0%9F%98", "%C3a",  // cut short
           "%E2%28%A1",    "%E2%82%28",    "\xC3",
       }) {
    EXPECT_EQ(percent_decode(text), std::nullopt) << text;
  }
}

std::string encode_all(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    encoded += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return encoded;
}

RC_GTEST_PROP(PercentDecodeProperty, GivesBackWhatWasEncoded, (const std::string& bytes)) {
  const auto decoded = percent_decode(encode_all(bytes));
  if (decoded) RC_ASSERT(*decoded == bytes);
  const bool ascii = std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= 0; });
  if (ascii) RC_ASSERT(decoded.has_value());
}

}  // namespace
}  // namespace hyperpod::emulator::text
