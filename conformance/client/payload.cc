// SPDX-License-Identifier: Apache-2.0
#include "client/payload.h"

#include <openssl/sha.h>

#include <array>

namespace hyperpod::conformance::client {
namespace {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Digest sha256(std::string_view bytes) {
  Digest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

}  // namespace

std::string payload(std::uint64_t seed, std::uint64_t size) {
  const std::string prefix = std::to_string(seed) + ":";
  std::string bytes;
  bytes.reserve(size + SHA256_DIGEST_LENGTH);
  for (std::uint64_t block = 0; bytes.size() < size; ++block) {
    const Digest digest = sha256(prefix + std::to_string(block));
    bytes.append(digest.begin(), digest.end());
  }
  bytes.resize(size);
  return bytes;
}

std::string chunk_header(std::uint64_t size) {
  constexpr std::uint32_t kv_2ltd = 1;
  constexpr std::uint32_t uint8 = 6;
  const auto length = static_cast<std::uint32_t>(size);
  std::string bytes;
  for (const std::uint32_t word : {length, kv_2ltd, uint8, 2u, 1u, length / 2, 1u}) {
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(word >> shift);
  }
  return bytes;
}

std::string sha256_hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : sha256(bytes)) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace hyperpod::conformance::client
