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

TEST(ToDecimal, IsNotLargerThanAnyNumber) {
  std::string most = "0018446744073709551615";
  EXPECT_EQ(to_decimal(most), "");
  EXPECT_EQ(most, "18446744073709551615");
  std::string more = "18446744073709551616";
  EXPECT_EQ(to_decimal(more), "'18446744073709551616' is larger than any number that is taken");
}

TEST(NumberProblem, IsWhatLiesOutsideOrIsNotANumber) {
  for (const char* text : {"0.1", "1", "1e1", "100", "99.5"}) {
    EXPECT_EQ(number_problem(text, 0.1, 100), "") << text;
  }
  for (const char* text :
       {"", "nan", "NAN", "-nan", "inf", "0", "-1", "100.1", "1x", " 1", "1e999"}) {
    EXPECT_EQ(number_problem(text, 0.1, 100),
              "'" + std::string(text) + "' is not a number from 0.1 to 100");
  }
}

}  // namespace
}  // namespace hyperpod::base
