// Text within XML and HTML.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::conformance {

/// The text with & < > " and ' replaced; control characters that XML does not allow must have been
/// removed before, as printable() does.
inline std::string escaped(std::string_view text) {
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
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace hyperpod::conformance
