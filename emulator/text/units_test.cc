// SPDX-License-Identifier: Apache-2.0
#include "text/units.h"

#include <gtest/gtest.h>

namespace hyperpod::emulator::text {
namespace {

using std::chrono::milliseconds;

TEST(Sizes, EveryBinaryUnitIsRead) {
  EXPECT_EQ(parse_size("0B"), 0u);
  EXPECT_EQ(parse_size("4096B"), 4096u);
  EXPECT_EQ(parse_size("64KiB"), 64ull << 10);
  EXPECT_EQ(parse_size("64MiB"), 64ull << 20);
  EXPECT_EQ(parse_size("1GiB"), 1ull << 30);
  EXPECT_EQ(parse_size("2TiB"), 2ull << 40);
  EXPECT_EQ(parse_size("3PiB"), 3ull << 50);
  EXPECT_EQ(parse_size("18446744073709551615B"), UINT64_MAX);
}

TEST(Sizes, WithoutUnitTheWayOutIsNamed) {
  const auto size = parse_size("1073741824");
  ASSERT_FALSE(size);
  EXPECT_EQ(size.error().code, ErrorCode::invalid_option);
  EXPECT_EQ(
      size.error().message,
      "'1073741824' has no unit; write one behind it without a space (B, KiB, MiB, GiB, TiB or "
      "PiB)");
}

TEST(Sizes, WhatIsNoSizeIsRefused) {
  for (const char* text : {"", "GiB", "1 GiB", " 1GiB", "1GiB ", "-1GiB", "+1GiB", "1.5GiB", "1GB",
                           "1gib", "1g", "0x10B", "1GiB1GiB", "1\n"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
  EXPECT_FALSE(parse_size(std::string_view("1\0B", 3)));
}

TEST(Sizes, BeyondWhatCanBeCountedIsRefused) {
  EXPECT_FALSE(parse_size("16384PiB"));
  EXPECT_FALSE(parse_size("18446744073709551616B"));
  EXPECT_FALSE(parse_size("99999999999999999999999999GiB"));
  EXPECT_EQ(parse_size("16383PiB"), 16383ull << 50);
}

TEST(Sizes, AreShownInTheLargestUnitThatDividesThem) {
  EXPECT_EQ(format_size(0), "0B");
  EXPECT_EQ(format_size(1000), "1000B");
  EXPECT_EQ(format_size(1536), "1536B");
  EXPECT_EQ(format_size(1536ull << 10), "1536KiB");
  EXPECT_EQ(format_size(1ull << 30), "1GiB");
}

TEST(Durations, EveryUnitIsRead) {
  EXPECT_EQ(parse_duration("0ms"), milliseconds{0});
  EXPECT_EQ(parse_duration("250ms"), milliseconds{250});
  EXPECT_EQ(parse_duration("30s"), milliseconds{30'000});
  EXPECT_EQ(parse_duration("2min"), milliseconds{120'000});
  EXPECT_EQ(parse_duration("24h"), milliseconds{86'400'000});
}

TEST(Durations, WhatIsNoDurationIsRefused) {
  for (const char* text :
       {"", "30", "s", "30 s", "-1s", "0.5s", "30sec", "1d", "9223372036854775807s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Durations, AreShownInTheLargestUnitThatDividesThem) {
  EXPECT_EQ(format_duration(milliseconds{0}), "0ms");
  EXPECT_EQ(format_duration(milliseconds{1500}), "1500ms");
  EXPECT_EQ(format_duration(milliseconds{90'000}), "90s");
  EXPECT_EQ(format_duration(milliseconds{3'600'000}), "1h");
}

}  // namespace
}  // namespace hyperpod::emulator::text
