// SPDX-License-Identifier: Apache-2.0
// JSON as a daemon writes it, read as leniently as RFC 8259's grammar is: numbers of any size and
// lone surrogates are JSON, and public clients read them. Values are views of the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hyperpod::conformance::probe {

struct JsonMember;

struct JsonValue {
  enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

  Kind kind = Kind::null;
  std::string_view text;            ///< As it stands there; of a string without its quotes.
  std::vector<JsonValue> elements;  ///< Of an array.
  std::vector<JsonMember> members;  ///< Of an object, in order.

  /// Of members of one name the last, as Python takes it; nullptr if there is none.
  const JsonValue* find(std::string_view name) const;
  /// A string with its escapes undone; a lone surrogate becomes U+FFFD.
  std::string string() const;
  /// An integer from 0 to 2^64-1 written without fraction and exponent; "-0" is 0.
  std::optional<std::uint64_t> unsigned_integer() const;
  /// Any number written without fraction and exponent.
  bool is_integer() const;
};

struct JsonMember {
  std::string name;
  JsonValue value;
};

/// nullopt where the text is not one JSON value, or nested deeper than 500: then Python's reader,
/// which both public clients use, gives up as well.
std::optional<JsonValue> parse_json(std::string_view text);

}  // namespace hyperpod::conformance::probe
