// SPDX-License-Identifier: Apache-2.0
#include "http/request_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <vector>

namespace hyperpod::emulator::http {
namespace {

using namespace std::string_literals;
using Status = HeadScanner::Status;

// --- Where a head ends
// --------------------------------------------------------------------------

TEST(HeadScanner, FindsTheEndOfAHeadAndNotWhatFollows) {
  const std::string head = "PUT /v1/kv/b/k HTTP/1.1\r\nHost: h\r\n\r\n";
  HeadScanner scanner;
  EXPECT_EQ(scanner.scan(head + "body\r\n\r\n"), Status::complete);
  EXPECT_EQ(scanner.length(), head.size());
}

TEST(HeadScanner, FindsTheEndOfAHeadThatComesByteByByte) {
  const std::string head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  HeadScanner scanner;
  for (std::size_t size = 0; size < head.size(); ++size) {
    ASSERT_EQ(scanner.scan(std::string_view(head).substr(0, size)), Status::incomplete) << size;
  }
  EXPECT_EQ(scanner.scan(head), Status::complete);
  EXPECT_EQ(scanner.length(), head.size());
}

TEST(HeadScanner, TellsWhenTheRequestLineHasEnded) {
  HeadScanner scanner;
  EXPECT_EQ(scanner.scan("GET / HTTP/1.1\r"), Status::incomplete);
  EXPECT_FALSE(scanner.has_request_line());
  EXPECT_EQ(scanner.scan("GET / HTTP/1.1\r\n"), Status::incomplete);
  EXPECT_TRUE(scanner.has_request_line());
}

TEST(HeadScanner, RefusesABareLineFeed) {
  for (const char* head : {"GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: h\n", "GET\n"}) {
    HeadScanner scanner;
    EXPECT_EQ(scanner.scan(head), Status::malformed) << head;
  }
}

TEST(HeadScanner, RefusesAtTheFirstByteWhatCannotBeAMethod) {
  for (const auto& greeting : {"\x16\x03\x01"s, "\0"s, "\x80"s, " GET"s, "\n"s, "{"s}) {
    HeadScanner scanner;
    EXPECT_EQ(scanner.scan(greeting), Status::malformed) << greeting;
  }
}

RC_GTEST_PROP(HeadScannerProperty, AnySplitOfTheInputSaysTheSame, ()) {
  const auto text =
      *rc::gen::container<std::string>(rc::gen::elementOf("AG: /\r\r\r\n\n\n\xff\x16"s));
  HeadScanner whole;
  const auto expected = whole.scan(text);
  HeadScanner pieces;
  auto said = Status::incomplete;
  for (std::size_t size = 0; size <= text.size() && said == Status::incomplete;) {
    said = pieces.scan(std::string_view(text).substr(0, size));
    if (size == text.size()) break;
    size = std::min(text.size(), size + *rc::gen::inRange<std::size_t>(1, 5));
  }
  RC_ASSERT(said == expected);
  if (expected == Status::complete) RC_ASSERT(pieces.length() == whole.length());
}

// --- What a head says
// ---------------------------------------------------------------------------

tl::expected<RequestHead, HeadError> parse(std::string_view head, std::uint32_t headers = 200) {
  Limits limits;
  limits.headers = headers;
  return parse_head(head, limits);
}

/// The error of a PUT of HTTP/1.1 with a host and these further header lines.
tl::expected<RequestHead, HeadError> parse_fields(const std::string& lines) {
  static std::string head;  // what is parsed out of it points into it
  head = "PUT /v1/kv/b/k HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n";
  return parse(head);
}

void expect_refused(const std::string& lines, HeadError why) {
  const auto parsed = parse_fields(lines);
  ASSERT_FALSE(parsed) << lines;
  EXPECT_EQ(parsed.error(), why) << lines;
}

TEST(RequestHead, IsReadAsThePublicClientsSendIt) {
  const auto head = parse(
      "PUT /v1/kv/lmcache/model%2Fa@1@0@ff HTTP/1.1\r\nHost: 10.0.0.1:9200\r\n"
      "User-Agent: LMCache-SageMaker-HyperPod/1.0\r\nContent-Length: 156\r\nAccept: */*\r\n"
      "Accept-Encoding: gzip, deflate\r\nContent-Type: application/octet-stream\r\n\r\n");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->method, "PUT");
  EXPECT_EQ(head->target, "/v1/kv/lmcache/model%2Fa@1@0@ff");
  EXPECT_FALSE(head->http_1_0);
  EXPECT_TRUE(head->keep_alive);
  EXPECT_FALSE(head->chunked);
  EXPECT_FALSE(head->expects_continue);
  EXPECT_EQ(head->content_length, 156u);
  EXPECT_TRUE(head->has_body());
}

TEST(RequestHead, HasABodyOnlyIfItSaysSo) {
  EXPECT_FALSE(parse_fields("")->has_body());
  EXPECT_EQ(parse_fields("")->content_length, std::nullopt);
  EXPECT_FALSE(parse_fields("Content-Length: 0\r\n")->has_body());
  EXPECT_TRUE(parse_fields("Content-Length: 1\r\n")->has_body());
  EXPECT_TRUE(parse_fields("Transfer-Encoding: chunked\r\n")->has_body());
}

TEST(RequestHead, NamesItsFieldsInAnyCaseAndSpacing) {
  const auto head = parse_fields("cOnTeNt-lEnGtH:7   \r\nEXPECT: \t 100-Continue\r\n");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->content_length, 7u);
  EXPECT_TRUE(head->expects_continue);
}

TEST(RequestHead, KeepsAnHttp11ConnectionUnlessToldToClose) {
  EXPECT_TRUE(parse_fields("")->keep_alive);
  EXPECT_TRUE(parse_fields("Connection: keep-alive\r\n")->keep_alive);
  EXPECT_FALSE(parse_fields("Connection: close\r\n")->keep_alive);
  EXPECT_FALSE(parse_fields("Connection: x, CLOSE\r\n")->keep_alive);
}

TEST(RequestHead, ClosesAnHttp10ConnectionUnlessToldToKeepIt) {
  const auto plain = parse("GET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->http_1_0);
  EXPECT_FALSE(plain->keep_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")->keep_alive);
}

TEST(RequestHead, ClosesWhereItSaysBoth) {
  for (const char* version : {"1.0", "1.1"}) {
    for (const char* fields :
         {"Connection: keep-alive, close\r\n", "Connection: close, keep-alive\r\n",
          "Connection: close\r\nConnection: keep-alive\r\n",
          "Connection: keep-alive\r\nConnection: x,\tClose ,\r\n"}) {
      const auto head = parse("GET / HTTP/"s + version + "\r\nHost: h\r\n" + fields + "\r\n");
      ASSERT_TRUE(head) << fields;
      EXPECT_FALSE(head->keep_alive) << version << " " << fields;
    }
  }
}

TEST(RequestHead, OfHttp10ExpectsNothing) {
  const auto head = parse("PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(head);
  EXPECT_FALSE(head->expects_continue);
}

TEST(RequestHead, OfHttp10IsNotChunked) {
  const auto head = parse("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
  ASSERT_FALSE(head);
  EXPECT_EQ(head.error(), HeadError::malformed);
}

TEST(RequestHead, NamesItsHostOnce) {
  EXPECT_EQ(parse("GET / HTTP/1.1\r\n\r\n").error(), HeadError::malformed);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").error(), HeadError::malformed);
  EXPECT_EQ(parse("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").error(), HeadError::malformed);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost:\r\n\r\n"));
}

TEST(RequestHead, NamesAHostThatCanBeOne) {
  for (const char* host : {"", "h", "h:1", "10.0.0.1:9200", "[::1]:9200", "a_b.c~d%20", "H-1."}) {
    EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n")) << host;
  }
  for (const char* host : {"a b", "a/b", "user@h", "h?x", "h#x", "http://h", "\"h\"", "h\xff"}) {
    EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n")) << host;
  }
}

TEST(RequestHead, WithLengthAndCodingIsRefusedInEitherOrder) {
  expect_refused("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", HeadError::malformed);
  expect_refused("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", HeadError::malformed);
  expect_refused("Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0\r\n",
                 HeadError::malformed);
}

TEST(RequestHead, WithLengthsThatDifferIsRefused) {
  expect_refused("Content-Length: 5\r\nContent-Length: 6\r\n", HeadError::malformed);
  expect_refused("Content-Length: 5, 6\r\n", HeadError::malformed);
  EXPECT_EQ(parse_fields("Content-Length: 5\r\nContent-Length: 5\r\n")->content_length, 5u);
}

TEST(RequestHead, WithALengthThatIsNoNumberIsRefused) {
  for (const char* length : {"", "x", "-1", "+1", "0x5", "1 2", "5;", "5,", "1.0", "1e3",
                             "18446744073709551616", "99999999999999999999999"}) {
    expect_refused("Content-Length: "s + length + "\r\n", HeadError::malformed);
  }
  EXPECT_EQ(parse_fields("Content-Length: 18446744073709551615\r\n")->content_length,
            18446744073709551615u);
}

TEST(RequestHead, WithAnotherCodingThanChunkedIsRefused) {
  for (const char* coding : {"gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked",
                             "identity", "xchunked", "chunked;q=1", "", ",", "chunked,,chunked",
                             ", gzip", "chunked chunked", "chunked, gzip,"}) {
    expect_refused("Transfer-Encoding: "s + coding + "\r\n", HeadError::unknown_coding);
  }
  expect_refused("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                 HeadError::malformed);
  expect_refused("Transfer-Encoding: chunked,\r\nTransfer-Encoding: ,\r\n", HeadError::malformed);
  EXPECT_TRUE(parse_fields("Transfer-Encoding: Chunked\r\n")->chunked);
}

// RFC 9110, 5.6.1.2.
TEST(RequestHead, MayHaveListsWithEmptyElements) {
  for (const char* coding : {"chunked,", ", chunked", ",\t, chunked ,,"}) {
    const auto head = parse_fields("Transfer-Encoding: "s + coding + "\r\n");
    ASSERT_TRUE(head) << coding;
    EXPECT_TRUE(head->chunked) << coding;
    expect_refused("Content-Length: 5\r\nTransfer-Encoding: "s + coding + "\r\n",
                   HeadError::malformed);
  }
  EXPECT_TRUE(parse_fields("Expect: ,100-continue ,\r\n")->expects_continue);
}

TEST(RequestHead, WithAnotherExpectationThanContinueIsRefused) {
  expect_refused("Expect: 200-ok\r\n", HeadError::unknown_expect);
  expect_refused("Expect:\r\n", HeadError::unknown_expect);
}

TEST(RequestHead, WithAnotherVersionIsRefused) {
  const auto error = [](const char* version) {
    return parse("GET / "s + version + "\r\nHost: h\r\n\r\n").error();
  };
  for (const char* version : {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9"}) {
    EXPECT_EQ(error(version), HeadError::unknown_version) << version;
  }
  // RFC 9112, 2.3 and 3: no version, and so no request line.
  for (const char* version : {"http/1.1", "HTTP/11", "HTTP/1.10", "FTP/1.1", "HTTP/1.1 ",
                              "HTTP/2.0 ", " HTTP/1.1", " HTTP/2.0", "HTTP/1.1 x", "x HTTP/2.0"}) {
    EXPECT_EQ(error(version), HeadError::malformed) << version;
  }
}

TEST(RequestHead, MayHaveAsManyHeadersAsTheLimitSays) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 1; i < 5; ++i) head += "X: y\r\n";
  EXPECT_TRUE(parse(head + "\r\n", 5));
  const auto more = parse(head + "X: y\r\n\r\n", 5);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error(), HeadError::too_many_headers);
}

TEST(RequestHead, WithControlCharactersIsRefused) {
  for (const auto& lines : {"X: a\0b\r\n"s, "X\0: a\r\n"s, "X: a\x01\r\n"s, "X: a\x7f\r\n"s,
                            "X: a\rb\r\n"s, "X\r: a\r\n"s}) {
    expect_refused(lines, HeadError::malformed);
  }
  EXPECT_EQ(parse("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"s).error(), HeadError::malformed);
  EXPECT_EQ(parse("GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n"s).error(), HeadError::malformed);
}

TEST(RequestHead, WithSpaceWhereNoneBelongsIsRefused) {
  // Space before the colon is what two parsers read in two ways.
  expect_refused("Content-Length : 5\r\n", HeadError::malformed);
  expect_refused("Transfer-Encoding : chunked\r\n", HeadError::malformed);
  expect_refused(" X: folded onto the host\r\nContent Length: 5\r\n", HeadError::malformed);
  EXPECT_FALSE(parse("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_FALSE(parse("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n"));
}

TEST(RequestHead, WithALineThatIsNoFieldIsRefused) {
  expect_refused("no colon\r\n", HeadError::malformed);
  expect_refused(": no name\r\n", HeadError::malformed);
  EXPECT_FALSE(parse("GET /\r\n\r\n"));
  EXPECT_FALSE(parse("GET\r\n\r\n"));
  EXPECT_FALSE(parse("\r\n"));
}

TEST(RequestHead, WithAFoldedFieldIsRefused) {
  for (const char* lines :
       {"X: a\r\n b\r\n", "Shard-Meta: a\r\n\tb\r\n", "Transfer-Encoding:\r\n chunked\r\n",
        "Content-Length: 1\r\n 2\r\n", "Expect:\r\n \r\n 100-continue\r\n", "Host: a\r\n b\r\n"}) {
    expect_refused(lines, HeadError::malformed);
  }
}

}  // namespace
}  // namespace hyperpod::emulator::http
