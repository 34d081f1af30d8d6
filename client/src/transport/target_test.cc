// SPDX-License-Identifier: Apache-2.0
#include "transport/target.h"

#include <gtest/gtest.h>

namespace hyperpod::client::transport {
namespace {

using namespace std::chrono_literals;

TEST(Target, KeepsBareWhatAiohttpKeepsBare) {
  EXPECT_EQ(encode_segment("az09AZ-._~@:!$&'()*,;="), "az09AZ-._~@:!$&'()*,;=");
}

TEST(Target, EncodesSlashPercentPlusSpaceAndUtf8InUpperCaseHex) {
  EXPECT_EQ(encode_segment("a/b%c+d e\xC3\xA4?#\"<>"), "a%2Fb%25c%2Bd%20e%C3%A4%3F%23%22%3C%3E");
  EXPECT_EQ(encode_segment(std::string_view("\0\r\n\x7f", 4)), "%00%0D%0A%7F");
}

TEST(Target, NamesAnObjectByBucketAndKey) {
  EXPECT_EQ(object_target("lmcache", "org/model@8@0@ab12@bfloat16"),
            "/v1/kv/lmcache/org%2Fmodel@8@0@ab12@bfloat16");
}

TEST(Target, AsksForALeaseInTheQueryFormOfLmcache) {
  EXPECT_EQ(lease_target("b", "k", 5000ms, 30s), "/v1/kv/b/k/leases?timeout_ms=5000&ttl_s=30.0");
  EXPECT_EQ(lease_target("b", "k", 0ms, 250ms), "/v1/kv/b/k/leases?timeout_ms=0&ttl_s=0.25");
  EXPECT_EQ(lease_target("b", "k", 1ms, 10us), "/v1/kv/b/k/leases?timeout_ms=1&ttl_s=0.00001");
}

TEST(Target, EncodesTheLeaseIdOfARelease) {
  EXPECT_EQ(release_target("aB3_-x"), "/v1/leases/aB3_-x/release");
  EXPECT_EQ(release_target("a/../b"), "/v1/leases/a%2F..%2Fb/release");
}

}  // namespace
}  // namespace hyperpod::client::transport
