// SPDX-License-Identifier: Apache-2.0
#include "load/response.h"

#include <gtest/gtest.h>

namespace hyperpod::bench {
namespace {

constexpr std::string_view lease =
    "HTTP/1.1 200 OK\r\nServer: nginx\r\ncontent-length: 11\r\nConnection: "
    "keep-alive\r\n\r\n{\"id\":\"a1\"}";

TEST(ParseResponse, GivesStatusBodyAndSize) {
  const auto parsed = parse_response(lease);
  ASSERT_EQ(parsed.result, ParseResult::complete);
  EXPECT_EQ(parsed.response.status, 200);
  EXPECT_EQ(parsed.response.body, "{\"id\":\"a1\"}");
  EXPECT_EQ(parsed.size, lease.size());
}

TEST(ParseResponse, IsIncompleteUntilTheLastByteOfTheBody) {
  for (std::size_t size = 0; size < lease.size(); ++size) {
    EXPECT_EQ(parse_response(lease.substr(0, size)).result, ParseResult::incomplete) << size;
  }
}

TEST(ParseResponse, LeavesWhatFollowsTheResponse) {
  const std::string two = std::string(lease) + "HTTP/1.1 404 Not Found\r\n";
  EXPECT_EQ(parse_response(two).size, lease.size());
}

TEST(ParseResponse, RefusesAResponseWithoutALength) {
  EXPECT_EQ(parse_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").result,
            ParseResult::unreadable);
}

TEST(ParseResponse, RefusesWhatIsNotHttp) {
  EXPECT_EQ(parse_response("SSH-2.0-OpenSSH\r\n\r\n").result, ParseResult::unreadable);
}

TEST(LeaseId, IsFoundWhereverItStands) {
  EXPECT_EQ(lease_id(R"({"id": "abc", "offsets": []})"), "abc");
  EXPECT_EQ(lease_id(R"({"offsets":[{"offset":0,"len":1}],"id":"x_y-Z"})"), "x_y-Z");
}

TEST(LeaseId, IsEmptyWhereThereIsNone) {
  EXPECT_EQ(lease_id("{}"), "");
  EXPECT_EQ(lease_id(R"({"id":17})"), "");
  EXPECT_EQ(lease_id(R"({"id":"cut)"), "");
}

}  // namespace
}  // namespace hyperpod::bench
