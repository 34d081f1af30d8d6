// SPDX-License-Identifier: Apache-2.0
#include "config_variable.h"

#include <algorithm>
#include <optional>

#include "config_value.h"
#include "hyperpod/base/text.h"

namespace hyperpod::client {
namespace {

// Reads Python's string literals, without prefixes.
class LiteralReader {
 public:
  explicit LiteralReader(std::string_view text) : text_(text) {}

  enum class Outcome { text, several, invalid };

  // One literal, or several side by side, which are one text. Several between commas are a tuple.
  Outcome run(std::string& out) {
    bool several = false;
    skip_blanks();
    while (!text_.empty()) {
      if (!read_literal(out)) return Outcome::invalid;
      skip_blanks();
      if (text_.starts_with(',')) {
        several = true;
        text_.remove_prefix(1);
        skip_blanks();
      }
    }
    return several ? Outcome::several : Outcome::text;
  }

 private:
  void skip_blanks() {
    text_.remove_prefix(std::min(text_.find_first_not_of(" \t\f"), text_.size()));
  }

  bool read_literal(std::string& out) {
    const char quote = text_.empty() ? '\0' : text_.front();
    if (quote != '\'' && quote != '"') return false;
    const std::string three(3, quote);
    const bool is_long = text_.starts_with(three);
    const std::string_view end = is_long ? std::string_view(three) : text_.substr(0, 1);
    text_.remove_prefix(end.size());
    while (!text_.starts_with(end)) {
      if (text_.empty() || (!is_long && text_.front() == '\n')) return false;
      if (text_.front() == '\\') {
        if (!read_escape(out)) return false;
      } else {
        out += text_.front();
        text_.remove_prefix(1);
      }
    }
    text_.remove_prefix(end.size());
    return true;
  }

  bool read_escape(std::string& out) {
    text_.remove_prefix(1);
    if (text_.empty()) return false;
    const char c = text_.front();
    text_.remove_prefix(1);
    constexpr std::string_view letters = "\\'\"abfnrtv";
    constexpr std::string_view meanings = "\\'\"\a\b\f\n\r\t\v";
    if (const auto letter = letters.find(c); letter != std::string_view::npos) {
      out += meanings[letter];
    } else if (c == '\n') {
      // A line that goes on.
    } else if (c >= '0' && c <= '7') {
      char32_t value = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && !text_.empty() && text_[0] >= '0' && text_[0] <= '7'; ++i) {
        value = value * 8 + static_cast<char32_t>(text_[0] - '0');
        text_.remove_prefix(1);
      }
      base::append_utf8(out, value);
    } else if (c == 'x') {
      return read_hex(2, out);
    } else if (c == 'u') {
      return read_hex(4, out);
    } else if (c == 'U') {
      return read_hex(8, out);
    } else if (c == 'N') {
      return false;
    } else {
      out += '\\';
      out += c;
    }
    return true;
  }

  bool read_hex(std::size_t digits, std::string& out) {
    if (text_.size() < digits) return false;
    char32_t value = 0;
    for (char c : text_.substr(0, digits)) {
      value <<= 4;
      if (c >= '0' && c <= '9') {
        value |= static_cast<char32_t>(c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        value |= static_cast<char32_t>((c | 0x20) - 'a' + 10);
      } else {
        return false;
      }
    }
    if (value > 0x10ffff) return false;
    base::append_utf8(out, value);
    text_.remove_prefix(digits);
    return true;
  }

  std::string_view text_;
};

}  // namespace

std::string variable_value(std::string_view text) {
  text = python_strip(text);
  const bool quoted = text.size() >= 2 && text.front() == text.back() &&
                      (text.front() == '\'' || text.front() == '"');
  if (!quoted) return std::string(text);
  std::string value;
  switch (LiteralReader(text).run(value)) {
    case LiteralReader::Outcome::text:
      return value;
    case LiteralReader::Outcome::several:
      return std::string(text);
    case LiteralReader::Outcome::invalid:
      break;
  }
  return std::string(text.substr(1, text.size() - 2));
}

}  // namespace hyperpod::client
