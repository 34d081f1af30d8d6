// SPDX-License-Identifier: Apache-2.0
#include "text/small_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "hyperpod/base/text.h"

namespace hyperpod::emulator::text {
namespace {

constexpr std::size_t most_bytes = 1u << 20;

}  // namespace

Result<std::string> read_small_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(most_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return base::failed(ErrorCode::invalid_option,
                        fmt::format("{}: cannot be read ({}); name a readable file",
                                    base::printable(path), std::strerror(errno)));
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > most_bytes) {
    return base::failed(
        ErrorCode::invalid_option,
        fmt::format("{}: is larger than 1MiB; name a smaller file", base::printable(path)));
  }
  return text;
}

}  // namespace hyperpod::emulator::text
