// SPDX-License-Identifier: Apache-2.0
#include "test_segment.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "hyperpod/base/unique_name.h"
#include "testing/system_failure.h"

namespace hyperpod::client::testing {
namespace {

constexpr std::string_view prefix = "hyperpod_client_test_";

base::FileDescriptor open_segment(const std::string& path, int flags) {
  return base::FileDescriptor(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
}

bool leads_to(const std::string& path, int fd) {
  struct stat here {};
  struct stat opened {};
  return ::lstat(path.c_str(), &here) == 0 && ::fstat(fd, &opened) == 0 &&
         here.st_ino == opened.st_ino;
}

// Removes the segments of tests of this user that were killed: those that nobody has locked.
void remove_abandoned() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const std::string path = entry.path();
    const auto found = open_segment(path, O_RDONLY | O_NONBLOCK);
    struct stat info {};
    if (found && ::fstat(found.get(), &info) == 0 && info.st_uid == ::geteuid() &&
        ::flock(found.get(), LOCK_EX | LOCK_NB) == 0 && leads_to(path, found.get())) {
      ::unlink(path.c_str());
    }
  }
}

// A new segment, locked. Between the two somebody who clears away may have taken it.
base::FileDescriptor make_locked(const std::string& name) {
  const std::string path = "/dev/shm/" + name;
  while (true) {
    ::unlink(path.c_str());
    auto made = open_segment(path, O_RDWR | O_CREAT | O_EXCL);
    if (!made) fail("open");
    if (::flock(made.get(), LOCK_SH) == 0 && leads_to(path, made.get())) return made;
  }
}

}  // namespace

TestSegment::TestSegment(std::string name, std::uint64_t size, unsigned mode)
    : name_(std::move(name)), data_(nullptr), size_(size) {
  remove_abandoned();
  lock_ = make_locked(name_);
  const int fd = lock_.get();
  if (fchmod(fd, mode) != 0 || ftruncate(fd, static_cast<off_t>(size)) != 0) fail("ftruncate");
  if (size > 0) {
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) fail("mmap");
    data_ = static_cast<std::byte*>(data);
  }
}

TestSegment::~TestSegment() {
  unlink();
  if (data_ != nullptr) munmap(data_, size_);
}

std::string TestSegment::unique_name(std::string_view label) {
  return base::unique_name(std::string(prefix) + std::string(label) + "_");
}

void TestSegment::write(std::uint64_t offset, std::string_view text) {
  std::memcpy(data_ + offset, text.data(), text.size());
}

void TestSegment::unlink() {
  if (!name_.empty()) shm_unlink(name_.c_str());
}

}  // namespace hyperpod::client::testing
