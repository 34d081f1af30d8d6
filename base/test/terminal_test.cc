// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/terminal.h"

#include <gtest/gtest.h>

#include <string_view>

namespace hyperpod::base {
namespace {

bool is_text(std::string_view text) { return is_printable(std::as_bytes(std::span(text))); }

TEST(Terminal, TellsHowFarAWorkHasComeAndHowLongItTakes) {
  using namespace std::chrono_literals;
  EXPECT_EQ(progress_bar(12, 48, 10s), "[######..................] 12/48, about 30 s left");
  EXPECT_EQ(progress_bar(48, 48, 10s), "[########################] 48/48");
  EXPECT_EQ(progress_bar(0, 48, 0s), "[........................] 0/48");
  EXPECT_EQ(progress_bar(0, 0, 0s), "[########################] 0/0");
  EXPECT_EQ(progress_bar(1, 1'000'000, 24h),
            "[........................] 1/1000000, about 86399913600 s left");
}

TEST(Terminal, TakesTextForPrintable) {
  EXPECT_TRUE(is_text(""));
  EXPECT_TRUE(is_text("line\n\tline\r\n"));
  EXPECT_TRUE(is_text("\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80"));
}

TEST(Terminal, TakesControlCharactersAndBrokenUtf8ForBinary) {
  using namespace std::string_view_literals;
  for (const auto text : {"\0"sv, "\x1b[31m"sv, "\x7f"sv, "\xc2\x9b"sv, "\xff"sv, "\xc3"sv,
                          "\xc0\x80"sv, "\xe0\x80\x80"sv, "\xed\xa0\x80"sv, "\xf4\x90\x80\x80"sv,
                          "\xf0\x80\x80\x80"sv, "\xe2\x82"sv, "\x80"sv}) {
    EXPECT_FALSE(is_text(text));
  }
}

}  // namespace
}  // namespace hyperpod::base
