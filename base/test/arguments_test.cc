// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyperpod::base {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> arguments(std::vector<const char*> values) {
  const Arguments arguments(static_cast<int>(values.size()), values.data());
  return {arguments.values(), arguments.values() + arguments.count()};
}

TEST(Arguments, GiveAnOptionTheEmptyValueThatStandsBehindItsName) {
  EXPECT_THAT(arguments({"program", "--name=", "--other=", "more"}),
              ElementsAre("program", "--name", "", "--other", "", "more"));
}

TEST(Arguments, LeaveTheRestAsItWas) {
  EXPECT_THAT(arguments({"program", "--name=x", "--name=x=", "--", "--name=", "-n="}),
              ElementsAre("program", "--name=x", "--name=x=", "--", "--name=", "-n="));
  EXPECT_THAT(arguments({"program", "key=", "", "=", "-="}),
              ElementsAre("program", "key=", "", "=", "-="));
}

TEST(ToDecimal, TakesZerosOffTheFront) {
  for (const auto& [given, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"0", "0"}, {"000", "0"}, {"01000", "1000"}, {"10", "10"}}) {
    std::string text = given;
    EXPECT_EQ(to_decimal(text), "");
    EXPECT_EQ(text, wanted);
  }
}

TEST(ToDecimal, SaysWhatIsWrong) {
  for (std::string text : {"", "-1", "+1", "0x10", "1.5", " 1", "1e3", "ten"}) {
    const std::string given = text;
    EXPECT_EQ(to_decimal(text), "'" + given + "' is not a whole number");
  }
}

}  // namespace
}  // namespace hyperpod::base
