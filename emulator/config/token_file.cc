// SPDX-License-Identifier: Apache-2.0
#include "config/token_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "hyperpod/base/text.h"
#include "text/small_file.h"

namespace hyperpod::emulator::config {

Result<std::string> read_token(const std::string& path) {
  auto content = text::read_small_file(path);
  if (!content) return tl::unexpected(content.error());
  std::string token = std::move(*content);
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  const bool one_word = std::ranges::all_of(token, [](char c) { return c > ' ' && c < '\x7f'; });
  if (!token.empty() && one_word) return token;
  return tl::unexpected(
      Error{ErrorCode::invalid_option,
            fmt::format("{}: does not hold a token; write one word of printable ASCII into it, "
                        "such as the output of: openssl rand -hex 32",
                        base::printable(path))});
}

}  // namespace hyperpod::emulator::config
