// SPDX-License-Identifier: Apache-2.0
#include "memory/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "hyperpod/base/file_descriptor.h"
#include "points.h"

namespace hyperpod::client::memory {
namespace {

constexpr mode_t permission_bits = 07777;

SegmentIdentity identity_of(const struct stat& status) { return {status.st_dev, status.st_ino}; }

bool is_mapping_of(const struct stat& status, const SegmentMapping& mapping) {
  bool same = identity_of(status) == mapping.identity() &&
              static_cast<std::uint64_t>(status.st_size) == mapping.size();
  HYPERPOD_POINT("segment.is_same", same, status, mapping);
  return same;
}

}  // namespace

SegmentMapping::~SegmentMapping() {
  // munmap takes a pointer to what it does not write.
  munmap(const_cast<std::byte*>(data_), size_);
}

Segment::Segment(const std::string& name) : path_("/dev/shm/" + name) {
  HYPERPOD_POINT("segment.made", path_);
}

Result<std::shared_ptr<const SegmentMapping>> Segment::current() {
  auto status = look();
  HYPERPOD_POINT("segment.looked", status, path_);
  if (!status) return tl::unexpected(status.error());
  std::lock_guard lock(mutex_);
  if (mapping_ && is_mapping_of(*status, *mapping_)) return mapping_;
  auto mapped = map();
  if (!mapped) return mapped;
  mapping_ = *mapped;
  return mapping_;
}

Result<bool> Segment::is_current(const SegmentMapping& mapping) const {
  const auto status = look();
  if (!status) return tl::unexpected(status.error());
  return is_mapping_of(*status, mapping);
}

std::optional<SegmentIdentity> Segment::identity() const {
  struct stat status {};
  if (stat(path_.c_str(), &status) != 0) return std::nullopt;
  return identity_of(status);
}

Result<struct stat> Segment::look() const {
  struct stat status {};
  if (stat(path_.c_str(), &status) != 0) return tl::unexpected(describe(errno));
  if (status.st_nlink == 0) {
    return tl::unexpected(Error{
        ErrorCode::segment_missing,
        fmt::format("the segment mounted at {} was unlinked on the node: its daemon was restarted, "
                    "or a client removed it; restart the daemon if it is gone there, then this "
                    "container, for a file mount does not follow",
                    path_)});
  }
  return status;
}

Result<std::shared_ptr<const SegmentMapping>> Segment::map() const {
  int access = O_RDONLY;
  int protection = PROT_READ;
  HYPERPOD_POINT("segment.map", access, protection);
  // Without O_NONBLOCK whoever opens a FIFO waits for somebody who writes.
  const base::FileDescriptor file(
      open(path_.c_str(), access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return tl::unexpected(describe(errno));
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return tl::unexpected(describe(errno));
  if (!S_ISREG(status.st_mode)) {
    return tl::unexpected(Error{
        ErrorCode::segment_unreadable,
        fmt::format("{} is a directory, device or FIFO, not a shared-memory segment; mount the one "
                    "file there, not all of /dev/shm",
                    path_)});
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size == 0) {
    return tl::unexpected(
        Error{ErrorCode::segment_missing,
              fmt::format("the segment {} is still empty: the daemon is creating it", path_)});
  }
  void* data = mmap(nullptr, size, protection, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) return tl::unexpected(describe(errno));
  return std::make_shared<const SegmentMapping>(static_cast<const std::byte*>(data), size,
                                                identity_of(status));
}

Error Segment::describe(int error) const {
  if (error == ENOENT) {
    return {ErrorCode::segment_missing,
            fmt::format("there is no segment {}; start the daemon, give its segment's name "
                        "(ai_toolkit_cache on real nodes), or, if it lies in another container, "
                        "mount it here or share its /dev/shm by --ipc=host",
                        path_)};
  }
  if (error == EMFILE || error == ENFILE || error == ENOMEM) {
    return {ErrorCode::out_of_resources,
            fmt::format("the segment {} cannot be mapped: {}; check the limits of {}", path_,
                        std::strerror(error),
                        error == ENOMEM ? "memory (RLIMIT_AS)" : "open files (RLIMIT_NOFILE)")};
  }
  Error described{ErrorCode::segment_unreadable,
                  fmt::format("the segment {} cannot be read: {}", path_, std::strerror(error))};
  struct stat status {};
  if (stat(path_.c_str(), &status) == 0) {
    described.segment_owner = {status.st_uid, status.st_mode & permission_bits};
    described.message +=
        fmt::format("; it belongs to uid {} and has mode {:04o}, and this process runs as uid {}",
                    status.st_uid, status.st_mode & permission_bits, geteuid());
  }
  return described;
}

}  // namespace hyperpod::client::memory
