// SPDX-License-Identifier: Apache-2.0
#include "core/owner_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "hyperpod/base/text.h"

namespace hyperpod::emulator::core {
namespace {

using base::FileDescriptor;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* shm_directory = "/dev/shm";
constexpr std::string_view owner_suffix = ".owner";
// The change lock is held for some system calls only, by processes of this user.
constexpr milliseconds change_lock_patience{5000};
// How often a file that somebody puts back again and again is removed.
constexpr int most_attempts = 100;

std::optional<struct stat> status_of(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

std::optional<struct stat> status_of(const FileDescriptor& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return std::nullopt;
  return info;
}

/// Without O_CREAT first: where fs.protected_regular is set, the kernel refuses even root to open
/// another user's file with it in a directory like /dev/shm.
FileDescriptor open_or_make(const std::string& path) {
  constexpr int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  FileDescriptor file(::open(path.c_str(), flags));
  if (!file && errno == ENOENT) {
    file.reset(::open(path.c_str(), flags | O_CREAT | O_EXCL, 0600));
  }
  return file;
}

/// Whether it is a regular file with one name.
bool is_plain(const FileDescriptor& file) {
  const auto info = status_of(file);
  return info && S_ISREG(info->st_mode) && info->st_nlink == 1;
}

/// Another user could have put there anything, a second name of some file of ours included.
bool trusted(const FileDescriptor& file) {
  const auto info = status_of(file);
  return is_plain(file) && info->st_uid == ::geteuid();
}

/// Who takes a name or clears it away holds the change lock for a moment, so that nobody removes a
/// file that somebody is about to own. It is independent of the owner's lock, which is held for
/// life. An owner's lock says what no lock of the first kind does: that the name is taken.
bool take_change_lock(const FileDescriptor& file, milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  struct flock whole {};
  whole.l_type = F_WRLCK;
  while (::fcntl(file.get(), F_OFD_SETLK, &whole) != 0) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(milliseconds{1});
  }
  return true;
}

void drop_change_lock(const FileDescriptor& file) {
  struct flock whole {};
  whole.l_type = F_UNLCK;
  ::fcntl(file.get(), F_OFD_SETLK, &whole);
}

bool take_owner_lock(const FileDescriptor& file) {
  return ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
}

bool leads_to(const std::string& path, const FileDescriptor& file) {
  const auto here = status_of(path);
  const auto mine = status_of(file);
  return here && mine && here->st_ino == mine->st_ino;
}

/// "process 17", as this process's PID namespace has it.
std::string owner_of(const FileDescriptor& file) {
  const auto info = status_of(file);
  std::ifstream locks("/proc/locks");
  std::string line;
  while (info && std::getline(locks, line)) {
    char kind[16] = {};
    long pid = 0;
    unsigned device_major = 0;
    unsigned device_minor = 0;
    unsigned long long inode = 0;
    if (std::sscanf(line.c_str(), "%*d: %15s %*s %*s %ld %x:%x:%llu", kind, &pid, &device_major,
                    &device_minor, &inode) == 5 &&
        std::strcmp(kind, "FLOCK") == 0 && pid > 0 && inode == info->st_ino &&
        makedev(device_major, device_minor) == info->st_dev) {
      return fmt::format("process {}", pid);
    }
  }
  return "a process of another container";
}

std::string uid_of(const std::string& path) {
  const auto info = status_of(path);
  return info ? fmt::format("uid {}", info->st_uid) : "another user";
}

Error cannot_open(const std::string& path, int error) {
  if (error == ENOENT) {
    return {ErrorCode::segment_unusable,
            fmt::format("cannot open {}: there is no directory {}; mount a tmpfs there", path,
                        shm_directory)};
  }
  if (error != EACCES && error != EPERM && error != EROFS) {
    return base::system_error(fmt::format("cannot open {}", path), error,
                              ErrorCode::segment_unusable);
  }
  return {ErrorCode::segment_unusable,
          fmt::format("cannot open {}: {}; make /dev/shm writable for this user", path,
                      std::strerror(error))};
}

Error in_use(const std::string& name, const FileDescriptor& file) {
  return {ErrorCode::segment_in_use,
          fmt::format("segment '{}' is in use by {}; stop it or choose another segment name",
                      base::printable(name), owner_of(file))};
}

/// Removes a file that this process must not trust, where that robs nobody of a segment. `file` is
/// that file, or none if it cannot be opened.
Result<void> remove_stranger(const std::string& name, const FileDescriptor& file, bool replace) {
  const SegmentPaths paths(name);
  const std::string whose = uid_of(paths.owner);
  if (status_of(paths.segment) && !replace) {
    return base::failed(
        ErrorCode::segment_in_use,
        fmt::format("segment {} exists, and {} is a file of {} that this process does not "
                    "trust; choose another segment name, or take this one over with "
                    "--replace-segment",
                    paths.segment, paths.owner, whose));
  }
  // Anybody can lock a file of their own to keep others from a name, but not from a free one.
  if (status_of(paths.segment) && is_plain(file) && !take_owner_lock(file)) {
    return tl::make_unexpected(in_use(name, file));
  }
  if (::unlink(paths.owner.c_str()) == 0 || errno == ENOENT) return {};
  return base::failed(
      ErrorCode::segment_in_use,
      fmt::format("{} stands in the way: it belongs to {} and cannot be removed ({}); "
                  "choose another segment name, or have it removed",
                  paths.owner, whose, std::strerror(errno)));
}

}  // namespace

SegmentPaths::SegmentPaths(const std::string& name)
    : segment(fmt::format("{}/{}", shm_directory, name)),
      owner(fmt::format("{}/.{}{}", shm_directory, name, owner_suffix)),
      coming(fmt::format("{}/.{}.new", shm_directory, name)),
      aside(fmt::format("{}/.{}.aside", shm_directory, name)) {}

Result<OwnerFile> OwnerFile::acquire(const std::string& name, bool replace) {
  const SegmentPaths paths(name);
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    FileDescriptor file = open_or_make(paths.owner);
    if (!file) {
      const int error = errno;
      if (error == EEXIST) continue;  // made by somebody else at this moment
      if (!status_of(paths.owner) || error == EMFILE || error == ENFILE || error == ENOMEM) {
        return tl::make_unexpected(cannot_open(paths.owner, error));
      }
    }
    if (!file || !trusted(file)) {
      if (file && !leads_to(paths.owner, file)) continue;  // its owner has just removed it
      if (auto removed = remove_stranger(name, file, replace); !removed) {
        return tl::make_unexpected(removed.error());
      }
      continue;
    }
    if (!take_change_lock(file, change_lock_patience)) {
      return base::failed(
          ErrorCode::segment_in_use,
          fmt::format("{} stays locked; end the stopped process that holds it, or choose "
                      "another segment name",
                      paths.owner));
    }
    if (!leads_to(paths.owner, file)) continue;
    if (!take_owner_lock(file)) {
      return tl::make_unexpected(in_use(name, file));
    }
    drop_change_lock(file);
    if (leads_to(paths.owner, file)) return OwnerFile(paths, std::move(file));
  }
  return base::failed(
      ErrorCode::segment_in_use,
      fmt::format("{} is put back again and again by {}; choose another segment name", paths.owner,
                  uid_of(paths.owner)));
}

ino_t OwnerFile::recorded() const {
  const auto info = status_of(file_);
  return info ? static_cast<ino_t>(info->st_size) : 0;
}

bool OwnerFile::record(ino_t segment) {
  return ::ftruncate(file_.get(), static_cast<off_t>(segment)) == 0;
}

ino_t OwnerFile::inode() const {
  const auto info = status_of(file_);
  return info ? info->st_ino : 0;
}

bool OwnerFile::clear_leftovers() const {
  const auto present = status_of(paths_.segment);
  if (present) {
    const ino_t theirs = recorded();
    const auto aside = status_of(paths_.aside);
    // While a segment is hidden, an empty file of its owner's stands in its place.
    const bool placeholder =
        aside && aside->st_ino == theirs && present->st_size == 0 && present->st_uid == ::geteuid();
    if (theirs != 0 && (present->st_ino == theirs || placeholder)) {
      ::unlink(paths_.segment.c_str());
    }
  }
  ::unlink(paths_.aside.c_str());
  ::unlink(paths_.coming.c_str());
  return !status_of(paths_.segment);
}

void OwnerFile::remove() const {
  if (leads_to(paths_.owner, file_)) ::unlink(paths_.owner.c_str());
}

std::vector<std::string> remove_abandoned_segments() {
  std::vector<std::string> removed;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(shm_directory), ::closedir);
  while (const dirent* const entry = directory ? ::readdir(directory.get()) : nullptr) {
    std::string_view file_name = entry->d_name;
    if (!file_name.starts_with('.') || !file_name.ends_with(owner_suffix)) continue;
    file_name.remove_prefix(1);
    file_name.remove_suffix(owner_suffix.size());
    if (!file_name.starts_with(temporary_prefix)) continue;

    const std::string name(file_name);
    const SegmentPaths paths(name);
    FileDescriptor file(::open(paths.owner.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file || !trusted(file) || !take_change_lock(file, milliseconds{0}) ||
        !take_owner_lock(file)) {
      continue;
    }
    // The lock was free, too, if its owner has just removed the file. What is there then, if
    // anything, is a successor's.
    if (!leads_to(paths.owner, file)) continue;
    const OwnerFile abandoned(paths, std::move(file));
    abandoned.clear_leftovers();
    abandoned.remove();
    removed.push_back(name);
  }
  return removed;
}

}  // namespace hyperpod::emulator::core
