// SPDX-License-Identifier: Apache-2.0
#include "core/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace hyperpod::emulator::core {
namespace {

constexpr const char* shm_directory = "/dev/shm";

std::string segment_path(const std::string& name) {
  return fmt::format("{}/{}", shm_directory, name);
}

std::string hidden_path(const std::string& name) {
  return fmt::format("{}/.{}.hidden", shm_directory, name);
}

std::string owner_path(const std::string& name) {
  return fmt::format("{}/.{}.owner", shm_directory, name);
}

tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::make_unexpected(Error{code, std::move(message)});
}

/// Closes on the way out unless released.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::optional<ino_t> inode_at(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return info.st_ino;
}

struct OwnerRecord {
  pid_t pid = 0;
  ino_t inode = 0;
  ino_t placeholder = 0;  // of the file that stands for a hidden segment
};

OwnerRecord read_owner(int fd) {
  std::array<char, 64> text{};
  OwnerRecord record;
  if (::pread(fd, text.data(), text.size() - 1, 0) > 0) {
    unsigned long long inode = 0;
    unsigned long long placeholder = 0;
    if (std::sscanf(text.data(), "pid %d inode %llu placeholder %llu", &record.pid, &inode,
                    &placeholder) >= 2) {
      record.inode = static_cast<ino_t>(inode);
      record.placeholder = static_cast<ino_t>(placeholder);
    }
  }
  return record;
}

bool write_owner(int fd, ino_t inode, ino_t placeholder = 0) {
  auto text = fmt::format("pid {} inode {}", ::getpid(), inode);
  if (placeholder != 0) text += fmt::format(" placeholder {}", placeholder);
  text += '\n';
  return ::ftruncate(fd, 0) == 0 &&
         ::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

/// Opens and locks the owner file, proof against a previous owner that removes it at the same time.
Result<Descriptor> lock_owner_file(const std::string& name) {
  const auto path = owner_path(name);
  while (true) {
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) {
      return fail(ErrorCode::segment_unusable,
                  fmt::format("cannot open {}: {}; make /dev/shm writable for this user or choose "
                              "another segment name",
                              path, std::strerror(errno)));
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      return fail(ErrorCode::segment_in_use,
                  fmt::format("segment '{}' is in use by process {}; stop it or choose another "
                              "segment name",
                              name, read_owner(fd.get()).pid));
    }
    struct stat locked {};
    if (::fstat(fd.get(), &locked) == 0 && inode_at(path) == locked.st_ino) return fd;
  }
}

// Names of the segments this process owns, where a signal handler can read them without a lock.
struct CrashEntry {
  std::atomic<bool> used{false};
  std::atomic<bool> ready{false};
  std::atomic<ino_t> inode{0};
  std::atomic<ino_t> placeholder{0};
  pid_t pid = 0;
  std::array<char, 300> segment{};
  std::array<char, 300> hidden{};
  std::array<char, 300> owner{};
};
std::array<CrashEntry, 256> crash_entries;

void remember_for_crash(const std::string& name, ino_t inode) {
  for (CrashEntry& entry : crash_entries) {
    if (entry.used.exchange(true)) continue;
    entry.inode = inode;
    entry.pid = ::getpid();
    segment_path(name).copy(entry.segment.data(), entry.segment.size() - 1);
    hidden_path(name).copy(entry.hidden.data(), entry.hidden.size() - 1);
    owner_path(name).copy(entry.owner.data(), entry.owner.size() - 1);
    entry.ready = true;
    return;
  }
}

CrashEntry* crash_entry_of(ino_t inode) {
  const auto found = std::ranges::find_if(
      crash_entries, [&](const CrashEntry& entry) { return entry.ready && entry.inode == inode; });
  return found == crash_entries.end() ? nullptr : &*found;
}

void forget_for_crash(ino_t inode) {
  CrashEntry* const entry = crash_entry_of(inode);
  if (entry == nullptr) return;
  entry->ready = false;
  entry->placeholder = 0;
  entry->segment.fill('\0');
  entry->hidden.fill('\0');
  entry->owner.fill('\0');
  entry->used = false;
}

/// What stands in the segment's place while it is hidden; 0: nothing does any more.
void remember_placeholder(int owner_fd, ino_t inode, ino_t placeholder) {
  write_owner(owner_fd, inode, placeholder);
  if (CrashEntry* const entry = crash_entry_of(inode)) entry->placeholder = placeholder;
}

/// Async-signal-safe.
void unlink_if(const char* path, ino_t one, ino_t other) {
  struct stat info {};
  if (::stat(path, &info) != 0 || info.st_ino == 0) return;
  if (info.st_ino == one || info.st_ino == other) ::unlink(path);
}

Error out_of_room(const SegmentOptions& options, int error) {
  struct statvfs shm {};
  ::statvfs(shm_directory, &shm);
  return {
      ErrorCode::segment_unusable,
      fmt::format("cannot reserve {} bytes for segment '{}': {}; {} has {} bytes free, so lower "
                  "the capacity or enlarge it (docker: --shm-size)",
                  options.size, options.name, std::strerror(error), shm_directory,
                  shm.f_bavail * shm.f_frsize)};
}

}  // namespace

/// One file of /dev/shm and its mapping. The file's name is removed by the Segment, not here.
struct Segment::Mapping final : Memory {
  Descriptor fd;
  ino_t inode = 0;
  std::span<std::byte> memory = {};
  std::uint64_t unit = 0;
  std::vector<bool> reserved = {};  // by unit; empty: all is

  explicit Mapping(Descriptor file) : fd(std::move(file)) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() override {
    if (!memory.empty()) ::munmap(memory.data(), memory.size());
  }

  std::span<std::byte> bytes() const override { return memory; }

  bool back(std::uint64_t offset, std::uint64_t length) override {
    if (reserved.empty()) return true;
    const auto at = [&](std::uint64_t number) {
      return reserved.begin() + static_cast<std::ptrdiff_t>(number);
    };
    const auto end = at((offset + length + unit - 1) / unit);
    for (auto run = std::find(at(offset / unit), end, false); run != end;) {
      const auto run_end = std::find(run, end, true);
      const auto first = static_cast<std::uint64_t>(run - reserved.begin());
      const auto count = static_cast<std::uint64_t>(run_end - run);
      if (reserve(first * unit, std::min(count * unit, memory.size() - first * unit)) != 0) {
        return false;
      }
      std::fill(run, run_end, true);
      run = std::find(run_end, end, false);
    }
    return true;
  }

  /// Leaves nothing behind on error.
  static Result<std::shared_ptr<Mapping>> create(const SegmentOptions& options, int owner_fd) {
    const auto path = segment_path(options.name);
    const auto shm_name = "/" + options.name;
    Descriptor file(
        ::shm_open(shm_name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, options.mode));
    if (!file) {
      return fail(ErrorCode::segment_unusable,
                  fmt::format("cannot create {}: {}; choose another segment name", path,
                              std::strerror(errno)));
    }
    auto mapping = std::make_shared<Mapping>(std::move(file));
    struct stat created {};
    ::fstat(mapping->fd.get(), &created);
    mapping->inode = created.st_ino;
    remember_for_crash(options.name, mapping->inode);
    auto filled = mapping->fill(options, owner_fd);
    if (!filled) {
      ::shm_unlink(shm_name.c_str());
      forget_for_crash(mapping->inode);
      return tl::make_unexpected(filled.error());
    }
    return mapping;
  }

 private:
  Result<void> fill(const SegmentOptions& options, int owner_fd) {
    // The mode asked for, whatever the umask is.
    if (::fchmod(fd.get(), options.mode) != 0 || !write_owner(owner_fd, inode)) {
      return fail(
          ErrorCode::segment_unusable,
          fmt::format("cannot set up {}: {}", segment_path(options.name), std::strerror(errno)));
    }
    const int error = options.reserve_unit == 0 ? reserve(0, options.size) : set_size(options);
    if (error != 0) return tl::make_unexpected(out_of_room(options, error));
    void* mapped = ::mmap(nullptr, options.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapped == MAP_FAILED) return tl::make_unexpected(out_of_room(options, errno));
    memory = std::span(static_cast<std::byte*>(mapped), options.size);
    if (options.prefault) ::madvise(mapped, options.size, MADV_POPULATE_WRITE);
    return {};
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

Result<Segment> Segment::create(const SegmentOptions& options) {
  auto owner = lock_owner_file(options.name);
  if (!owner) return tl::make_unexpected(owner.error());
  const auto path = segment_path(options.name);
  const auto shm_name = "/" + options.name;

  ::unlink(hidden_path(options.name).c_str());  // of an owner that died while it hid its segment
  if (const auto present = inode_at(path)) {
    const OwnerRecord former = read_owner(owner->get());
    const bool stale = former.inode == *present || former.placeholder == *present;
    if (!stale && !options.replace) {
      ::unlink(owner_path(options.name).c_str());
      return fail(ErrorCode::segment_in_use,
                  fmt::format("segment {} exists and was not made by an emulator that has died; "
                              "remove it, choose another name, or take it over with "
                              "--replace-segment",
                              path));
    }
    ::shm_unlink(shm_name.c_str());
  }

  // From here on the destructor cleans up whatever has been made.
  Segment segment(options);
  segment.owner_fd_ = owner->release();
  segment.owner_pid_ = ::getpid();
  if (auto made = segment.renew(); !made) return tl::make_unexpected(made.error());
  return segment;
}

Segment::Segment(Segment&& other) noexcept
    : options_(std::move(other.options_)),
      mapping_(std::move(other.mapping_)),
      owner_fd_(std::exchange(other.owner_fd_, -1)),
      owner_pid_(std::exchange(other.owner_pid_, 0)),
      hidden_(std::exchange(other.hidden_, false)) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  std::swap(options_, other.options_);
  std::swap(mapping_, other.mapping_);
  std::swap(owner_fd_, other.owner_fd_);
  std::swap(owner_pid_, other.owner_pid_);
  std::swap(hidden_, other.hidden_);
  return *this;
}

Segment::~Segment() {
  if (owner_fd_ < 0) return;
  if (owner_pid_ == ::getpid()) unlink_names();
  ::close(owner_fd_);
}

void Segment::unlink_names() {
  if (mapping_) {
    show();
    unlink_name();
    forget_for_crash(mapping_->inode);
  }
  // While the lock is still held, so that a successor never locks a file without a name.
  struct stat owner {};
  if (::fstat(owner_fd_, &owner) == 0 && inode_at(owner_path(name())) == owner.st_ino) {
    ::unlink(owner_path(name()).c_str());
  }
}

std::span<std::byte> Segment::memory() const { return mapping_->memory; }
std::shared_ptr<Memory> Segment::mapping() const { return mapping_; }
ino_t Segment::inode() const { return mapping_->inode; }

mode_t Segment::mode() const {
  struct stat info {};
  ::fstat(mapping_->fd.get(), &info);
  return info.st_mode & 07777;
}

bool Segment::linked() const { return inode_at(segment_path(name())) == mapping_->inode; }

Result<void> Segment::renew(bool whole) {
  if (mapping_) {
    show();
    unlink_name();
  }
  SegmentOptions options = options_;
  if (whole) options.reserve_unit = 0;
  auto made = Mapping::create(options, owner_fd_);
  if (!made) return tl::make_unexpected(made.error());
  if (mapping_) forget_for_crash(mapping_->inode);
  mapping_ = std::move(*made);
  return {};
}

void Segment::unlink_name() {
  if (linked()) ::unlink(segment_path(name()).c_str());
}

Result<void> Segment::hide() {
  if (hidden_ || !linked()) return {};
  const auto path = segment_path(name());
  if (::rename(path.c_str(), hidden_path(name()).c_str()) != 0) {
    return fail(ErrorCode::segment_unusable,
                fmt::format("cannot rename {}: {}", path, std::strerror(errno)));
  }
  hidden_ = true;
  const Descriptor empty(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, options_.mode));
  struct stat info {};
  if (!empty || ::fstat(empty.get(), &info) != 0) {
    const int error = errno;
    show();
    return fail(ErrorCode::segment_unusable,
                fmt::format("cannot create {}: {}", path, std::strerror(error)));
  }
  remember_placeholder(owner_fd_, mapping_->inode, info.st_ino);
  return {};
}

void Segment::show() {
  if (!std::exchange(hidden_, false)) return;
  ::rename(hidden_path(name()).c_str(), segment_path(name()).c_str());
  remember_placeholder(owner_fd_, mapping_->inode, 0);
}

Result<void> Segment::set_mode(mode_t mode) {
  if (::fchmod(mapping_->fd.get(), mode) == 0) return {};
  return fail(ErrorCode::segment_unusable, fmt::format("cannot change the mode of {}: {}",
                                                       segment_path(name()), std::strerror(errno)));
}

void Segment::unlink_all_on_crash() noexcept {
  for (CrashEntry& entry : crash_entries) {
    if (!entry.ready || entry.pid != ::getpid()) continue;
    unlink_if(entry.segment.data(), entry.inode, entry.placeholder);
    unlink_if(entry.hidden.data(), entry.inode, entry.inode);
    ::unlink(entry.owner.data());
  }
}

}  // namespace hyperpod::emulator::core
