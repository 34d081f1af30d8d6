// SPDX-License-Identifier: Apache-2.0
#include "payload.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>

namespace hyperpod::driver {
namespace {

using Digest = std::array<std::byte, 32>;

// Fetched once: a payload takes a digest for each 32 bytes.
class Hasher {
 public:
  Digest operator()(std::span<const std::byte> bytes) const {
    Digest digest;
    EVP_DigestInit_ex(context_.get(), algorithm_.get(), nullptr);
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD* algorithm) const { EVP_MD_free(algorithm); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD, Free> algorithm_{EVP_MD_fetch(nullptr, "SHA256", nullptr)};
  std::unique_ptr<EVP_MD_CTX, Free> context_{EVP_MD_CTX_new()};
};

}  // namespace

std::vector<std::byte> payload(std::uint64_t seed, std::size_t size) {
  const Hasher hash;
  std::vector<std::byte> bytes(size);
  const std::string prefix = std::to_string(seed) + ':';
  for (std::size_t at = 0, counter = 0; at < size; ++counter) {
    const std::string text = prefix + std::to_string(counter);
    const Digest digest = hash(std::as_bytes(std::span(text)));
    const std::size_t count = std::min(digest.size(), size - at);
    std::copy_n(digest.begin(), count, bytes.begin() + static_cast<std::ptrdiff_t>(at));
    at += count;
  }
  return bytes;
}

std::string sha256(std::span<const std::byte> bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : Hasher()(bytes)) {
    text += digits[std::to_integer<unsigned>(byte) >> 4];
    text += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

}  // namespace hyperpod::driver
