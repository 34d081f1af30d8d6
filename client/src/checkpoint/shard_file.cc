// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/shard_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <utility>

namespace hyperpod::client::checkpoint {
namespace {

tl::unexpected<Error> system_failure(const std::string& doing) {
  return tl::unexpected(base::system_error(doing, errno, ErrorCode::invalid_argument));
}

// What a path leads to through symbolic links, whether anything is there yet or not.
std::string resolved(const std::string& path) {
  constexpr int most_links = 40;  // as the kernel has it
  std::filesystem::path at(path);
  for (int links = 0; links < most_links; ++links) {
    std::error_code not_a_link;
    const auto target = std::filesystem::read_symlink(at, not_a_link);
    if (not_a_link) break;
    at = at.parent_path() / target;
  }
  return at.string();
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<FileSource> FileSource::open(const std::string& path) {
  if (path.empty()) {
    return tl::unexpected(Error{ErrorCode::invalid_argument, "'' is not the name of a file"});
  }
  // A pipe would be waited for.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
    return system_failure("cannot read " + path);
  }
  if (!S_ISREG(status.st_mode)) {
    return tl::unexpected(Error{ErrorCode::invalid_argument,
                                path + " is not a regular file, and a shard is read twice"});
  }
  return FileSource(std::move(file), path, static_cast<std::uint64_t>(status.st_size));
}

Result<void> FileSource::read(std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t count =
        ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_failure("cannot read " + path_);
    if (count == 0) {
      return tl::unexpected(Error{ErrorCode::invalid_argument,
                                  path_ + " has become shorter while it was read; store it again "
                                          "when nobody writes to it"});
    }
    into = into.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  struct stat status {};
  const bool read_all = offset == size_ && ::fstat(file_.get(), &status) == 0;
  if (read_all && static_cast<std::uint64_t>(status.st_size) > size_) {
    return tl::unexpected(Error{ErrorCode::invalid_argument,
                                path_ + " has become longer while it was read; store it again when "
                                        "nobody writes to it"});
  }
  return {};
}

Result<FileSink> FileSink::open(const std::string& path) {
  const std::string target = resolved(path);
  struct stat status {};
  const bool exists = ::stat(target.c_str(), &status) == 0;
  if (exists && !S_ISREG(status.st_mode)) {
    return tl::unexpected(Error{ErrorCode::invalid_argument, path + " is not a regular file"});
  }
  const auto slash = target.rfind('/');
  const auto name_at = slash == std::string::npos ? 0 : slash + 1;
  if (name_at == target.size()) {
    return tl::unexpected(
        Error{ErrorCode::invalid_argument, "'" + path + "' is not the name of a file"});
  }
  // Beside the longest name there is room for a part of it.
  constexpr std::size_t most_of_name = 200;
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string part = fmt::format("{}.{}.part-{:08x}", target.substr(0, name_at),
                                   target.substr(name_at, most_of_name), random());
    Descriptor file(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.get() < 0 && errno == EEXIST) continue;
    if (file.get() < 0) break;
    if (exists) static_cast<void>(::fchmod(file.get(), status.st_mode & 07777));
    return FileSink(std::move(file), std::move(part), target);
  }
  return system_failure("cannot write " + path);
}

FileSink::FileSink(FileSink&& other) noexcept
    : file_(std::move(other.file_)),
      part_(std::exchange(other.part_, {})),
      target_(std::move(other.target_)) {}

FileSink::~FileSink() {
  if (!part_.empty()) ::unlink(part_.c_str());
}

tl::unexpected<Error> FileSink::failure(const char* doing) const {
  return system_failure(fmt::format("cannot {} {}", doing, target_));
}

Result<void> FileSink::begin(std::optional<std::uint64_t>) {
  if (::ftruncate(file_.get(), 0) != 0 || ::lseek(file_.get(), 0, SEEK_SET) != 0) {
    return failure("write");
  }
  return {};
}

Result<void> FileSink::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure("write");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> FileSink::commit() {
  if (::fsync(file_.get()) != 0) return failure("write");
  if (::rename(part_.c_str(), target_.c_str()) != 0) return failure("replace");
  part_.clear();
  return {};
}

}  // namespace hyperpod::client::checkpoint
