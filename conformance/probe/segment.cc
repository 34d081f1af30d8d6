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

namespace hyperpod::conformance {
namespace {

tl::unexpected<Error> failed(ErrorCode code, std::string message) {
  return tl::unexpected(Error{code, std::move(message)});
}

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
  return {ErrorCode::missing, "there is no segment " + path_of(name) + " (" + others() +
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
  return {ErrorCode::forbidden, "the segment " + path_of(name) + " may not be read" + owned +
                                    "; run as the owner of the segment, as a client must"};
}

}  // namespace

Result<SegmentFacts> look_at_segment(const std::string& name) {
  struct stat status {};
  if (::stat(path_of(name).c_str(), &status) == 0) return facts_of(status);
  if (errno == ENOENT) return tl::unexpected(missing(name));
  return failed(ErrorCode::system, path_of(name) + ": " + std::strerror(errno));
}

Result<Segment> Segment::open(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) {
    return failed(ErrorCode::invalid,
                  "\"" + name + "\" is no segment name; give it without a slash");
  }
  Segment segment;
  segment.fd_ = ::shm_open(("/" + name).c_str(), O_RDONLY, 0);
  if (segment.fd_ < 0) {
    if (errno == ENOENT) return tl::unexpected(missing(name));
    if (errno == EACCES) return tl::unexpected(forbidden(name));
    return failed(ErrorCode::system, path_of(name) + ": " + std::strerror(errno));
  }
  struct stat status {};
  ::fstat(segment.fd_, &status);
  segment.facts_ = facts_of(status);
  if (segment.facts_.size == 0) {
    return failed(ErrorCode::missing,
                  path_of(name) + " is empty; the daemon has not finished making it");
  }
  void* data = ::mmap(nullptr, segment.facts_.size, PROT_READ, MAP_SHARED, segment.fd_, 0);
  if (data == MAP_FAILED) {
    return failed(ErrorCode::system, path_of(name) + " cannot be mapped: " + std::strerror(errno));
  }
  segment.data_ = static_cast<const char*>(data);
  return segment;
}

Segment::Segment(Segment&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      facts_(other.facts_) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(facts_, other.facts_);
  return *this;
}

Segment::~Segment() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), facts_.size);
  if (fd_ >= 0) ::close(fd_);
}

Result<std::string> Segment::read(std::span<const Fragment> fragments) const {
  struct stat status {};
  ::fstat(fd_, &status);
  const std::uint64_t size = std::min(facts_.size, static_cast<std::uint64_t>(status.st_size));
  std::string bytes;
  for (const Fragment& fragment : fragments) {
    if (fragment.offset > size || fragment.len > size - fragment.offset) {
      return failed(ErrorCode::invalid, "the fragment at " + std::to_string(fragment.offset) +
                                            " of " + std::to_string(fragment.len) +
                                            " bytes reaches outside the segment of " +
                                            std::to_string(size) + " bytes");
    }
    bytes.append(data_ + fragment.offset, fragment.len);
  }
  return bytes;
}

bool Segment::contains(std::string_view bytes, std::uint64_t limit) const {
  return ::memmem(data_, std::min(limit, facts_.size), bytes.data(), bytes.size()) != nullptr;
}

}  // namespace hyperpod::conformance
