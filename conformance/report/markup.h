// SPDX-License-Identifier: Apache-2.0
// Text within XML and HTML.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::conformance::report {

/// The text with & < > " and ' replaced; control characters that XML does not allow must have been
/// removed before, as printable() does. A line break within an attribute has to be a reference
/// (`keep_lines` false), or a reader makes it a space.
inline std::string escaped(std::string_view text, bool keep_lines = true) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      case '\n':
        result += keep_lines ? "\n" : "&#10;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace hyperpod::conformance::report
