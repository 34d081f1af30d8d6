// SPDX-License-Identifier: Apache-2.0
#include "config_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace hyperpod::client {
namespace {

constexpr std::size_t max_digits = 4300;  // sys.int_info.default_max_str_digits

bool is_digit(char c) { return c >= '0' && c <= '9'; }

unsigned digit_value(char c) {
  if (is_digit(c)) return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'z') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'Z') return static_cast<unsigned>(c - 'A') + 10;
  return std::numeric_limits<unsigned>::max();
}

// The bytes of a character that str.isspace() is true of, at the front of `text`; 0 if there is
// none.
std::size_t space_at_front(std::string_view text) {
  constexpr std::string_view one_byte = "\t\n\v\f\r\x1c\x1d\x1e\x1f ";
  if (text.empty()) return 0;
  if (one_byte.find(text.front()) != std::string_view::npos) return 1;
  constexpr std::array<std::string_view, 19> longer = {
      "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
      "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
      "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  for (const std::string_view space : longer) {
    if (text.starts_with(space)) return space.size();
  }
  return 0;
}

// Takes digits, with single underscores between them, off the front of `text` and appends them to
// `digits`. False if there are none or an underscore does not stand between two.
bool take_digits(std::string_view& text, unsigned base, std::string& digits) {
  bool after_digit = false;
  while (!text.empty()) {
    if (digit_value(text.front()) < base) {
      digits += text.front();
      after_digit = true;
    } else if (text.front() == '_' && after_digit && text.size() > 1 &&
               digit_value(text[1]) < base) {
      after_digit = false;
    } else {
      break;
    }
    text.remove_prefix(1);
  }
  return after_digit;
}

bool take_sign(std::string_view& text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  return negative;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::ranges::equal(
      text, lower, [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

// The number that digits with an optional fraction and exponent stand for, rounded to infinity or
// zero where a double cannot hold it.
double from_decimal(const std::string& digits) {
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc{}) return value;
  // Too large or too small: which of the two, std::from_chars does not tell.
  const auto exponent_at = std::min(digits.find('e'), digits.size());
  const std::string mantissa = digits.substr(0, exponent_at);
  const auto first = static_cast<double>(mantissa.find_first_not_of("0."));
  const auto point = static_cast<double>(std::min(mantissa.find('.'), mantissa.size()));
  const double exponent = exponent_at == digits.size()
                              ? 0.0
                              : from_decimal(digits.substr(exponent_at + 2)) *
                                    (digits[exponent_at + 1] == '-' ? -1.0 : 1.0);
  return point - first + exponent > 0 ? std::numeric_limits<double>::infinity() : 0.0;
}

}  // namespace

ConfigValue ConfigValue::of_boolean(bool value) {
  return {Kind::boolean, value ? "True" : "False", value ? 1.0 : 0.0, value};
}

ConfigValue ConfigValue::of_integer(std::string digits) {
  const bool truth = digits != "0";
  const double number = python_float(digits).value_or(0);
  return {Kind::integer, std::move(digits), number, truth};
}

ConfigValue ConfigValue::of_decimal(double value) {
  return {Kind::decimal, python_text(value), value, value != 0};
}

ConfigValue ConfigValue::of_text(std::string text) {
  const bool truth = !text.empty();
  return {Kind::text, std::move(text), 0, truth};
}

std::string_view python_strip(std::string_view text) {
  while (const auto size = space_at_front(text)) text.remove_prefix(size);
  const auto space_at_back = [&]() -> std::size_t {
    for (std::size_t size = 1; size <= std::min<std::size_t>(3, text.size()); ++size) {
      if (space_at_front(text.substr(text.size() - size)) == size) return size;
    }
    return 0;
  };
  while (const auto size = space_at_back()) text.remove_suffix(size);
  return text;
}

std::string multiply_and_add(std::string digits, unsigned factor, unsigned addend) {
  unsigned carry = addend;
  for (std::size_t i = digits.size(); i-- > 0;) {
    const unsigned value = static_cast<unsigned>(digits[i] - '0') * factor + carry;
    digits[i] = static_cast<char>('0' + value % 10);
    carry = value / 10;
  }
  if (carry > 0) digits.insert(0, std::to_string(carry));
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return digits;
}

std::optional<std::string> python_integer(std::string_view text, unsigned base) {
  text = python_strip(text);
  const bool negative = take_sign(text);
  if (text.size() > 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    if ((base == 2 && letter == 'b') || (base == 8 && letter == 'o') ||
        (base == 16 && letter == 'x')) {
      text.remove_prefix(text[2] == '_' ? 3 : 2);
    }
  }
  std::string digits;
  if (!take_digits(text, base, digits) || !text.empty()) return std::nullopt;
  if (digits.size() > max_digits) return std::nullopt;
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return "0";
  std::string number = base == 10 ? digits : "0";
  if (base != 10) {
    for (char c : digits) number = multiply_and_add(std::move(number), base, digit_value(c));
  }
  return negative ? "-" + number : number;
}

std::optional<double> python_float(std::string_view text) {
  text = python_strip(text);
  const bool negative = take_sign(text);
  const auto signed_value = [negative](double value) { return negative ? -value : value; };
  if (equals_ignoring_case(text, "inf") || equals_ignoring_case(text, "infinity")) {
    return signed_value(std::numeric_limits<double>::infinity());
  }
  if (equals_ignoring_case(text, "nan")) return std::numeric_limits<double>::quiet_NaN();

  std::string digits;
  const bool whole = !text.empty() && is_digit(text.front());
  if (whole && !take_digits(text, 10, digits)) return std::nullopt;
  if (!whole) digits += '0';
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    digits += '.';
    const bool fraction = !text.empty() && is_digit(text.front());
    if (!fraction && !whole) return std::nullopt;
    if (fraction && !take_digits(text, 10, digits)) return std::nullopt;
    if (!fraction) digits += '0';
  } else if (!whole) {
    return std::nullopt;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    digits += take_sign(text) ? "e-" : "e+";
    if (!take_digits(text, 10, digits)) return std::nullopt;
  }
  if (!text.empty()) return std::nullopt;
  return signed_value(from_decimal(digits));
}

std::string python_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // Python writes an exponent below 1e-4 and from 1e16 on.
  const double size = std::abs(value);
  const bool exponent = size != 0 && (size < 1e-4 || size >= 1e16);
  std::array<char, 64> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  std::string text(buffer.data(), end);
  if (!exponent && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::optional<double> to_integer(const ConfigValue& value) {
  switch (value.kind) {
    case ConfigValue::Kind::boolean:
    case ConfigValue::Kind::integer:
      return value.number;
    case ConfigValue::Kind::decimal:
      if (!std::isfinite(value.number)) return std::nullopt;
      return std::trunc(value.number) + 0.0;  // which turns -0.0 into 0
    case ConfigValue::Kind::text:
      if (const auto digits = python_integer(value.text)) return python_float(*digits);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<double> to_decimal(const ConfigValue& value) {
  switch (value.kind) {
    case ConfigValue::Kind::integer:
      if (!std::isfinite(value.number)) return std::nullopt;  // OverflowError
      return value.number;
    case ConfigValue::Kind::boolean:
    case ConfigValue::Kind::decimal:
      return value.number;
    case ConfigValue::Kind::text:
      return python_float(value.text);
    default:
      return std::nullopt;
  }
}

std::string describe(const ConfigValue& value) {
  switch (value.kind) {
    case ConfigValue::Kind::text:
      return '"' + value.text + '"';
    case ConfigValue::Kind::bytes:
      return "binary";
    case ConfigValue::Kind::sequence:
      return "a list";
    case ConfigValue::Kind::mapping:
      return "a mapping";
    default:
      return value.text;
  }
}

}  // namespace hyperpod::client
