// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/chunk.h"

#include <fmt/format.h>

#include <limits>

#include "points.h"

namespace hyperpod::client {
namespace {

Error malformed(std::string message) { return {ErrorCode::malformed_response, std::move(message)}; }
Error unusable(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

constexpr std::uint64_t unbounded = std::numeric_limits<std::uint64_t>::max();

std::uint64_t multiply_saturating(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? unbounded : product;
}

std::uint64_t add_saturating(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? unbounded : sum;
}

// Dimensions in use: all up to the first zero, which starts the padding.
std::size_t rank_of(const TensorLayout& tensor) {
  std::size_t rank = 0;
  while (rank < tensor.shape.size() && tensor.shape[rank] > 0) ++rank;
  return rank;
}

std::uint64_t tensor_bytes(const TensorLayout& tensor) {
  const std::size_t rank = rank_of(tensor);
  if (rank == 0) return 0;
  std::uint64_t bytes = element_size(tensor.type);
  for (std::size_t i = 0; i < rank; ++i) {
    bytes = multiply_saturating(bytes, static_cast<std::uint64_t>(tensor.shape[i]));
  }
  return bytes;
}

// Where the tokens are counted in a tensor of that format and rank.
std::optional<std::size_t> token_dimension(MemoryFormat format, std::size_t rank) {
  const auto within = [rank](std::size_t dimension) -> std::optional<std::size_t> {
    if (dimension < rank) return dimension;
    return std::nullopt;
  };
  switch (format) {
    case MemoryFormat::kv_2ltd:
      return within(2);
    case MemoryFormat::kv_2td:
      return within(1);
    case MemoryFormat::kv_mla_fmt:
      return rank == 4 ? within(2) : within(1);  // 4: (1, L, T, D)
    case MemoryFormat::kv_t2d:
    case MemoryFormat::ec_td:
    case MemoryFormat::hs_td:
    case MemoryFormat::binary:
    case MemoryFormat::binary_buffer:
      return within(0);
    case MemoryFormat::undefined:
      break;
  }
  return std::nullopt;
}

void append_int32(std::vector<std::byte>& out, std::int32_t value) {
  const auto bits = static_cast<std::uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) {
    int at = shift;
    HYPERPOD_POINT("chunk.shift", at);
    out.push_back(static_cast<std::byte>((bits >> at) & 0xff));
  }
}

std::int32_t read_int32(std::span<const std::byte> bytes, std::size_t index) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    bits |= std::to_integer<std::uint32_t>(bytes[4 * index + i]) << (8 * i);
  }
  return static_cast<std::int32_t>(bits);
}

bool is_known(ElementType type) {
  return type >= ElementType::none && type <= ElementType::float8_e5m2;
}
bool is_known(MemoryFormat format) {
  return format >= MemoryFormat::undefined && format <= MemoryFormat::hs_td;
}

Result<TensorLayout> read_tensor(std::span<const std::byte> bytes, std::size_t first) {
  TensorLayout tensor;
  tensor.type = static_cast<ElementType>(read_int32(bytes, first));
  if (!is_known(tensor.type)) {
    return tl::unexpected(malformed(fmt::format("the chunk header names the unknown dtype {}",
                                                static_cast<std::int32_t>(tensor.type))));
  }
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    tensor.shape[i] = read_int32(bytes, first + 1 + i);
    if (tensor.shape[i] < 0) {
      return tl::unexpected(malformed(
          fmt::format("the chunk header holds the negative dimension {}", tensor.shape[i])));
    }
  }
  return tensor;
}

}  // namespace

std::uint64_t element_size(ElementType type) {
  switch (type) {
    case ElementType::none:
      return 0;
    case ElementType::uint8:
    case ElementType::float8_e4m3fn:
    case ElementType::float8_e5m2:
      return 1;
    case ElementType::half:
    case ElementType::float16:
    case ElementType::bfloat16:
      return 2;
    case ElementType::float32:
      return 4;
    case ElementType::float64:
      return 8;
  }
  return 0;
}

std::uint64_t ChunkLayout::payload_bytes() const {
  std::uint64_t total = 0;
  for (const TensorLayout& group : groups) total = add_saturating(total, tensor_bytes(group));
  return total;
}

Result<std::vector<std::byte>> encode_chunk_header(const ChunkLayout& layout,
                                                   std::uint64_t payload_bytes) {
  if (layout.groups.empty()) {
    return tl::unexpected(unusable("a chunk's layout must hold at least one group"));
  }
  if (payload_bytes > std::numeric_limits<std::int32_t>::max()) {
    return tl::unexpected(unusable(fmt::format(
        "a chunk of {} bytes exceeds the 2 GiB that its header can tell", payload_bytes)));
  }
  std::vector<std::byte> header;
  header.reserve(chunk_header_bytes(layout.groups.size()));
  append_int32(header, static_cast<std::int32_t>(payload_bytes));
  append_int32(header, static_cast<std::int32_t>(layout.format));
  for (const TensorLayout& group : layout.groups) {
    // half and float16 are one type with two codes, of which LMCache writes only the second.
    const auto type = group.type == ElementType::half ? ElementType::float16 : group.type;
    append_int32(header, static_cast<std::int32_t>(type));
    for (std::int32_t dimension : group.shape) append_int32(header, dimension);
  }
  return header;
}

Result<ChunkHeader> decode_chunk_header(std::span<const std::byte> bytes, std::size_t groups) {
  if (bytes.size() < chunk_header_bytes(groups)) {
    return tl::unexpected(
        malformed(fmt::format("the object's {} bytes are fewer than the {} of its chunk header",
                              bytes.size(), chunk_header_bytes(groups))));
  }
  ChunkHeader header;
  const std::int32_t length = read_int32(bytes, 0);
  if (length <= 0) {
    return tl::unexpected(
        malformed(fmt::format("the chunk header tells a payload of {} bytes", length)));
  }
  header.payload_bytes = static_cast<std::uint64_t>(length);
  header.layout.format = static_cast<MemoryFormat>(read_int32(bytes, 1));
  if (!is_known(header.layout.format)) {
    return tl::unexpected(malformed(
        fmt::format("the chunk header names the unknown format {}", read_int32(bytes, 1))));
  }
  header.layout.groups.reserve(groups);
  for (std::size_t group = 0; group < groups; ++group) {
    auto tensor = read_tensor(bytes, 2 + 5 * group);
    if (!tensor) return tl::unexpected(std::move(tensor).error());
    header.layout.groups.push_back(*tensor);
  }
  return header;
}

Result<ChunkLayout> partial_layout(const ChunkLayout& full, std::uint64_t bytes) {
  ChunkLayout partial = full;
  std::uint64_t token_bytes = 0;
  std::int32_t full_tokens = 0;
  for (const TensorLayout& group : full.groups) {
    const auto dimension = token_dimension(full.format, rank_of(group));
    if (!dimension || element_size(group.type) == 0 ||
        (full_tokens != 0 && group.shape[*dimension] != full_tokens)) {
      return tl::unexpected(
          unusable("the layout of a full chunk must give every group the same number of tokens"));
    }
    full_tokens = group.shape[*dimension];
    token_bytes =
        add_saturating(token_bytes, tensor_bytes(group) / static_cast<std::uint64_t>(full_tokens));
  }
  if (full_tokens == 0) {
    return tl::unexpected(unusable("a chunk's layout must hold at least one group"));
  }
  if (bytes == 0 || bytes % token_bytes != 0 || bytes > full.payload_bytes()) {
    return tl::unexpected(malformed(
        fmt::format("an object of {} bytes is not a partial chunk of {} bytes a token and at "
                    "most {} bytes; do reader and writer agree on the layout?",
                    bytes, token_bytes, full.payload_bytes())));
  }
  for (TensorLayout& group : partial.groups) {
    group.shape[*token_dimension(full.format, rank_of(group))] =
        static_cast<std::int32_t>(bytes / token_bytes);
  }
  return partial;
}

}  // namespace hyperpod::client
