// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/checksum.h"

#include <openssl/evp.h>
#include <xxhash.h>
#ifdef HYPERPOD_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>  // after xxhash.h
#endif

#include <array>
#include <new>
#include <nlohmann/json.hpp>

namespace hyperpod::client::checkpoint {
namespace {

constexpr std::string_view algorithm = "xxh3_128";

}  // namespace

Checksum::Checksum() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  reset();
}

void Checksum::Free::operator()(void* state) const noexcept {
  XXH3_freeState(static_cast<XXH3_state_t*>(state));
}

void Checksum::reset() { XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_.get())); }

void Checksum::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_.get()), bytes.data(), bytes.size());
}

std::string Checksum::base64() const {
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest,
                           XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_.get())));
  std::array<unsigned char, 25> text{};  // 16 bytes in base64, and a zero
  const int length = EVP_EncodeBlock(text.data(), digest.digest, sizeof digest.digest);
  return {reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(length)};
}

std::string shard_meta(std::string_view checksum) {
  return R"({"checksum": ")" + std::string(checksum) + R"(", "algorithm": ")" +
         std::string(algorithm) + R"("})";
}

std::optional<std::string> checksum_in(std::string_view shard_meta) {
  const auto json = nlohmann::json::parse(shard_meta, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto named = json.find("algorithm");
  const auto checksum = json.find("checksum");
  if (named == json.end() || *named != algorithm) return std::nullopt;
  if (checksum == json.end() || !checksum->is_string()) return std::nullopt;
  return checksum->get<std::string>();
}

}  // namespace hyperpod::client::checkpoint
