// SPDX-License-Identifier: Apache-2.0
#include "text/printable.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>

namespace hyperpod::emulator::text {
namespace {

struct Character {
  char32_t code;
  std::size_t size;  // in bytes
};

/// The character that `text`, which is not empty, begins with; nullopt if that is not UTF-8.
std::optional<Character> first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return Character{lead, 1};
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return std::nullopt;
  auto code = static_cast<char32_t>(lead & (0x7f >> size));
  for (std::size_t at = 1; at < size; ++at) {
    const auto next = static_cast<unsigned char>(text[at]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    code = (code << 6) | (next & 0x3f);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  if (surrogate || overlong || code > 0x10ffff) return std::nullopt;
  return Character{code, size};
}

bool must_be_escaped(char32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) ||  // C0, DEL, C1
         (code >= 0x2028 && code <= 0x202e) ||             // line separators, directions
         (code >= 0x2066 && code <= 0x2069);               // directions
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto character = first_character(text);
    const std::size_t size = character ? character->size : 1;
    if (character && !must_be_escaped(character->code)) {
      out += text.substr(0, size);
    } else if (text.front() == '\n') {
      out += "\\n";
    } else if (text.front() == '\t') {
      out += "\\t";
    } else if (size == 1) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    } else {
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(character->code));
    }
    text.remove_prefix(size);
  }
  return out;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t most = 80;
  const bool cut = text.size() > most;
  return fmt::format("'{}{}'", printable(text.substr(0, most)), cut ? "..." : "");
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  out.reserve(text.size() + 2);
  while (!text.empty()) {
    const auto character = first_character(text);
    const std::size_t size = character ? character->size : 1;
    if (!character) {
      out += "\ufffd";
    } else if (must_be_escaped(character->code)) {
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(character->code));
    } else {
      if (text.front() == '"' || text.front() == '\\') out += '\\';
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  out += '"';
  return out;
}

}  // namespace hyperpod::emulator::text
