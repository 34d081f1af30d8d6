// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chunk header: what is read is written back the same.
#include <algorithm>
#include <cstdlib>

#include "hyperpod/client/chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hyperpod::client;
  if (size == 0) return 0;
  const std::size_t groups = data[0] % 4;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  const auto header = decode_chunk_header(bytes, groups);
  if (!header) return 0;
  if (header->payload_bytes == 0 || header->layout.groups.size() != groups) std::abort();
  std::ignore = partial_layout(header->layout, header->payload_bytes);
  const auto again = encode_chunk_header(header->layout, header->payload_bytes);
  if (groups == 0) return again ? std::abort(), 0 : 0;
  const bool has_half = std::ranges::any_of(
      header->layout.groups, [](const auto& group) { return group.type == ElementType::half; });
  if (!again || (!has_half && !std::ranges::equal(*again, bytes.first(again->size())))) {
    std::abort();
  }
  return 0;
}
