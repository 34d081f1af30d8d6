// SPDX-License-Identifier: Apache-2.0
#include "config/ready_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "config/bounded_write.h"
#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/text.h"
#include "hyperpod/base/unique_name.h"

namespace hyperpod::emulator::config {
namespace {

tl::unexpected<Error> refuse(const std::string& path, std::string_view problem) {
  return tl::unexpected(Error{ErrorCode::invalid_option,
                              fmt::format("--ready-file {}: {}; name a file that can be made",
                                          base::printable(path), problem)});
}

/// Nothing, or the beginning of a ready line.
bool may_be_ours(const base::FileDescriptor& file) {
  std::array<char, ready_line_begin.size()> begin{};
  const ssize_t size = ::pread(file.get(), begin.data(), begin.size(), 0);
  return size == 0 || (size == static_cast<ssize_t>(begin.size()) &&
                       std::string_view(begin.data(), begin.size()) == ready_line_begin);
}

}  // namespace

Result<ReadyFile> ReadyFile::prepare(std::string path) {
  struct stat info {};
  if (path.empty()) return ReadyFile(std::move(path));
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return refuse(path, std::strerror(errno));
    return ReadyFile(std::move(path));
  }
  if (!S_ISREG(info.st_mode)) return refuse(path, "is there already and is not a regular file");
  const base::FileDescriptor former(
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!former) return refuse(path, std::strerror(errno));
  if (!may_be_ours(former)) return refuse(path, "is there already and is not a ready file");
  // Locked by who serves. It is replaced when this one serves, too, and not by a start that fails.
  if (::flock(former.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return ReadyFile(std::move(path));
  }
  if (::unlink(path.c_str()) != 0) return refuse(path, std::strerror(errno));
  return ReadyFile(std::move(path));
}

ReadyFile::~ReadyFile() { remove(); }

void ReadyFile::remove() {
  struct stat here {};
  struct stat written {};
  if (file_ && ::lstat(path_.c_str(), &here) == 0 && ::fstat(file_.get(), &written) == 0 &&
      here.st_dev == written.st_dev && here.st_ino == written.st_ino) {
    ::unlink(path_.c_str());
  }
  file_.reset();
}

Result<void> ReadyFile::write(std::string_view content) {
  if (path_.empty()) return {};
  // A name that nobody can have prepared, say with a link to another file.
  const std::string temporary = base::unique_name(path_ + ".");
  base::FileDescriptor file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return refuse(path_, std::strerror(errno));
  ::flock(file.get(), LOCK_EX | LOCK_NB);  // nobody else knows the file yet
  const auto written = bounded_write(file.get(), content, [] { return false; });
  if (written && ::rename(temporary.c_str(), path_.c_str()) == 0) {
    file_ = std::move(file);
    return {};
  }
  const std::string problem = written ? std::strerror(errno) : written.error().message;
  ::unlink(temporary.c_str());
  return refuse(path_, problem);
}

}  // namespace hyperpod::emulator::config
