// SPDX-License-Identifier: Apache-2.0
#include "text/printable.h"

#include <fmt/format.h>

namespace hyperpod::emulator::text {

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t most = 80;
  const bool cut = text.size() > most;
  return fmt::format("'{}{}'", printable(text.substr(0, most)), cut ? "..." : "");
}

}  // namespace hyperpod::emulator::text
