// SPDX-License-Identifier: Apache-2.0
#include "http/chunk_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace hyperpod::emulator::http {
namespace {

using namespace std::string_literals;
using Event = ChunkDecoder::Event;

/// What a decoder makes of a body that arrives in pieces.
struct Decoded {
  std::string data;
  Event last = Event::need_more;
  std::size_t unread = 0;  ///< Bytes behind the end of the body.
  friend bool operator==(const Decoded&, const Decoded&) = default;
};

Decoded decode(const std::vector<std::string_view>& pieces) {
  ChunkDecoder decoder;
  Decoded decoded;
  for (std::string_view piece : pieces) {
    while (decoded.last != Event::end && decoded.last != Event::malformed) {
      decoded.last = decoder.next(piece);
      if (decoded.last == Event::need_more) break;
      if (decoded.last == Event::data) {
        const auto taken = std::min<std::uint64_t>(decoder.data_left(), piece.size());
        decoded.data += piece.substr(0, taken);
        piece.remove_prefix(taken);
        decoder.data_taken(taken);
        if (piece.empty()) break;
      }
    }
    decoded.unread += piece.size();
  }
  return decoded;
}

Decoded decode(std::string_view body) { return decode(std::vector{body}); }

void expect_malformed(std::string_view body) {
  EXPECT_EQ(decode(body).last, Event::malformed) << body;
}

TEST(ChunkDecoder, GivesTheDataOfEachChunk) {
  EXPECT_EQ(decode("3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"), (Decoded{"abcdefgh", Event::end, 0}));
  EXPECT_EQ(decode("0\r\n\r\n"), (Decoded{"", Event::end, 0}));
}

TEST(ChunkDecoder, PassesOverWhiteSpaceInFrontOfAnExtension) {
  EXPECT_EQ(decode("3 ;x\r\nabc\r\n0\t ; y=\"z\"\r\n\r\n"), (Decoded{"abc", Event::end, 0}));
  expect_malformed("3 \r\nabc\r\n0\r\n\r\n");
  expect_malformed("3 4;x\r\nabc\r\n0\r\n\r\n");
}

TEST(ChunkDecoder, LeavesWhatFollowsTheBody) {
  EXPECT_EQ(decode("1\r\na\r\n0\r\n\r\nPUT"), (Decoded{"a", Event::end, 3}));
}

TEST(ChunkDecoder, TellsHowMuchOfAChunkIsStillToCome) {
  ChunkDecoder decoder;
  std::string_view input = "1A\r\n";
  ASSERT_EQ(decoder.next(input), Event::data);
  EXPECT_EQ(decoder.data_left(), 26u);
  decoder.data_taken(20);
  EXPECT_EQ(decoder.data_left(), 6u);
  ASSERT_EQ(decoder.next(input), Event::data);
  decoder.data_taken(6);
  EXPECT_EQ(decoder.next(input), Event::need_more);
}

TEST(ChunkDecoder, ReadsSizesInHexOfEitherCase) {
  for (const char* size : {"1a", "1A", "0001a", "000000000000001a"}) {
    const auto body = size + "\r\n"s + std::string(26, 'x') + "\r\n0\r\n\r\n";
    EXPECT_EQ(decode(body).data.size(), 26u) << size;
    EXPECT_EQ(decode(body).last, Event::end) << size;
  }
}

TEST(ChunkDecoder, ReadsTheLargestSizeThereIs) {
  ChunkDecoder decoder;
  std::string_view input = "ffffffffffffffff\r\n";
  EXPECT_EQ(decoder.next(input), Event::data);
  EXPECT_EQ(decoder.data_left(), 0xffffffffffffffffu);
}

TEST(ChunkDecoder, RefusesSizesThatDoNotFit) {
  expect_malformed("10000000000000000\r\n");
  expect_malformed("fffffffffffffffff\r\n");
  expect_malformed("fffffffffffffffffffffffff");
}

TEST(ChunkDecoder, DoesNotReadZerosForEver) { expect_malformed(std::string(100'000, '0')); }

TEST(ChunkDecoder, RefusesWhatIsNoSize) {
  for (const char* body : {"\r\n", "x\r\n", "-1\r\n", "+1\r\n", " 1\r\n", "0x1\r\n", "1 \r\na",
                           "1g\r\n", ";a\r\n", "g", "\n", "1\na", "1\ra"}) {
    expect_malformed(body);
  }
}

TEST(ChunkDecoder, RefusesDataThatIsLongerThanItsSize) {
  expect_malformed("1\r\nab\r\n0\r\n\r\n");
  expect_malformed("1\r\na0\r\n\r\n");
  expect_malformed("1\r\na\n0\r\n\r\n");
  expect_malformed("1\r\na\r0\r\n\r\n");
}

TEST(ChunkDecoder, ReadsPastExtensionsAndTrailers) {
  EXPECT_EQ(decode("1;a=b;c=\"d\te\"\r\nx\r\n0;z\r\nChecksum: 1\r\nX:\r\n\r\nrest"),
            (Decoded{"x", Event::end, 4}));
}

TEST(ChunkDecoder, RefusesControlCharactersInExtensionsAndTrailers) {
  for (const auto& body : {"1;a\n"s, "1;a\0"s, "1;a\x1b"s, "0\r\nX: y\n"s, "0\r\nX\0"s, "0\r\n\n"s,
                           "0\r\nX: y\r\r\n"s, "0\r\n\rX"s}) {
    expect_malformed(body);
  }
}

TEST(ChunkDecoder, DoesNotReadExtensionsAndTrailersForEver) {
  const std::string much(8 * 1024, 'x');
  EXPECT_EQ(decode("0;" + much + "\r\n\r\n").last, Event::end);
  EXPECT_EQ(decode("0\r\n" + much + "\r\n\r\n").last, Event::end);
  expect_malformed("0;" + much + "x");
  expect_malformed("0\r\n" + much + "x");
  std::string many = "0\r\n";
  for (int i = 0; i < 10'000; ++i) many += "X:\r\n";
  expect_malformed(many);
}

TEST(ChunkDecoder, StaysAtItsEnd) {
  ChunkDecoder decoder;
  std::string_view input = "0\r\n\r\n1\r\n";
  EXPECT_EQ(decoder.next(input), Event::end);
  EXPECT_EQ(decoder.next(input), Event::end);
  EXPECT_EQ(input, "1\r\n");
}

TEST(ChunkDecoder, StaysMalformed) {
  ChunkDecoder decoder;
  std::string_view input = "x0\r\n\r\n";
  EXPECT_EQ(decoder.next(input), Event::malformed);
  EXPECT_EQ(decoder.next(input), Event::malformed);
}

// --- Properties
// ---------------------------------------------------------------------------------

std::vector<std::string_view> split(std::string_view body) {
  std::vector<std::string_view> pieces;
  while (!body.empty()) {
    const auto length = std::min(body.size(), *rc::gen::inRange<std::size_t>(1, 9));
    pieces.push_back(body.substr(0, length));
    body.remove_prefix(length);
  }
  return pieces;
}

RC_GTEST_PROP(ChunkDecoderProperty, DecodesWhatWasEncodedHoweverItIsSplit,
              (const std::vector<std::string>& chunks, const std::string& rest)) {
  std::string body;
  std::string data;
  for (const auto& chunk : chunks) {
    if (chunk.empty()) continue;
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string size;
    for (auto left = chunk.size(); left > 0; left /= 16)
      size.insert(size.begin(), digits[left % 16]);
    body += size + "\r\n" + chunk + "\r\n";
    data += chunk;
  }
  body += "0\r\n\r\n" + rest;
  RC_ASSERT(decode(split(body)) == (Decoded{data, Event::end, rest.size()}));
}

RC_GTEST_PROP(ChunkDecoderProperty, AnySplitOfAnyInputGivesTheSame, ()) {
  const auto body =
      *rc::gen::container<std::string>(rc::gen::elementOf("00123aF;x\r\r\r\r\n\n\n\n"s));
  RC_ASSERT(decode(split(body)) == decode(body));
}

}  // namespace
}  // namespace hyperpod::emulator::http
