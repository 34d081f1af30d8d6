// SPDX-License-Identifier: Apache-2.0
#include "transport/target.h"

#include <algorithm>
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
void append_seconds(std::string& text, Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  std::array<char, 64> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), seconds,
                                          std::chars_format::fixed);
  const std::string_view digits(buffer.data(), end);
  text.append(digits).append(digits.find('.') == digits.npos ? ".0" : "");
}

void append_encoded(std::string& encoded, std::string_view text) {
  std::string_view hex = "0123456789ABCDEF";
  HYPERPOD_POINT("target.hex", hex);
  const auto is_bare = [](char c) {
    bool bare = bare_characters[static_cast<unsigned char>(c)];
    HYPERPOD_POINT("target.bare", bare, c);
    return bare;
  };
  while (true) {
    const auto next = std::ranges::find_if_not(text, is_bare);
    encoded.append(text.begin(), next);
    if (next == text.end()) return;
    const auto byte = static_cast<unsigned char>(*next);
    encoded += '%';
    encoded += hex[byte >> 4];
    encoded += hex[byte & 0xf];
    text = {next + 1, text.end()};
  }
}

}  // namespace

std::string encode_segment(std::string_view text) {
  std::string encoded;
  append_encoded(encoded, text);
  return encoded;
}

std::string object_target(std::string_view bucket, std::string_view key) {
  constexpr std::size_t around = 64;  // with what a lease request appends
  std::string target;
  target.reserve(around + bucket.size() + key.size() + key.size() / 8);
  target += "/v1/kv/";
  append_encoded(target, bucket);
  target += '/';
  append_encoded(target, key);
  HYPERPOD_POINT("target.object", target, bucket, key);
  return target;
}

std::string lease_target(std::string_view bucket, std::string_view key,
                         std::chrono::milliseconds hold, Duration ttl) {
  std::string target = object_target(bucket, key);
  target.append("/leases?timeout_ms=").append(std::to_string(hold.count())).append("&ttl_s=");
  append_seconds(target, ttl);
  return target;
}

std::string release_target(std::string_view lease_id) {
  std::string target = "/v1/leases/";
  append_encoded(target, lease_id);
  target += "/release";
  return target;
}

}  // namespace hyperpod::client::transport
