// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/nearest.h"

#include <gtest/gtest.h>

namespace hyperpod::base {
namespace {

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> commands = {"put", "get", "exists", "bench", "doctor"};
  EXPECT_EQ(nearest("gte", commands), "get");
  EXPECT_EQ(nearest("exits", commands), "exists");
  EXPECT_EQ(nearest("docter", commands), "doctor");
  EXPECT_EQ(nearest("benhc", commands), "bench");
  EXPECT_EQ(nearest("doc", commands), "doctor");
  EXPECT_EQ(nearest("frobnicate", commands), "");
  EXPECT_EQ(nearest("x", commands), "");
  EXPECT_EQ(nearest("", commands), "");
  EXPECT_EQ(nearest(std::string(100'000, 'p'), commands), "");
}

TEST(Nearest, IsOfferedBehindAMessage) {
  EXPECT_EQ(did_you_mean("--capcity", {"--capacity", "--port"}), "; did you mean --capacity?");
  EXPECT_EQ(did_you_mean("--frobnicate", {"--capacity", "--port"}), "");
}

}  // namespace
}  // namespace hyperpod::base
