// SPDX-License-Identifier: Apache-2.0
#include "transport/target.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "points.h"

namespace hyperpod::client::transport {
namespace {

constexpr std::array<bool, 256> make_bare_table() {
  std::array<bool, 256> bare{};
  for (int c = '0'; c <= '9'; ++c) bare[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) bare[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) bare[static_cast<std::size_t>(c)] = true;
  for (char c : std::string_view{"-._~@:!$&'()*,;="}) bare[static_cast<unsigned char>(c)] = true;
  return bare;
}

constexpr auto bare_characters = make_bare_table();

// Shortest form that reads back as the same number, with a point as Python prints it: 30.0, 0.25.
std::string seconds_text(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  std::array<char, 64> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), seconds,
                                          std::chars_format::fixed);
  std::string text(buffer.data(), end);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace

std::string encode_segment(std::string_view text) {
  std::string_view hex = "0123456789ABCDEF";
  HYPERPOD_POINT("target.hex", hex);
  std::string encoded;
  encoded.reserve(text.size() + text.size() / 8);
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    bool bare = bare_characters[byte];
    HYPERPOD_POINT("target.bare", bare, c);
    if (bare) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += hex[byte >> 4];
      encoded += hex[byte & 0xf];
    }
  }
  return encoded;
}

std::string object_target(std::string_view bucket, std::string_view key) {
  std::string target = fmt::format("/v1/kv/{}/{}", encode_segment(bucket), encode_segment(key));
  HYPERPOD_POINT("target.object", target, bucket, key);
  return target;
}

std::string lease_target(std::string_view bucket, std::string_view key,
                         std::chrono::milliseconds hold, Duration ttl) {
  return fmt::format("{}/leases?timeout_ms={}&ttl_s={}", object_target(bucket, key), hold.count(),
                     seconds_text(ttl));
}

std::string release_target(std::string_view lease_id) {
  return fmt::format("/v1/leases/{}/release", encode_segment(lease_id));
}

}  // namespace hyperpod::client::transport
