// SPDX-License-Identifier: Apache-2.0
#include "core/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

#include "hyperpod/base/assertions.h"
#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::emulator::core {
namespace {

using base::FileDescriptor;

std::optional<ino_t> inode_at(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  return info.st_ino;
}

Error out_of_room(const SegmentOptions& options, int error) {
  const std::string failure = fmt::format("cannot reserve {} bytes for segment '{}': {}",
                                          options.size, options.name, std::strerror(error));
  if (error == EFBIG) {
    return {ErrorCode::segment_unusable,
            failure + "; lower the capacity or raise the limit of the size of files (ulimit -f)"};
  }
  struct statvfs shm {};
  ::statvfs("/dev/shm", &shm);
  return {ErrorCode::segment_unusable,
          fmt::format("{}; /dev/shm has {} bytes free, so lower the capacity or enlarge it "
                      "(docker: --shm-size)",
                      failure, shm.f_bavail * shm.f_frsize)};
}

/// Why the name cannot be taken from what stands there.
Error taken(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return {ErrorCode::segment_in_use,
            fmt::format("{} is a directory, as a container runtime makes one where it is to mount "
                        "a file that is not there yet; remove it, or choose another segment name",
                        path)};
  }
  return {ErrorCode::segment_in_use,
          fmt::format("segment {} exists and was not made by an emulator that has died; remove it, "
                      "choose another name, or take it over with --replace-segment",
                      path)};
}

}  // namespace

/// One file of /dev/shm and its mapping. The file's name is removed by the Segment, not here.
struct Segment::Mapping final : Memory {
  FileDescriptor fd;
  ino_t inode = 0;
  std::span<std::byte> memory = {};
  std::uint64_t unit = 0;  // 0: all is reserved
  std::mutex mutex;
  std::vector<bool> reserved = {};  // by unit, guarded by mutex

  explicit Mapping(FileDescriptor file) : fd(std::move(file)) {
    struct stat info {};
    if (::fstat(fd.get(), &info) == 0) inode = info.st_ino;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() override {
    if (!memory.empty()) ::munmap(memory.data(), memory.size());
  }

  std::span<std::byte> bytes() const override { return memory; }

  bool is_backed() const override { return unit == 0; }

  bool back(std::uint64_t offset, std::uint64_t length) override {
    if (unit == 0) return true;
    const auto end = (offset + length + unit - 1) / unit;
    for (auto [first, count] = unreserved(offset / unit, end); count > 0;
         std::tie(first, count) = unreserved(first + count, end)) {
      // Not under the mutex, for it takes long. Twice does no harm.
      if (reserve(first * unit, std::min(count * unit, memory.size() - first * unit)) != 0) {
        return false;
      }
      std::lock_guard lock(mutex);
      std::fill_n(reserved.begin() + static_cast<std::ptrdiff_t>(first), count, true);
    }
    return true;
  }

  Result<void> fill(const SegmentOptions& options, const std::string& path) {
    // The mode asked for, whatever the umask is.
    if (::fchmod(fd.get(), options.mode) != 0) {
      return base::failed(ErrorCode::segment_unusable,
                          fmt::format("cannot set up {}: {}", path, std::strerror(errno)));
    }
    const int error = options.reserve_unit == 0 ? reserve(0, options.size) : set_size(options);
    if (error != 0) return tl::make_unexpected(out_of_room(options, error));
    void* mapped = ::mmap(nullptr, options.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapped == MAP_FAILED) return tl::make_unexpected(out_of_room(options, errno));
    memory = std::span(static_cast<std::byte*>(mapped), options.size);
    if (options.prefault) ::madvise(mapped, options.size, MADV_POPULATE_WRITE);
    return {};
  }

 private:
  /// The first run of units from `first` to `end` that are not reserved: where, and how many.
  std::pair<std::uint64_t, std::uint64_t> unreserved(std::uint64_t first, std::uint64_t end) {
    std::lock_guard lock(mutex);
    const auto stop = reserved.begin() + static_cast<std::ptrdiff_t>(end);
    const auto run = std::find(reserved.begin() + static_cast<std::ptrdiff_t>(first), stop, false);
    return {static_cast<std::uint64_t>(run - reserved.begin()),
            static_cast<std::uint64_t>(std::find(run, stop, true) - run)};
  }

  /// 0, or what errno would be.
  int reserve(std::uint64_t offset, std::uint64_t length) {
    int error = 0;
    do {
      error = ::posix_fallocate(fd.get(), static_cast<off_t>(offset), static_cast<off_t>(length));
    } while (error == EINTR);
    return error;
  }

  /// Reserves nothing yet, but sees that there is room now.
  int set_size(const SegmentOptions& options) {
    struct statvfs shm {};
    const bool known = ::fstatvfs(fd.get(), &shm) == 0 && shm.f_blocks > 0;  // 0: no limit
    if (known && shm.f_bavail * shm.f_frsize < options.size) return ENOSPC;
    if (::ftruncate(fd.get(), static_cast<off_t>(options.size)) != 0) return errno;
    unit = options.reserve_unit;
    reserved.resize((options.size + unit - 1) / unit);
    return 0;
  }
};

Segment::Segment(SegmentOptions options, OwnerFile owner)
    : options_(std::move(options)),
      paths_(options_.name),
      owner_(std::move(owner)),
      listing_(paths_, owner_->inode()),
      owner_pid_(::getpid()) {}

Result<Segment> Segment::create(const SegmentOptions& options) {
  auto owner = OwnerFile::acquire(options.name, options.replace);
  if (!owner) return tl::make_unexpected(owner.error());
  // From here on the destructor cleans up whatever has been made.
  Segment segment(options, std::move(*owner));
  if (!segment.owner_->clear_leftovers()) {
    const std::string& path = segment.path();
    if (!options.replace) return tl::make_unexpected(taken(path));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      const int error = errno;
      if (error == EISDIR) return tl::make_unexpected(taken(path));
      return base::failed(
          ErrorCode::segment_in_use,
          fmt::format("cannot remove {}, to take it over: {}; run as its owner, or choose "
                      "another segment name",
                      path, std::strerror(error)));
    }
  }
  if (auto made = segment.renew(); !made) return tl::make_unexpected(made.error());
  return segment;
}

Segment::Segment(Segment&& other) noexcept
    : options_(std::move(other.options_)),
      paths_(std::move(other.paths_)),
      owner_(std::exchange(other.owner_, std::nullopt)),
      listing_(std::move(other.listing_)),
      mapping_(std::move(other.mapping_)),
      coming_(std::move(other.coming_)),
      owner_pid_(other.owner_pid_),
      placeholder_(other.placeholder_) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  std::swap(options_, other.options_);
  std::swap(paths_, other.paths_);
  std::swap(owner_, other.owner_);
  std::swap(listing_, other.listing_);
  std::swap(mapping_, other.mapping_);
  std::swap(coming_, other.coming_);
  std::swap(owner_pid_, other.owner_pid_);
  std::swap(placeholder_, other.placeholder_);
  return *this;
}

Segment::~Segment() {
  if (!owner_ || owner_pid_ != ::getpid()) return;
  if (coming_) ::unlink(paths_.coming.c_str());
  if (mapping_) {
    show();
    unlink_name();
  }
  owner_->remove();  // last, so that a successor finds all the rest gone
}

std::span<std::byte> Segment::memory() const { return mapping_->memory; }
std::shared_ptr<Memory> Segment::mapping() const { return mapping_; }
ino_t Segment::inode() const { return mapping_->inode; }

mode_t Segment::mode() const {
  struct stat info {};
  ::fstat(mapping_->fd.get(), &info);
  return info.st_mode & 07777;
}

bool Segment::linked() const { return inode_at(path()) == mapping_->inode; }

bool Segment::intact() const {
  struct stat info {};
  return ::fstat(mapping_->fd.get(), &info) == 0 &&
         static_cast<std::uint64_t>(info.st_size) >= options_.size;
}

/// A segment under the name of one that is being made. Leaves nothing behind on error.
Result<std::shared_ptr<Segment::Mapping>> Segment::make(const SegmentOptions& options) {
  FileDescriptor file(
      ::open(paths_.coming.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, options.mode));
  if (!file) {
    const int error = errno;
    struct stat info {};
    if (error == EEXIST && ::lstat(paths_.coming.c_str(), &info) == 0) {
      return base::failed(
          ErrorCode::segment_in_use,
          fmt::format("{} stands in the way: it belongs to uid {} and cannot be removed; "
                      "choose another segment name, or have it removed",
                      paths_.coming, info.st_uid));
    }
    return tl::make_unexpected(base::system_error(fmt::format("cannot create {}", paths_.coming),
                                                  error, ErrorCode::segment_unusable));
  }
  auto mapping = std::make_shared<Mapping>(std::move(file));
  listing_.set_inodes(mapping_ ? mapping_->inode : 0, mapping->inode, placeholder_.value_or(0));
  auto filled = mapping->fill(options, paths_.coming);
  if (!filled) {
    ::unlink(paths_.coming.c_str());
    return tl::make_unexpected(filled.error());
  }
  return mapping;
}

/// Gives the segment that was made its name, which must be free.
Result<void> Segment::put_under_name() {
  // Not a link, which the kernel would not take for the file's name: /proc/PID/maps, where others
  // look for whoever has the segment, would go on telling the first one.
  if (::renameat2(AT_FDCWD, paths_.coming.c_str(), AT_FDCWD, paths_.segment.c_str(),
                  RENAME_NOREPLACE) == 0) {
    return {};
  }
  const int error = errno;
  ::unlink(paths_.coming.c_str());
  if (error == EEXIST) return tl::make_unexpected(taken(path()));
  return tl::make_unexpected(base::system_error(fmt::format("cannot create {}", path()), error,
                                                ErrorCode::segment_unusable));
}

Result<void> Segment::renew(bool whole) {
  if (auto prepared = prepare(whole); !prepared) return prepared;
  return exchange();
}

Result<void> Segment::prepare(bool whole) {
  SegmentOptions options = options_;
  if (whole) options.reserve_unit = 0;
  auto made = make(options);
  if (!made) return tl::make_unexpected(made.error());
  coming_ = std::move(*made);
  return {};
}

Result<void> Segment::exchange() {
  HYPERPOD_REQUIRE(coming_);
  auto made = std::move(coming_);
  if (mapping_) show();

  // At each step the inode that is recorded is one that the next owner finds, if it is killed here.
  const ino_t former = mapping_ ? mapping_->inode : 0;
  listing_.set_inodes(former, made->inode);
  const bool set_aside =
      mapping_ && linked() && ::rename(path().c_str(), paths_.aside.c_str()) == 0;
  Result<void> put;
  if (owner_->record(made->inode)) {
    put = put_under_name();
  } else {
    put = tl::make_unexpected(base::system_error(fmt::format("cannot write {}", paths_.owner),
                                                 errno, ErrorCode::segment_unusable));
    ::unlink(paths_.coming.c_str());
  }
  if (!put) {
    [[maybe_unused]] const bool recorded = owner_->record(former);
    if (set_aside) ::rename(paths_.aside.c_str(), path().c_str());
    listing_.set_inodes(former);
    return put;
  }
  if (set_aside) ::unlink(paths_.aside.c_str());
  mapping_ = std::move(made);
  listing_.set_inodes(mapping_->inode);
  listing_.set_memory(mapping_->memory);
  return {};
}

void Segment::unlink_name() {
  show();  // or the name would come back with it later
  if (linked()) ::unlink(path().c_str());
}

Result<void> Segment::hide() {
  if (placeholder_ || !linked()) return {};
  if (::rename(path().c_str(), paths_.aside.c_str()) != 0) {
    return base::failed(ErrorCode::segment_unusable,
                        fmt::format("cannot rename {}: {}", path(), std::strerror(errno)));
  }
  const FileDescriptor empty(
      ::open(path().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, options_.mode));
  struct stat info {};
  const bool made = empty && ::fstat(empty.get(), &info) == 0;
  const int error = errno;
  placeholder_ = info.st_ino;
  listing_.set_inodes(mapping_->inode, 0, info.st_ino);
  if (made) return {};
  show();
  return tl::make_unexpected(base::system_error(fmt::format("cannot create {}", path()), error,
                                                ErrorCode::segment_unusable));
}

void Segment::show() {
  if (!placeholder_) return;
  const auto present = inode_at(path());
  if (!present || present == placeholder_) {
    ::rename(paths_.aside.c_str(), path().c_str());
  } else {
    ::unlink(paths_.aside.c_str());
  }
  placeholder_.reset();
  listing_.set_inodes(mapping_->inode);
}

Result<void> Segment::set_mode(mode_t mode) {
  if (::fchmod(mapping_->fd.get(), mode) == 0) return {};
  return base::failed(ErrorCode::segment_unusable, fmt::format("cannot change the mode of {}: {}",
                                                               path(), std::strerror(errno)));
}

}  // namespace hyperpod::emulator::core
