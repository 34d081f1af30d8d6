// SPDX-License-Identifier: Apache-2.0
#include "text/percent.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "hyperpod/base/text.h"

namespace hyperpod::emulator::text {
namespace {

/// How many bytes of ASCII there are from `i` on, as far as can be told eight at a time.
std::size_t whole_words_of_ascii(std::string_view text, std::size_t i) {
  const std::size_t begin = i;
  for (std::uint64_t word = 0; i + sizeof word <= text.size(); i += sizeof word) {
    std::memcpy(&word, text.data() + i, sizeof word);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  return i - begin;
}

bool is_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i += whole_words_of_ascii(text, i), i < text.size()) {
    const auto character = base::first_character(text.substr(i));
    if (!character) return false;
    i += character->size;
  }
  return true;
}

}  // namespace

bool is_plain(std::string_view text) {
  const auto rest = text.substr(whole_words_of_ascii(text, 0));
  return std::ranges::all_of(rest, [](char c) { return static_cast<unsigned char>(c) < 0x80; }) &&
         text.find('%') == text.npos;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  return percent_decode(text, decoded) ? std::optional(std::move(decoded)) : std::nullopt;
}

bool percent_decode(std::string_view text, std::string& decoded) {
  decoded.assign(text);
  auto escape = text.find('%');
  if (escape == text.npos) return is_utf8(decoded);
  char* to = decoded.data();
  for (; escape != text.npos; escape = text.find('%')) {
    to = std::copy_n(text.data(), escape, to);
    text.remove_prefix(escape);
    if (text.size() < 3) return false;
    const int high = hex_digit(text[1]);
    const int low = hex_digit(text[2]);
    if (high < 0 || low < 0) return false;
    *to++ = static_cast<char>(high << 4 | low);
    text.remove_prefix(3);
  }
  to = std::copy_n(text.data(), text.size(), to);
  decoded.resize(static_cast<std::size_t>(to - decoded.data()));
  return is_utf8(decoded);
}

}  // namespace hyperpod::emulator::text
