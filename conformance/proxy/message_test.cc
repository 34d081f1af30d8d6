// SPDX-License-Identifier: Apache-2.0
#include "proxy/message.h"

#include <gtest/gtest.h>

namespace hyperpod::conformance::proxy {
namespace {

TEST(RequestHead, KnowsTheCallsOfTheProtocol) {
  const auto taken = take_request_head(
      "POST /v1/kv/b/a%2Fb/leases?timeout_ms=5&ttl_s=1.5 HTTP/1.1\r\nHost: x\r\nCONTENT-length: "
      "0\r\n\r\nrest");
  ASSERT_TRUE(taken);
  RequestHead head = taken->first;
  EXPECT_TRUE(head.is_acquire());
  EXPECT_EQ(head.object(), "/v1/kv/b/a%2Fb");
  EXPECT_EQ(head.parameter("ttl_s"), "1.5");
  EXPECT_EQ(head.header("Content-Length"), "0");
  head.set_parameter("timeout_ms", "70");
  EXPECT_EQ(head.target, "/v1/kv/b/a%2Fb/leases?timeout_ms=70&ttl_s=1.5");
  const auto release = take_request_head("POST /v1/leases/ab-1/release HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(release);
  EXPECT_EQ(release->first.lease_id(), "ab-1");
}

TEST(RequestHead, IsNotTakenFromWhatIsNone) {
  EXPECT_FALSE(take_request_head("PUT /x HTTP/1.1\r\nHost: x\r\n"));
  EXPECT_FALSE(take_request_head("GARBAGE\r\n\r\n"));
  EXPECT_FALSE(take_request_head("PUT /x HTTP/9.9\r\n\r\n"));
}

TEST(ResponseMessage, IsWrittenAsItWasRead) {
  const std::string bytes =
      "HTTP/1.1 200 Mutated\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
  const auto taken = take_response(bytes + "HTTP/1.1");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->second, bytes.size());
  EXPECT_EQ(taken->first.text(), bytes);
  EXPECT_FALSE(take_response(bytes.substr(0, bytes.size() - 1)));
}

}  // namespace
}  // namespace hyperpod::conformance::proxy
