// SPDX-License-Identifier: Apache-2.0
// What LMCache puts in front of a chunk's bytes (docs/protocol.md, "The header of a chunk"): 32-bit
// signed integers, little-endian, `length, format, (dtype, shape0, shape1, shape2, shape3) x
// groups`.
//
// Everything here is a value or a pure function.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hyperpod/client/error.h"

namespace hyperpod::client {

/// Codes of element types as they stand in a header.
enum class ElementType : std::int32_t {
  none = 0,
  half = 1,  ///< Read, never written: LMCache writes float16 instead.
  float16 = 2,
  bfloat16 = 3,
  float32 = 4,
  float64 = 5,
  uint8 = 6,
  float8_e4m3fn = 7,
  float8_e5m2 = 8,
};

/// Bytes of one element; 0 for none.
std::uint64_t element_size(ElementType type);

/// Codes of memory formats as they stand in a header.
enum class MemoryFormat : std::int32_t {
  undefined = 0,
  kv_2ltd = 1,
  kv_t2d = 2,
  kv_2td = 3,
  binary = 4,
  binary_buffer = 5,
  kv_mla_fmt = 6,
  ec_td = 7,
  hs_td = 8,
};

/// One tensor of a chunk. Fewer than four dimensions are padded with zeros behind, or, by newer
/// LMCache, with ones in front; both describe the same elements and both are kept as found.
struct TensorLayout {
  ElementType type = ElementType::none;
  std::array<std::int32_t, 4> shape{};

  friend bool operator==(const TensorLayout&, const TensorLayout&) = default;
};

/// How the bytes of a chunk are to be understood. The groups' tensors lie one behind the other.
struct ChunkLayout {
  MemoryFormat format = MemoryFormat::undefined;
  std::vector<TensorLayout> groups;

  /// Bytes that the groups' elements take.
  std::uint64_t payload_bytes() const;

  friend bool operator==(const ChunkLayout&, const ChunkLayout&) = default;
};

struct ChunkHeader {
  std::uint64_t payload_bytes = 0;
  ChunkLayout layout;

  friend bool operator==(const ChunkHeader&, const ChunkHeader&) = default;
};

/// 8 + 20 x groups: 28 for one group.
constexpr std::size_t chunk_header_bytes(std::size_t groups) { return 8 + 20 * groups; }

/// The header of a payload of `payload_bytes` bytes. Errors (invalid_argument): no group, or more
/// bytes than a 32-bit signed length can tell.
Result<std::vector<std::byte>> encode_chunk_header(const ChunkLayout& layout,
                                                   std::uint64_t payload_bytes);

/// Reads the header of `groups` groups at the start of `bytes`, which may be longer. Errors
/// (malformed_response): too few bytes, a length that is not positive, an unknown code, a negative
/// dimension.
Result<ChunkHeader> decode_chunk_header(std::span<const std::byte> bytes, std::size_t groups);

/// The layout of an object of `bytes` bytes stored without a header, by readers whose
/// configuration says that a full chunk is laid out as `full`: a shorter object is a partial chunk
/// of fewer tokens. Errors (malformed_response): no byte, no whole number of tokens, more than the
/// full chunk; (invalid_argument): `full` has no token dimension.
Result<ChunkLayout> partial_layout(const ChunkLayout& full, std::uint64_t bytes);

}  // namespace hyperpod::client
