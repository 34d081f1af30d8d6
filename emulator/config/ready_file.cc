// SPDX-License-Identifier: Apache-2.0
#include "config/ready_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "text/printable.h"

namespace hyperpod::emulator::config {
namespace {

tl::unexpected<Error> refuse(const std::string& path, std::string_view problem) {
  return tl::unexpected(Error{ErrorCode::invalid_option,
                              fmt::format("--ready-file {}: {}; name a file that can be made",
                                          text::printable(path), problem)});
}

}  // namespace

Result<void> clear_ready_file(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return refuse(path, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) return refuse(path, "is there already and is not a regular file");
  if (::unlink(path.c_str()) != 0) return refuse(path, std::strerror(errno));
  return {};
}

Result<void> write_ready_file(const std::string& path, std::string_view content) {
  const std::string temporary = fmt::format("{}.{}", path, ::getpid());
  errno = 0;
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  if (file && std::rename(temporary.c_str(), path.c_str()) == 0) return {};
  const std::string problem = std::strerror(errno);
  ::unlink(temporary.c_str());
  return refuse(path, problem);
}

}  // namespace hyperpod::emulator::config
