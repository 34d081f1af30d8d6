// SPDX-License-Identifier: Apache-2.0
#include "probe/json.h"

#include <algorithm>
#include <charconv>

#include "hyperpod/base/text.h"
#include "probe/digit.h"

namespace hyperpod::conformance::probe {
namespace {

constexpr int deepest = 500;

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::optional<JsonValue> whole() {
    auto value = this->value(0);
    skip_space();
    return rest_.empty() ? std::move(value) : std::nullopt;
  }

 private:
  void skip_space() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
  }

  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  std::optional<JsonValue> value(int depth) {
    using Kind = JsonValue::Kind;
    skip_space();
    if (rest_.empty() || depth > deepest) return std::nullopt;
    const std::string_view begin = rest_;
    JsonValue value;
    bool good = false;
    switch (rest_.front()) {
      case '{':
        value.kind = Kind::object;
        good = object(value, depth);
        break;
      case '[':
        value.kind = Kind::array;
        good = array(value, depth);
        break;
      case '"':
        value.kind = Kind::string;
        good = string();
        break;
      case 't':
      case 'f':
        value.kind = Kind::boolean;
        good = take("true") || take("false");
        break;
      case 'n':
        good = take("null");
        break;
      default:
        value.kind = Kind::number;
        good = number();
    }
    if (!good) return std::nullopt;
    value.text = begin.substr(0, begin.size() - rest_.size());
    if (value.kind == Kind::string) value.text = value.text.substr(1, value.text.size() - 2);
    return value;
  }

  bool object(JsonValue& value, int depth) {
    take('{');
    skip_space();
    if (take('}')) return true;
    do {
      skip_space();
      if (!rest_.starts_with('"')) return false;
      const auto name = this->value(depth + 1);
      skip_space();
      if (!name || !take(':')) return false;
      auto member = this->value(depth + 1);
      if (!member) return false;
      value.members.push_back({name->string(), *std::move(member)});
      skip_space();
    } while (take(','));
    return take('}');
  }

  bool array(JsonValue& value, int depth) {
    take('[');
    skip_space();
    if (take(']')) return true;
    do {
      auto element = this->value(depth + 1);
      if (!element) return false;
      value.elements.push_back(*std::move(element));
      skip_space();
    } while (take(','));
    return take(']');
  }

  bool string() {
    take('"');
    while (!rest_.empty() && !rest_.starts_with('"')) {
      if (take('\\')) {
        if (!escape()) return false;
        continue;
      }
      if (static_cast<unsigned char>(rest_.front()) < 0x20) return false;
      rest_.remove_prefix(1);
    }
    return take('"');
  }

  bool escape() {
    if (rest_.empty()) return false;
    const char kind = rest_.front();
    rest_.remove_prefix(1);
    if (kind != 'u') return std::string_view("\"\\/bfnrt").find(kind) != std::string_view::npos;
    if (rest_.size() < 4) return false;
    const std::string_view digits = rest_.substr(0, 4);
    rest_.remove_prefix(4);
    return std::ranges::all_of(digits, [](char c) { return hex_value(c) >= 0; });
  }

  bool digits() {
    const std::size_t count = std::ranges::find_if_not(rest_, is_digit) - rest_.begin();
    rest_.remove_prefix(count);
    return count > 0;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }

  std::string_view rest_;
};

/// The code unit of \uXXXX at the beginning of `text`; nullopt if it begins with something else.
std::optional<std::uint32_t> unit_at(std::string_view text) {
  if (!text.starts_with("\\u") || text.size() < 6) return std::nullopt;
  std::uint32_t unit = 0;
  for (const char c : text.substr(2, 4))
    unit = unit * 16 + static_cast<std::uint32_t>(hex_value(c));
  return unit;
}

char escaped(char kind) {
  switch (kind) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return kind;
  }
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view name) const {
  const JsonValue* found = nullptr;
  for (const JsonMember& member : members) {
    if (member.name == name) found = &member.value;
  }
  return found;
}

std::string JsonValue::string() const {
  std::string plain;
  for (std::string_view rest = text; !rest.empty();) {
    if (rest.front() != '\\') {
      plain += rest.front();
      rest.remove_prefix(1);
      continue;
    }
    const auto unit = unit_at(rest);
    if (!unit) {
      plain += escaped(rest[1]);
      rest.remove_prefix(2);
      continue;
    }
    rest.remove_prefix(6);
    std::uint32_t code = *unit;
    if (code >= 0xD800 && code < 0xE000) {
      const auto low = code < 0xDC00 ? unit_at(rest) : std::nullopt;
      const bool is_pair = low && *low >= 0xDC00 && *low < 0xE000;
      code = is_pair ? 0x10000 + ((code - 0xD800) << 10) + (*low - 0xDC00) : 0xFFFD;
      if (is_pair) rest.remove_prefix(6);
    }
    base::append_utf8(plain, code);
  }
  return plain;
}

bool JsonValue::is_integer() const {
  return kind == Kind::number && text.find_first_of(".eE") == std::string_view::npos;
}

std::optional<std::uint64_t> JsonValue::unsigned_integer() const {
  if (!is_integer()) return std::nullopt;
  if (text == "-0") return 0;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<JsonValue> parse_json(std::string_view text) { return Reader(text).whole(); }

}  // namespace hyperpod::conformance::probe
