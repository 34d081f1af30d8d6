// SPDX-License-Identifier: Apache-2.0
#include "config_json.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

#include "hyperpod/base/text.h"

namespace hyperpod::client {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<ConfigValue> run() {
    ConfigValue value;
    if (read_value(value, 0)) {
      skip_blanks();
      if (at_ == text_.size()) return value;
      expect("the end");
    }
    return tl::unexpected(
        Error{ErrorCode::invalid_option, fmt::format("{} is expected at byte {}", expected_, at_)});
  }

 private:
  // Notes what should stand here. The first note counts.
  bool expect(const char* what) {
    if (expected_ == nullptr) expected_ = what;
    return false;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  void skip_blanks() {
    while (at_ < text_.size() &&
           std::string_view(" \t\n\r").find(text_[at_]) != std::string::npos) {
      ++at_;
    }
  }

  bool read_value(ConfigValue& value, int depth) {
    if (depth > max_value_depth) return expect("less nesting");
    skip_blanks();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (peek() == '{') return read_object(value, depth);
    if (peek() == '[') return read_array(value, depth);
    if (peek() == '"') {
      std::string text;
      if (!read_string(text)) return false;
      value = ConfigValue::of_text(std::move(text));
    } else if (take("null")) {
      value = ConfigValue{};
    } else if (take("true")) {
      value = ConfigValue::of_boolean(true);
    } else if (take("false")) {
      value = ConfigValue::of_boolean(false);
    } else if (take("NaN")) {
      value = ConfigValue::of_decimal(std::numeric_limits<double>::quiet_NaN());
    } else if (take("Infinity")) {
      value = ConfigValue::of_decimal(infinity);
    } else if (take("-Infinity")) {
      value = ConfigValue::of_decimal(-infinity);
    } else {
      return read_number(value);
    }
    return true;
  }

  std::size_t take_digits() {
    const auto begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - begin;
  }

  bool read_number(ConfigValue& value) {
    const auto begin = at_;
    take("-");
    if (!take("0") && take_digits() == 0) {
      at_ = begin;
      return expect("a value");
    }
    bool decimal = false;
    // A point or an exponent without digits does not belong to the number.
    const auto take_part = [&](bool is_exponent) {
      const auto before = at_;
      if (is_exponent ? !(take("e") || take("E")) : !take(".")) return;
      if (is_exponent && !take("+")) take("-");
      if (take_digits() == 0) {
        at_ = before;
      } else {
        decimal = true;
      }
    };
    take_part(false);
    take_part(true);
    const std::string_view text = text_.substr(begin, at_ - begin);
    if (decimal) {
      value = ConfigValue::of_decimal(python_float(text).value_or(0));
      return true;
    }
    auto digits = python_integer(text);
    if (!digits) return expect("a number of fewer digits");
    value = ConfigValue::of_integer(*std::move(digits));
    return true;
  }

  std::optional<char32_t> read_hex4() {
    char32_t unit = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      unit <<= 4;
      if (c >= '0' && c <= '9') {
        unit |= static_cast<char32_t>(c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        unit |= static_cast<char32_t>((c | 0x20) - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    return unit;
  }

  bool read_unicode_escape(std::string& out) {
    auto unit = read_hex4();
    if (!unit) return expect("four hexadecimal digits");
    if (*unit >= 0xd800 && *unit < 0xdc00) {
      const auto before = at_;
      if (take("\\u")) {
        const auto low = read_hex4();
        if (!low) return expect("four hexadecimal digits");
        if (*low >= 0xdc00 && *low < 0xe000) {
          unit = 0x10000 + ((*unit - 0xd800) << 10) + (*low - 0xdc00);
        } else {
          at_ = before;
        }
      }
    }
    base::append_utf8(out, *unit);
    return true;
  }

  bool read_string(std::string& out) {
    ++at_;  // the quotation mark
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) return expect("no control character");
      ++at_;
      if (c == '"') return true;
      if (c != '\\') {
        out += c;
        continue;
      }
      constexpr std::string_view letters = "\"\\/bfnrt";
      constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
      const auto letter = letters.find(peek());
      if (at_ < text_.size() && letter != std::string_view::npos) {
        ++at_;
        out += meanings[letter];
      } else if (take("u")) {
        if (!read_unicode_escape(out)) return false;
      } else {
        return expect("an escape");
      }
    }
    return expect("a quotation mark");
  }

  bool read_object(ConfigValue& value, int depth) {
    value = {ConfigValue::Kind::mapping, {}, 0, false};
    ++at_;
    skip_blanks();
    if (take("}")) return true;
    value.truth = true;
    while (true) {
      skip_blanks();
      if (peek() != '"') return expect("a name in quotation marks");
      std::string name;
      if (!read_string(name)) return false;
      skip_blanks();
      if (!take(":")) return expect("a colon");
      ConfigValue member;
      if (!read_value(member, depth + 1)) return false;
      if (depth < value_entries_depth)
        value.entries.insert_or_assign(std::move(name), std::move(member));
      skip_blanks();
      if (take("}")) return true;
      if (!take(",")) return expect("a comma or a brace");
    }
  }

  bool read_array(ConfigValue& value, int depth) {
    value = {ConfigValue::Kind::sequence, {}, 0, false};
    ++at_;
    skip_blanks();
    if (take("]")) return true;
    value.truth = true;
    while (true) {
      ConfigValue item;
      if (!read_value(item, depth + 1)) return false;
      skip_blanks();
      if (take("]")) return true;
      if (!take(",")) return expect("a comma or a bracket");
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  const char* expected_ = nullptr;
};

}  // namespace

Result<ConfigValue> parse_json(std::string_view text) { return Reader(text).run(); }

}  // namespace hyperpod::client
