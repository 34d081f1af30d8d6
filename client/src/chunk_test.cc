// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/chunk.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>

namespace hyperpod::client {
namespace {

std::vector<std::byte> golden(const std::string& name) {
  std::ifstream file(std::string(HYPERPOD_FIXTURES) + "/golden/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  std::vector<std::byte> bytes;
  for (char c = 0; file.get(c);) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

ChunkLayout one_group(MemoryFormat format, ElementType type, std::array<std::int32_t, 4> shape) {
  return {format, {{type, shape}}};
}

struct Golden {
  const char* file;
  ChunkLayout layout;
  std::uint64_t payload_bytes;
};

// As fixtures/golden/README.md describes them.
const std::vector<Golden>& goldens() {
  using enum ElementType;
  using enum MemoryFormat;
  static const std::vector<Golden> all = {
      {"kv_2ltd_bf16_2x1x4x8.header.bin", one_group(kv_2ltd, bfloat16, {2, 1, 4, 8}), 128},
      {"kv_2ltd_two_groups_bf16_fp8.header.bin",
       {kv_2ltd, {{bfloat16, {2, 1, 4, 8}}, {float8_e4m3fn, {2, 1, 4, 8}}}},
       192},
      {"kv_t2d_fp16_4x2x8_zero_padded.header.bin", one_group(kv_t2d, float16, {4, 2, 8, 0}), 128},
      {"kv_2td_fp32_1x2x4x8_one_padded.header.bin", one_group(kv_2td, float32, {1, 2, 4, 8}), 256},
      {"kv_mla_bf16_2x4x16_zero_padded.header.bin", one_group(kv_mla_fmt, bfloat16, {2, 4, 16, 0}),
       256},
      {"kv_mla_bf16_1x2x4x16_one_padded.header.bin", one_group(kv_mla_fmt, bfloat16, {1, 2, 4, 16}),
       256},
      {"binary_uint8_300.header.bin", one_group(binary, uint8, {300, 0, 0, 0}), 300},
      {"binary_buffer_none_300.header.bin", one_group(binary_buffer, none, {300, 0, 0, 0}), 300},
  };
  return all;
}

TEST(ChunkHeader, EncodesTheGoldenBytes) {
  for (const Golden& g : goldens()) {
    EXPECT_EQ(encode_chunk_header(g.layout, g.payload_bytes), golden(g.file)) << g.file;
  }
}

TEST(ChunkHeader, DecodesTheGoldenBytes) {
  for (const Golden& g : goldens()) {
    const auto header = decode_chunk_header(golden(g.file), g.layout.groups.size());
    ASSERT_TRUE(header) << g.file;
    EXPECT_EQ(*header, (ChunkHeader{g.payload_bytes, g.layout})) << g.file;
    const bool typed = header->layout.groups[0].type != ElementType::none;
    EXPECT_EQ(header->layout.payload_bytes(), typed ? g.payload_bytes : 0) << g.file;
  }
}

TEST(ChunkHeader, ReadsHalfAndWritesFloat16) {
  const auto half = golden("kv_2ltd_half_2x1x4x8_legacy.header.bin");
  const auto header = decode_chunk_header(half, 1);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->layout.groups[0].type, ElementType::half);
  const auto rewritten = encode_chunk_header(header->layout, header->payload_bytes);
  ASSERT_TRUE(rewritten);
  EXPECT_EQ(decode_chunk_header(*rewritten, 1)->layout.groups[0].type, ElementType::float16);
}

TEST(ChunkHeader, IsReadFromTheStartOfALongerObject) {
  const auto header = decode_chunk_header(golden("kv_2ltd_bf16_2x1x4x8.chunk.bin"), 1);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->payload_bytes, 128u);
}

TEST(ChunkHeader, RefusesEveryTruncation) {
  for (const Golden& g : goldens()) {
    const auto bytes = golden(g.file);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      const auto header = decode_chunk_header(std::span(bytes).first(n), g.layout.groups.size());
      ASSERT_FALSE(header) << g.file << " cut to " << n;
      EXPECT_EQ(header.error().code, ErrorCode::malformed_response);
    }
  }
}

TEST(ChunkHeader, RefusesCodesLengthsAndDimensionsThatCannotBe) {
  const auto good = golden("kv_2ltd_bf16_2x1x4x8.header.bin");
  const auto with = [&](std::size_t field, std::int32_t value) {
    auto bytes = good;
    for (std::size_t i = 0; i < 4; ++i) {
      bytes[4 * field + i] =
          static_cast<std::byte>((static_cast<std::uint32_t>(value) >> (8 * i)) & 0xff);
    }
    return decode_chunk_header(bytes, 1);
  };
  EXPECT_TRUE(with(0, 1));
  EXPECT_FALSE(with(0, 0));
  EXPECT_FALSE(with(0, -1));
  EXPECT_TRUE(with(1, 8));
  EXPECT_FALSE(with(1, 9));
  EXPECT_FALSE(with(1, -1));
  EXPECT_TRUE(with(2, 8));
  EXPECT_FALSE(with(2, 9));
  EXPECT_FALSE(with(2, -1));
  EXPECT_FALSE(with(6, -1));
  EXPECT_FALSE(with(3, std::numeric_limits<std::int32_t>::min()));
}

TEST(ChunkHeader, CannotTellMoreThanTwoGibibytes) {
  const auto layout = one_group(MemoryFormat::binary, ElementType::uint8, {1, 0, 0, 0});
  EXPECT_TRUE(encode_chunk_header(layout, 0x7fffffff));
  EXPECT_EQ(encode_chunk_header(layout, 0x80000000).error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(encode_chunk_header({}, 1));
}

TEST(ChunkLayout, CountsTheSameBytesUnderBothPaddings) {
  EXPECT_EQ(one_group(MemoryFormat::kv_t2d, ElementType::float16, {16, 2, 8, 0}).payload_bytes(),
            512u);
  EXPECT_EQ(one_group(MemoryFormat::kv_t2d, ElementType::float16, {1, 16, 2, 8}).payload_bytes(),
            512u);
}

TEST(ChunkLayout, SaturatesInsteadOfOverflowing) {
  constexpr auto big = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(
      one_group(MemoryFormat::kv_2ltd, ElementType::float64, {big, big, big, big}).payload_bytes(),
      std::numeric_limits<std::uint64_t>::max());
}

TEST(PartialChunk, HasAsManyTokensAsItsBytesHold) {
  const auto full = one_group(MemoryFormat::kv_2ltd, ElementType::bfloat16, {2, 4, 256, 64});
  const std::uint64_t token = 2 * 4 * 64 * 2;
  EXPECT_EQ(*partial_layout(full, 256 * token), full);
  EXPECT_EQ(partial_layout(full, 7 * token)->groups[0].shape,
            (std::array<std::int32_t, 4>{2, 4, 7, 64}));
}

TEST(PartialChunk, CountsTokensWhereTheFormatHasThem) {
  const auto tokens = [](MemoryFormat format, std::array<std::int32_t, 4> shape, std::size_t at) {
    const auto full = one_group(format, ElementType::uint8, shape);
    const auto partial = partial_layout(full, full.payload_bytes() / 2);
    ASSERT_TRUE(partial) << partial.error().message;
    shape[at] /= 2;
    EXPECT_EQ(partial->groups[0].shape, shape);
  };
  tokens(MemoryFormat::kv_t2d, {16, 2, 8, 0}, 0);
  tokens(MemoryFormat::kv_2td, {2, 16, 8, 0}, 1);
  tokens(MemoryFormat::kv_mla_fmt, {1, 3, 16, 8}, 2);
  tokens(MemoryFormat::kv_mla_fmt, {3, 16, 8, 0}, 1);
  tokens(MemoryFormat::binary, {16, 0, 0, 0}, 0);
}

TEST(PartialChunk, SharesItsTokensAmongGroups) {
  const ChunkLayout full{
      MemoryFormat::kv_2ltd,
      {{ElementType::bfloat16, {2, 3, 16, 64}}, {ElementType::uint8, {2, 5, 16, 32}}}};
  const auto partial = partial_layout(full, full.payload_bytes() / 4);
  ASSERT_TRUE(partial);
  EXPECT_EQ(partial->groups[0].shape[2], 4);
  EXPECT_EQ(partial->groups[1].shape[2], 4);
  EXPECT_EQ(partial->payload_bytes(), full.payload_bytes() / 4);
}

TEST(PartialChunk, IsRefusedWhenItDoesNotDivideOrExceedsTheFullChunk) {
  const auto full = one_group(MemoryFormat::kv_2ltd, ElementType::bfloat16, {2, 4, 256, 64});
  const std::uint64_t token = 2 * 4 * 64 * 2;
  for (std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, token + 2, 257 * token}) {
    const auto partial = partial_layout(full, bytes);
    ASSERT_FALSE(partial) << bytes;
    EXPECT_EQ(partial.error().code, ErrorCode::malformed_response);
  }
}

TEST(PartialChunk, NeedsALayoutWithTokens) {
  for (const ChunkLayout& full :
       {ChunkLayout{}, one_group(MemoryFormat::undefined, ElementType::uint8, {1, 1, 1, 1}),
        one_group(MemoryFormat::kv_2ltd, ElementType::uint8, {2, 4, 0, 0}),
        one_group(MemoryFormat::kv_2ltd, ElementType::none, {2, 4, 8, 8}),
        ChunkLayout{MemoryFormat::kv_2ltd,
                    {{ElementType::uint8, {2, 3, 16, 64}}, {ElementType::uint8, {2, 3, 8, 64}}}}}) {
    EXPECT_EQ(partial_layout(full, 8).error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace hyperpod::client
