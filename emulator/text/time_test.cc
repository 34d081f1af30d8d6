// SPDX-License-Identifier: Apache-2.0
#include "text/time.h"

#include <gtest/gtest.h>

namespace hyperpod::emulator::text {
namespace {

using namespace std::chrono;

TEST(UtcTime, WritesDateAndTimeToTheMicrosecond) {
  EXPECT_EQ(utc_time(sys_days{2026y / November / 28} + 23h + 5min + 16s + 123'456us),
            "2026-11-28T23:05:16.123456Z");
  EXPECT_EQ(utc_time({}), "1970-01-01T00:00:00.000000Z");
}

TEST(UtcTime, IsRightBefore1970) {
  EXPECT_EQ(utc_time(system_clock::time_point{} - 1us), "1969-12-31T23:59:59.999999Z");
}

}  // namespace
}  // namespace hyperpod::emulator::text
