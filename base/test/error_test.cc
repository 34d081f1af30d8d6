// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "hyperpod/base/assertions.h"

namespace hyperpod::base {
namespace {

using testing::HasSubstr;

TEST(Error, EveryCodeHasANameOfItsOwn) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::failed); ++code) {
    EXPECT_STRNE(to_string(static_cast<ErrorCode>(code)), "unknown") << code;
  }
  EXPECT_STREQ(to_string(ErrorCode::segment_missing), "segment_missing");
}

TEST(Error, ASystemErrorTellsWhatTheSystemSaid) {
  const Error error = system_error("cannot open x", ENOENT, ErrorCode::not_found);
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.message, "cannot open x: No such file or directory");
}

TEST(Error, WhatRanOutIsToldApart) {
  for (const int error : {EMFILE, ENFILE, ENOMEM, EAGAIN, ENOBUFS}) {
    EXPECT_EQ(system_error("x", error).code, ErrorCode::out_of_resources) << error;
  }
}

#ifdef HYPERPOD_ASSERTIONS
TEST(AssertionsDeathTest, AConditionThatDoesNotHoldAborts) {
  HYPERPOD_REQUIRE(1 + 1 == 2);
  EXPECT_DEATH(HYPERPOD_REQUIRE(1 + 1 == 3), "error_test.*REQUIRES 1 \\+ 1 == 3");
}
#endif

}  // namespace
}  // namespace hyperpod::base
