// SPDX-License-Identifier: Apache-2.0
// UTF-8, and text of others (file contents, arguments, request targets) made fit for one line of
// output.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace hyperpod::base {

struct Character {
  char32_t code;
  std::size_t size;  ///< In bytes of UTF-8.
};

/// The character that `text`, which must not be empty, begins with; nullopt if its first bytes are
/// not UTF-8 as RFC 3629 has it.
std::optional<Character> first_character(std::string_view text);

/// Appends `code` as UTF-8; U+FFFD where it is a surrogate or beyond U+10FFFF.
void append_utf8(std::string& text, char32_t code);

/// `text` with everything escaped that could break a line, drive a terminal or reorder what it
/// shows: each control character as \n, \t or \xHH, each one beyond ASCII (C1), line separator and
/// direction mark as \uHHHH, each byte that is not UTF-8 as \xHH. The rest stays.
std::string printable(std::string_view text);

/// printable(text) in single quotes, cut with "..." when it is long: for messages.
std::string quoted(std::string_view text);

/// `text` as a string of JSON, quotes included. The same characters are escaped; a byte that is not
/// UTF-8 becomes U+FFFD.
std::string json_string(std::string_view text);

}  // namespace hyperpod::base
