// SPDX-License-Identifier: Apache-2.0
#include "probe/response.h"

#include <gtest/gtest.h>

namespace hyperpod::conformance::probe {
namespace {

Response whole(std::string_view bytes, bool at_end = false) {
  const auto parsed = parse_response(bytes, at_end);
  EXPECT_TRUE(parsed && *parsed) << (parsed ? "incomplete" : parsed.error().message);
  return parsed && *parsed ? (*parsed)->response : Response{};
}

std::string refusal(std::string_view bytes, bool at_end = false) {
  const auto parsed = parse_response(bytes, at_end);
  return parsed ? "" : parsed.error().message;
}

TEST(ParseResponse, TakesOneResponseOfSeveral) {
  const std::string_view one = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y:  z \r\n\r\nab";
  const auto parsed = parse_response(std::string(one) + "HTTP/1.1 404", false);
  ASSERT_TRUE(parsed && *parsed);
  EXPECT_EQ((*parsed)->consumed, one.size());
  EXPECT_EQ((*parsed)->response.status, 200);
  EXPECT_EQ((*parsed)->response.body, "ab");
  EXPECT_EQ((*parsed)->response.header("x-y"), "z");
}

TEST(ParseResponse, IsIncompleteAtEveryPrefix) {
  const std::string whole_answer = "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}";
  for (std::size_t size = 1; size < whole_answer.size(); ++size) {
    const auto parsed = parse_response(whole_answer.substr(0, size), false);
    ASSERT_TRUE(parsed) << size << ": " << parsed.error().message;
    EXPECT_FALSE(parsed->has_value()) << size;
    EXPECT_FALSE(parse_response(whole_answer.substr(0, size), true)) << size;
  }
}

TEST(ParseResponse, DecodesAChunkedBody) {
  const auto response = whole(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n");
  EXPECT_EQ(response.body, "abc0123456789");
}

TEST(ParseResponse, EndsABodyWithoutLengthWithTheConnection) {
  const std::string_view bytes = "HTTP/1.0 200 OK\r\n\r\nall of it";
  EXPECT_FALSE(parse_response(bytes, false)->has_value());
  EXPECT_EQ(whole(bytes, true).body, "all of it");
}

TEST(ParseResponse, GivesInterimResponsesNoBody) {
  EXPECT_EQ(whole("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK").status, 100);
}

TEST(ParseResponse, RefusesWhatNoServerMaySend) {
  EXPECT_NE(refusal("<html>"), "");
  EXPECT_NE(refusal("HTTP/1.1 20 OK\r\n\r\n"), "");
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), "");
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\n folded: x\r\n\r\n"), "") << "folded onto nothing";
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\na"), "");
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "");
  EXPECT_NE(
      refusal(
          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      "");
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "");
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"), "");
  EXPECT_NE(refusal(std::string(70'000, 'H')), "");
}

TEST(ParseResponse, BearsWithWhatRfc9110HasARecipientBearWith) {
  const Response response = whole(
      "HTTP/1.1 200\r\nX:a\x01\x7F\xE9\r\nY:  \t one\r\n\t two \t\r\nTransfer-Encoding: "
      "CHUNKED\r\n\r\n2 \r\nok\r\n0\r\n\r\n");
  EXPECT_EQ(response.header("x"), "a\x01\x7F\xE9");
  EXPECT_EQ(response.header("y"), "one two");
  EXPECT_EQ(response.body, "ok");
  EXPECT_EQ(whole("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok").body,
            "ok");
}

TEST(ParseResponse, RefusesBodiesThatNoDaemonNeeds) {
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "");
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n"),
            "");
  EXPECT_NE(refusal("HTTP/1.1 200 OK\r\n\r\n" + std::string(17u << 20, 'x')), "");
}

TEST(Response, KnowsWhetherItsConnectionGoesOn) {
  EXPECT_FALSE(whole("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").says_close());
  EXPECT_TRUE(
      whole("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n").says_close());
  EXPECT_TRUE(whole("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").says_close());
}

TEST(Response, KnowsItsMediaTypeWithoutParameters) {
  EXPECT_EQ(whole("HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; "
                  "charset=utf-8\r\nContent-Length: 0\r\n\r\n")
                .media_type(),
            "application/json");
  EXPECT_EQ(whole("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").media_type(), "");
}

}  // namespace
}  // namespace hyperpod::conformance::probe
