// SPDX-License-Identifier: Apache-2.0
#include "transport/response_parser.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hyperpod::client::transport {
namespace {

using State = ResponseParser::State;

struct Read {
  State state = State::incomplete;
  bool keeps_alive = false;
  HttpResponse response;
  std::string rest;  // what stands behind the response

  bool operator==(const Read& other) const {
    return state == other.state && keeps_alive == other.keeps_alive && rest == other.rest &&
           response.status == other.response.status && response.body == other.response.body &&
           response.content_type == other.response.content_type;
  }
};

// Reads `bytes` in pieces of that size, and then the end of the stream.
Read read(std::string_view bytes, std::size_t piece = std::string_view::npos, bool unpack = true) {
  ResponseParser parser(unpack);
  while (!bytes.empty() && parser.state() == State::incomplete) {
    const auto part = bytes.substr(0, piece);
    const std::size_t taken = parser.feed(part);
    bytes.remove_prefix(taken);
    if (taken < part.size()) break;
  }
  parser.end_of_stream();
  Read result{.state = parser.state(), .response = {}, .rest = std::string(bytes)};
  if (result.state == State::complete) {
    result.keeps_alive = parser.keeps_alive();
    result.response = parser.take();
  } else {
    result.rest.clear();  // how much is taken of what is not a response is left open
  }
  return result;
}

std::string body_of(std::string_view bytes) {
  const Read result = read(bytes);
  EXPECT_EQ(result.state, State::complete) << bytes;
  return result.response.body;
}

State state_of(std::string_view bytes) { return read(bytes).state; }

std::string packed(const std::string& text, int window_bits) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string with_length(const std::string& headers, const std::string& body) {
  return "HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

constexpr std::string_view chunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n";

TEST(ResponseParser, ReadsTheSameHoweverTheBytesAreSplit) {
  const std::vector<std::string> streams{
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
      "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
      "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 2\r\n\r\n{}",
      std::string(chunked) + "3;name=\"value\"\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\nrest",
      "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.0 200 OK\r\n\r\nuntil the end",
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
      with_length("Content-Encoding: gzip\r\n", packed("hello", 16 + MAX_WBITS)),
      "HTTP/1.1 200 OK\r\nContent-Type:\r\n application/json\r\nContent-Length:\r\n\t1\r\n\r\nx",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
      "SSH-2.0-OpenSSH_9.2\r\n",
  };
  for (const std::string& stream : streams) {
    const Read whole = read(stream);
    for (std::size_t piece = 1; piece < stream.size(); ++piece) {
      EXPECT_EQ(read(stream, piece), whole) << "in pieces of " << piece << ": " << stream;
    }
  }
}

TEST(ResponseParser, PassesOverInterimResponses) {
  const Read result = read(
      "HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(result.response.status, 200);
  EXPECT_EQ(result.response.body, "ok");
  EXPECT_TRUE(result.keeps_alive);
}

TEST(ResponseParser, TakesNothingBehindTheResponse) {
  EXPECT_EQ(read("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc").rest, "bc");
  EXPECT_EQ(read("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello").rest, "hello");
  EXPECT_EQ(read(std::string(chunked) + "0\r\n\r\nHTTP/1.1").rest, "HTTP/1.1");
}

TEST(ResponseParser, ReadsChunksWithExtensionsAndTrailers) {
  EXPECT_EQ(body_of(std::string(chunked) + "A ; x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
            "0123456789");
  for (const char* const malformed :
       {"x\r\n", "-1\r\n", "\r\n", "0x2\r\nab\r\n0\r\n\r\n", "2\r\nabc\r\n0\r\n\r\n"}) {
    EXPECT_EQ(state_of(std::string(chunked) + malformed), State::malformed) << malformed;
  }
  EXPECT_EQ(state_of(std::string(chunked) + "2\r\nab\r\n"), State::malformed) << "it broke off";
}

TEST(ResponseParser, UnfoldsFields) {
  const Read result = read(
      "HTTP/1.1 200 OK\r\nX-Note: a\r\n  b: c\r\nContent-Type: application/json;\r\n"
      "\tcharset=utf-8\r\nConnection: keep-alive,\r\n close\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(result.response.content_type, "application/json;\tcharset=utf-8");
  EXPECT_FALSE(result.keeps_alive);
  EXPECT_EQ(state_of("HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n"), State::malformed)
      << "there is nothing to go on with";
}

TEST(ResponseParser, KeepsNoConnectionWhoseFramingMayBeMeantOtherwise) {
  const Read both = read(
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\n");
  EXPECT_EQ(both.state, State::complete);
  EXPECT_FALSE(both.keeps_alive);
  EXPECT_FALSE(read("HTTP/1.1 200 OK\r\n\r\n").keeps_alive);
  EXPECT_FALSE(read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").keeps_alive);
  for (const char* const field :
       {"Content-Length: 1, 2", "Content-Length: -1", "Content-Length: +1", "Content-Length: 1x",
        "Content-Length:", "Content-Length : 1", "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding:", ": 1", "no colon"}) {
    EXPECT_EQ(state_of(std::string("HTTP/1.1 200 OK\r\n") + field + "\r\n\r\nx"), State::malformed)
        << field;
  }
}

TEST(ResponseParser, WantsAStatusLineOfHttp1) {
  for (const char* const line :
       {"HTTP/2 200 OK", "HTTP/1.2 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 099 Low",
        "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1 -20 OK", "http/1.1 200 OK", "", "OK"}) {
    EXPECT_EQ(state_of(std::string(line) + "\r\nContent-Length: 0\r\n\r\n"), State::malformed)
        << line;
  }
}

TEST(ResponseParser, UnpacksWhatCamePacked) {
  EXPECT_EQ(body_of(with_length("Content-Encoding: gzip\r\n", packed("hello", 16 + MAX_WBITS))),
            "hello");
  EXPECT_EQ(body_of(with_length("content-encoding: DEFLATE\r\n", packed("hello", MAX_WBITS))),
            "hello");
  EXPECT_EQ(body_of(with_length("Content-Encoding: deflate\r\n", packed("hello", -MAX_WBITS))),
            "hello")
      << "without zlib's wrapper, as some servers send it";
  EXPECT_EQ(body_of(with_length("Content-Encoding: deflate\r\n", packed("hello", 16 + MAX_WBITS))),
            "hello");
  EXPECT_EQ(state_of(with_length("Content-Encoding: gzip\r\n", packed("hello", -MAX_WBITS))),
            State::malformed);
  EXPECT_EQ(body_of(with_length("Content-Encoding: deflate\r\n", "")), "");
  EXPECT_EQ(body_of(with_length("Content-Encoding: gzip\r\n", "")), "") << "there is no body";
  EXPECT_EQ(state_of(with_length("Content-Encoding: gzip\r\n", "hello")), State::malformed);
  const std::string broken_off = packed("hello", 16 + MAX_WBITS).substr(0, 12);
  EXPECT_EQ(state_of(with_length("Content-Encoding: gzip\r\n", broken_off)), State::malformed);
  const std::string as_it_came = with_length("Content-Encoding: gzip\r\n", "hello");
  EXPECT_EQ(read(as_it_came, 4096, false).response.body, "hello");
}

TEST(ResponseParser, UnpacksSeveralMembersAndTheOldNameOfGzip) {
  const std::string member = packed("hello", 16 + MAX_WBITS);
  const std::string empty = packed("", 16 + MAX_WBITS);
  const std::string large(100'000, 'x');
  const auto unpacked = [](const std::string& body) {
    return body_of(with_length("Content-Encoding: gzip\r\n", body));
  };
  EXPECT_EQ(unpacked(member + packed(" world", 16 + MAX_WBITS)), "hello world");
  EXPECT_EQ(unpacked(empty + member + empty + packed(large, 16 + MAX_WBITS)), "hello" + large);
  EXPECT_EQ(unpacked(empty), "");
  EXPECT_EQ(unpacked(member + "padding"), "hello") << "as gzip itself has it";
  EXPECT_EQ(state_of(with_length("Content-Encoding: gzip\r\n", member + member.substr(0, 12))),
            State::malformed);
  EXPECT_EQ(body_of(with_length("Content-Encoding: X-GZIP\r\n", member)), "hello");
  const std::string half(ResponseParser::max_response / 2 + 1, '\0');
  const std::string bomb = packed(half, 16 + MAX_WBITS);
  EXPECT_EQ(state_of(with_length("Content-Encoding: gzip\r\n", bomb + bomb)), State::beyond_bounds);
}

TEST(ResponseParser, BoundsWhatItReads) {
  const std::string field(ResponseParser::max_line - 4, 'x');
  const std::string end = "\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(state_of("HTTP/1.1 200 OK\r\nX: " + field + end), State::complete);
  EXPECT_EQ(state_of("HTTP/1.1 200 OK\r\nX: " + field + "xxx" + end), State::beyond_bounds);
  EXPECT_EQ(state_of("HTTP/1.1 200 OK\r\nX: " + std::string(64 << 10, 'x') + end),
            State::beyond_bounds);
  EXPECT_EQ(state_of("HTTP/1.1 200 OK\r\nX: " + field + "\r\n " + field + end),
            State::beyond_bounds)
      << "however many lines it has";
  EXPECT_EQ(state_of(std::string(64 << 10, 'x')), State::malformed) << "hardly HTTP";
  EXPECT_EQ(state_of("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
            State::beyond_bounds);
  EXPECT_EQ(state_of("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            State::beyond_bounds);
  EXPECT_EQ(state_of(std::string(chunked) + "fffffffff\r\n"), State::beyond_bounds);
  EXPECT_EQ(state_of(std::string(chunked) + "fffffffffffffffff\r\n"), State::beyond_bounds);

  const std::string bomb = packed(std::string(ResponseParser::max_response + 1, '\0'), 31);
  EXPECT_EQ(state_of(with_length("Content-Encoding: gzip\r\n", bomb)), State::beyond_bounds);

  ResponseParser parser(true);
  const std::string interim = "HTTP/1.1 100 Continue\r\nX: " + field + "\r\n\r\n";
  std::uint64_t fed = 0;
  while (parser.state() == State::incomplete && fed <= 2 * ResponseParser::max_response) {
    fed += parser.feed(interim);
  }
  EXPECT_EQ(parser.state(), State::beyond_bounds) << "interim responses without an end";
}

}  // namespace
}  // namespace hyperpod::client::transport
