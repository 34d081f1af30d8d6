// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/shard_meta.h"

#include <xxhash.h>
#ifdef HYPERPOD_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>  // after xxhash.h
#endif

#include <new>
#include <nlohmann/json.hpp>

namespace hyperpod::emulator::checkpoint {

std::optional<std::string> announced_checksum(std::string_view header) {
  const auto json = nlohmann::json::parse(header, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto algorithm = json.find("algorithm");
  const auto checksum = json.find("checksum");
  if (algorithm == json.end() || *algorithm != "xxh3_128") return std::nullopt;
  if (checksum == json.end() || !checksum->is_string()) return std::nullopt;
  return checksum->get<std::string>();
}

Checksum::Checksum() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_.get()));
}

void Checksum::Free::operator()(void* state) const noexcept {
  XXH3_freeState(static_cast<XXH3_state_t*>(state));
}

void Checksum::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_.get()), bytes.data(), bytes.size());
}

std::string Checksum::base64() const {
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest,
                           XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_.get())));
  constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < sizeof digest.digest; at += 3) {
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (at + i < sizeof digest.digest ? digest.digest[at + i] : 0u);
    }
    for (int shift = 18; shift >= 0; shift -= 6) text += alphabet[group >> shift & 63u];
  }
  // 16 bytes are one short of 18: two characters are padding.
  text.replace(text.size() - 2, 2, "==");
  return text;
}

}  // namespace hyperpod::emulator::checkpoint
