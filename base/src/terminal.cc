// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace hyperpod::base {

bool is_terminal(int descriptor) { return isatty(descriptor) == 1; }

bool wants_colour(int descriptor) {
  const char* const no_colour = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  const bool refused = no_colour != nullptr && *no_colour != '\0';
  const bool dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
  return !refused && !dumb && is_terminal(descriptor);
}

std::string progress_bar(std::size_t done, std::size_t total, std::chrono::nanoseconds elapsed) {
  constexpr std::size_t width = 24;
  const std::size_t filled = total == 0 ? width : width * std::min(done, total) / total;
  std::string bar = "[" + std::string(filled, '#') + std::string(width - filled, '.') + "] " +
                    std::to_string(done) + "/" + std::to_string(total);
  if (done == 0 || done >= total) return bar;
  const double left = std::chrono::duration<double>(elapsed).count() *
                      static_cast<double>(total - done) / static_cast<double>(done);
  return bar + ", about " + std::to_string(static_cast<long long>(left)) + " s left";
}

bool is_printable(std::span<const std::byte> bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const auto byte = [&](std::size_t at) { return std::to_integer<unsigned>(bytes[at]); };
    const unsigned first = byte(i);
    if (first < 0x80) {
      if ((first < 0x20 && first != '\n' && first != '\t' && first != '\r') || first == 0x7f) {
        return false;
      }
      ++i;
      continue;
    }
    const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || i + size > bytes.size()) return false;
    unsigned character = first & (0xffu >> (size + 1));
    for (std::size_t k = 1; k < size; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
      character = (character << 6) | (byte(i + k) & 0x3f);
    }
    const bool overlong = (size == 3 && character < 0x800) || (size == 4 && character < 0x10000);
    const bool control = character < 0xa0;  // C1
    const bool surrogate = character >= 0xd800 && character < 0xe000;
    if (overlong || control || surrogate || character > 0x10ffff) return false;
    i += size;
  }
  return true;
}

}  // namespace hyperpod::base
