// SPDX-License-Identifier: Apache-2.0
// A value of LMCache's configuration as Python holds it once the file or the variable has been
// read, and what LMCache's calls of int(), float(), str() and bool() make of it. The rules are
// those of Python 3.11.
//
// Everything in this file is a pure function.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace hyperpod::client {

struct ConfigValue {
  enum class Kind { none, boolean, integer, decimal, text, timestamp, bytes, sequence, mapping };

  Kind kind = Kind::none;
  /// What str() gives, for none, boolean, integer, decimal, text and timestamp. Of bytes: the bytes
  /// as they were written.
  std::string text = "None";
  /// The number that a boolean, an integer or a decimal is. Beyond the range of a double: infinity.
  double number = 0;
  /// What bool() gives.
  bool truth = false;
  /// The values of a mapping whose keys are text. Of a key given twice, the last.
  std::map<std::string, ConfigValue> entries = {};

  static ConfigValue of_boolean(bool value);
  /// `digits`: decimal, with a minus sign in front of negative numbers, without leading zeros.
  static ConfigValue of_integer(std::string digits);
  static ConfigValue of_decimal(double value);
  static ConfigValue of_text(std::string text);
};

/// What nests deeper is refused: Python's own stack ends a little beyond.
constexpr int max_value_depth = 200;
/// Mappings hold their entries down to here.
constexpr int value_entries_depth = 2;

/// `text` without the white space (of Unicode) at its ends, as str.strip() leaves it.
std::string_view python_strip(std::string_view text);

/// int(text, base) as decimal digits; nullopt where Python raises an error, and for numbers of more
/// than 4,300 digits. Digits outside ASCII are not taken.
std::optional<std::string> python_integer(std::string_view text, unsigned base = 10);

/// digits * factor + addend, in decimal digits, of a number that is not negative. `factor` and
/// `addend` are at most 10,000.
std::string multiply_and_add(std::string digits, unsigned factor, unsigned addend);

/// float(text); nullopt where Python raises an error.
std::optional<double> python_float(std::string_view text);

/// repr(value).
std::string python_text(double value);

/// int(value), to the precision of a double; nullopt where Python raises an error.
std::optional<double> to_integer(const ConfigValue& value);

/// float(value); nullopt where Python raises an error.
std::optional<double> to_decimal(const ConfigValue& value);

/// How an error message quotes the value.
std::string describe(const ConfigValue& value);

}  // namespace hyperpod::client
