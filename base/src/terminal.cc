// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "hyperpod/base/text.h"

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
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!text.empty()) {
    const auto character = first_character(text);
    if (!character) return false;
    const char32_t code = character->code;
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    if (control && code != '\n' && code != '\t' && code != '\r') return false;
    text.remove_prefix(character->size);
  }
  return true;
}

}  // namespace hyperpod::base
