// SPDX-License-Identifier: Apache-2.0
#include "probe/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace hyperpod::conformance::probe {
namespace {

SegmentFacts facts_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
          static_cast<mode_t>(status.st_mode & 07777), status.st_uid};
}

std::string path_of(const std::string& name) { return "/dev/shm/" + name; }

std::string others() {
  std::string list;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || !entry.is_regular_file(error)) continue;
    list.append(list.empty() ? "" : ", ").append(name);
  }
  return list.empty() ? "/dev/shm is empty" : "/dev/shm has: " + list;
}

Error missing(const std::string& name) {
  return {ErrorCode::segment_missing,
          "there is no segment " + path_of(name) + " (" + others() +
              "); give the daemon's shared_memory_name as --shm-name, and in a "
              "container share the daemon's /dev/shm"};
}

Error forbidden(const std::string& name) {
  struct stat status {};
  std::string owned;
  if (::stat(path_of(name).c_str(), &status) == 0) {
    char text[80];
    std::snprintf(text, sizeof text, "; it belongs to uid %u with mode %04o, this is uid %u",
                  status.st_uid, status.st_mode & 07777u, ::geteuid());
    owned = text;
  }
  return {ErrorCode::segment_unreadable, "the segment " + path_of(name) + " may not be read" +
                                             owned +
                                             "; run as the owner of the segment, as a client must"};
}

/// What stands there in place of a segment; "" for a regular file, which may be one.
std::string_view other_kind(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "";
    case S_IFDIR:
      return "a directory";
    case S_IFIFO:
      return "a FIFO";
    case S_IFLNK:
      return "a symbolic link";
    case S_IFSOCK:
      return "a socket";
    default:
      return "a device";
  }
}

Error no_segment(const std::string& name, std::string_view kind) {
  return {ErrorCode::failed, path_of(name) + " is " + std::string(kind) +
                                 ", not a segment; give the daemon's shared_memory_name as "
                                 "--shm-name"};
}

/// Why what is there could not be opened.
Error not_opened(const std::string& name, int error) {
  if (error == ENOENT) return missing(name);
  struct stat status {};
  if (::lstat(path_of(name).c_str(), &status) == 0) {
    if (const auto kind = other_kind(status.st_mode); !kind.empty()) return no_segment(name, kind);
  }
  if (error == EACCES) return forbidden(name);
  return {ErrorCode::failed, path_of(name) + ": " + std::strerror(error)};
}

}  // namespace

Result<SegmentFacts> look_at_segment(const std::string& name) {
  struct stat status {};
  if (::stat(path_of(name).c_str(), &status) == 0) return facts_of(status);
  if (errno == ENOENT) return tl::unexpected(missing(name));
  return base::failed(ErrorCode::failed, path_of(name) + ": " + std::strerror(errno));
}

Result<Segment> Segment::open(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) {
    return base::failed(ErrorCode::invalid_argument,
                        "\"" + name + "\" is not the name of a segment; give it without a slash");
  }
  Segment segment;
  // A FIFO would keep an open that blocks waiting for its writer.
  segment.fd_.reset(::shm_open(("/" + name).c_str(), O_RDONLY | O_NONBLOCK, 0));
  if (!segment.fd_) return tl::unexpected(not_opened(name, errno));
  struct stat status {};
  ::fstat(segment.fd_.get(), &status);
  if (const auto kind = other_kind(status.st_mode); !kind.empty())
    return tl::unexpected(no_segment(name, kind));
  segment.facts_ = facts_of(status);
  if (segment.facts_.size == 0) {
    return base::failed(ErrorCode::segment_missing,
                        path_of(name) + " is empty; the daemon has not finished making it");
  }
  void* data = ::mmap(nullptr, segment.facts_.size, PROT_READ, MAP_SHARED, segment.fd_.get(), 0);
  if (data == MAP_FAILED) {
    return base::failed(ErrorCode::failed,
                        path_of(name) + " cannot be mapped: " + std::strerror(errno));
  }
  segment.data_ = static_cast<const char*>(data);
  return segment;
}

Segment::Segment(Segment&& other) noexcept
    : fd_(std::move(other.fd_)), data_(std::exchange(other.data_, nullptr)), facts_(other.facts_) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(facts_, other.facts_);
  return *this;
}

Segment::~Segment() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), facts_.size);
}

bool Segment::read_at(std::uint64_t offset, std::span<char> into) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

Result<std::string> Segment::read(std::span<const Fragment> fragments) const {
  std::string bytes;
  for (const Fragment& fragment : fragments) {
    const std::string where = "the fragment at " + std::to_string(fragment.offset) + " of " +
                              std::to_string(fragment.len) + " bytes";
    if (fragment.offset > facts_.size || fragment.len > facts_.size - fragment.offset) {
      return base::failed(ErrorCode::invalid_argument, where + " reaches outside the segment of " +
                                                           std::to_string(facts_.size) + " bytes");
    }
    if (fragment.len > facts_.size - bytes.size()) {
      return base::failed(ErrorCode::invalid_argument,
                          "the fragments are together longer than the segment of " +
                              std::to_string(facts_.size) + " bytes");
    }
    const std::size_t before = bytes.size();
    bytes.resize(before + fragment.len);
    if (!read_at(fragment.offset, std::span(bytes).subspan(before))) {
      return base::failed(ErrorCode::invalid_argument,
                          where + " cannot be read; the segment has been cut off");
    }
  }
  return bytes;
}

bool Segment::contains(std::string_view bytes, std::uint64_t limit) const {
  HYPERPOD_REQUIRE(!bytes.empty());
  std::string window(std::max<std::size_t>(bytes.size() * 2, 1 << 20), '\0');
  const std::uint64_t end = std::min(limit, facts_.size);
  for (std::uint64_t at = 0; at < end; at += window.size() - bytes.size() + 1) {
    const std::size_t size = std::min<std::uint64_t>(window.size(), end - at);
    if (!read_at(at, std::span(window).first(size))) return false;
    if (std::string_view(window).substr(0, size).find(bytes) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace hyperpod::conformance::probe
