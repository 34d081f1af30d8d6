#include "test_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace hyperpod::client::testing {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

TestSegment::TestSegment(std::string name, std::uint64_t size, unsigned mode)
    : name_(std::move(name)), data_(nullptr), size_(size) {
  shm_unlink(name_.c_str());
  const int fd = shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, mode);
  if (fd < 0) fail("shm_open");
  if (fchmod(fd, mode) != 0 || ftruncate(fd, static_cast<off_t>(size)) != 0) fail("ftruncate");
  if (size > 0) {
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) fail("mmap");
    data_ = static_cast<std::byte*>(data);
  }
  close(fd);
}

TestSegment::~TestSegment() {
  unlink();
  if (data_ != nullptr) munmap(data_, size_);
}

std::string TestSegment::unique_name(std::string_view label) {
  static std::atomic<int> count{0};
  return "hyperpod_client_test_" + std::string(label) + "_" + std::to_string(getpid()) + "_" +
         std::to_string(count++);
}

void TestSegment::write(std::uint64_t offset, std::string_view text) {
  std::memcpy(data_ + offset, text.data(), text.size());
}

void TestSegment::unlink() {
  if (!name_.empty()) shm_unlink(name_.c_str());
}

}  // namespace hyperpod::client::testing
