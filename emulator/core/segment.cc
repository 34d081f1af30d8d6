#include "core/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace hyperpod::emulator {
namespace {

constexpr const char* shm_directory = "/dev/shm";

std::string segment_path(const std::string& name) {
  return fmt::format("{}/{}", shm_directory, name);
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
};

OwnerRecord read_owner(int fd) {
  std::array<char, 64> text{};
  OwnerRecord record;
  if (::pread(fd, text.data(), text.size() - 1, 0) > 0) {
    unsigned long long inode = 0;
    if (std::sscanf(text.data(), "pid %d inode %llu", &record.pid, &inode) == 2) {
      record.inode = static_cast<ino_t>(inode);
    }
  }
  return record;
}

bool write_owner(int fd, ino_t inode) {
  const auto text = fmt::format("pid {} inode {}\n", ::getpid(), inode);
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
  pid_t pid = 0;
  std::array<char, 300> segment{};
  std::array<char, 300> owner{};
};
std::array<CrashEntry, 256> crash_entries;

void remember_for_crash(const std::string& name, ino_t inode) {
  for (CrashEntry& entry : crash_entries) {
    if (entry.used.exchange(true)) continue;
    entry.inode = inode;
    entry.pid = ::getpid();
    segment_path(name).copy(entry.segment.data(), entry.segment.size() - 1);
    owner_path(name).copy(entry.owner.data(), entry.owner.size() - 1);
    entry.ready = true;
    return;
  }
}

void forget_for_crash(ino_t inode) {
  for (CrashEntry& entry : crash_entries) {
    if (!entry.ready || entry.inode != inode) continue;
    entry.ready = false;
    entry.segment.fill('\0');
    entry.owner.fill('\0');
    entry.used = false;
    return;
  }
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

Result<std::span<std::byte>> map_reserved(int fd, const SegmentOptions& options) {
  const auto size = static_cast<off_t>(options.size);
  int error = 0;
  do {
    error = ::posix_fallocate(fd, 0, size);
  } while (error == EINTR);
  if (error != 0) return tl::make_unexpected(out_of_room(options, error));
  void* memory = ::mmap(nullptr, options.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return tl::make_unexpected(out_of_room(options, errno));
  if (options.prefault) ::madvise(memory, options.size, MADV_POPULATE_WRITE);
  return std::span(static_cast<std::byte*>(memory), options.size);
}

}  // namespace

Result<Segment> Segment::create(const SegmentOptions& options) {
  auto owner = lock_owner_file(options.name);
  if (!owner) return tl::make_unexpected(owner.error());
  const auto path = segment_path(options.name);
  const auto shm_name = "/" + options.name;

  if (const auto present = inode_at(path)) {
    const bool stale = read_owner(owner->get()).inode == *present;
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
  Segment segment;
  segment.name_ = options.name;
  segment.owner_fd_ = owner->release();
  segment.owner_pid_ = ::getpid();
  Descriptor fd(::shm_open(shm_name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, options.mode));
  if (!fd) {
    return fail(ErrorCode::segment_unusable,
                fmt::format("cannot create {}: {}; choose another segment name", path,
                            std::strerror(errno)));
  }
  struct stat created {};
  ::fstat(fd.get(), &created);
  segment.inode_ = created.st_ino;
  remember_for_crash(options.name, segment.inode_);
  // The mode asked for, whatever the umask is.
  if (::fchmod(fd.get(), options.mode) != 0 || !write_owner(segment.owner_fd_, segment.inode_)) {
    return fail(ErrorCode::segment_unusable,
                fmt::format("cannot set up {}: {}", path, std::strerror(errno)));
  }
  auto memory = map_reserved(fd.get(), options);
  if (!memory) return tl::make_unexpected(memory.error());
  segment.memory_ = *memory;
  return segment;
}

Segment::Segment(Segment&& other) noexcept
    : name_(std::move(other.name_)),
      memory_(std::exchange(other.memory_, {})),
      owner_fd_(std::exchange(other.owner_fd_, -1)),
      owner_pid_(std::exchange(other.owner_pid_, 0)),
      inode_(std::exchange(other.inode_, 0)) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(memory_, other.memory_);
  std::swap(owner_fd_, other.owner_fd_);
  std::swap(owner_pid_, other.owner_pid_);
  std::swap(inode_, other.inode_);
  return *this;
}

Segment::~Segment() {
  if (owner_fd_ < 0) return;
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
  if (owner_pid_ == ::getpid()) unlink_names();
  ::close(owner_fd_);
}

void Segment::unlink_names() const {
  if (inode_ != 0) {
    if (inode_at(segment_path(name_)) == inode_) ::shm_unlink(("/" + name_).c_str());
    forget_for_crash(inode_);
  }
  // While the lock is still held, so that a successor never locks a file without a name.
  struct stat owner {};
  if (::fstat(owner_fd_, &owner) == 0 && inode_at(owner_path(name_)) == owner.st_ino) {
    ::unlink(owner_path(name_).c_str());
  }
}

void Segment::unlink_all_on_crash() noexcept {
  for (CrashEntry& entry : crash_entries) {
    if (!entry.ready || entry.pid != ::getpid()) continue;
    struct stat info {};
    if (::stat(entry.segment.data(), &info) == 0 && info.st_ino == entry.inode) {
      ::unlink(entry.segment.data());
    }
    ::unlink(entry.owner.data());
  }
}

}  // namespace hyperpod::emulator
