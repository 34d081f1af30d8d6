// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/text.h"

#include <boost/locale/utf.hpp>
#include <cstdio>
#include <iterator>

namespace hyperpod::base {
namespace {

namespace utf = boost::locale::utf;
using Utf8 = utf::utf_traits<char>;

bool must_be_escaped(char32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) ||  // C0, DEL, C1
         (code >= 0x2028 && code <= 0x202e) ||             // line separators, directions
         (code >= 0x2066 && code <= 0x2069);               // directions
}

void append_escape(std::string& out, const char* format, char32_t code) {
  char escape[16];
  std::snprintf(escape, sizeof escape, format, static_cast<unsigned>(code));
  out += escape;
}

}  // namespace

std::optional<Character> first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return Character{lead, 1};
  const char* at = text.data();
  const auto code = Utf8::decode(at, text.data() + text.size());
  if (!utf::is_valid_codepoint(code)) return std::nullopt;
  return Character{code, static_cast<std::size_t>(at - text.data())};
}

void append_utf8(std::string& text, char32_t code) {
  constexpr char32_t replacement = 0xfffd;
  Utf8::encode(utf::is_valid_codepoint(code) ? code : replacement, std::back_inserter(text));
}

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
      append_escape(out, "\\x%02x", static_cast<unsigned char>(text.front()));
    } else {
      append_escape(out, "\\u%04x", character->code);
    }
    text.remove_prefix(size);
  }
  return out;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t most = 80;
  if (text.size() <= most) return "'" + printable(text) + "'";
  std::size_t end = most;  // or a little less, in front of a character that would be cut in two
  while (end > most - 3 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return "'" + printable(text.substr(0, end)) + "...'";
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
      append_escape(out, "\\u%04x", character->code);
    } else {
      if (text.front() == '"' || text.front() == '\\') out += '\\';
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  out += '"';
  return out;
}

}  // namespace hyperpod::base
