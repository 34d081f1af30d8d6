// SPDX-License-Identifier: Apache-2.0
// A shared-memory segment of a test's own, as a daemon would make it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::client::testing {

class TestSegment {
 public:
  /// Makes /dev/shm/`name`, or replaces what is there by another inode. Throws on failure.
  TestSegment(std::string name, std::uint64_t size, unsigned mode = 0600);
  TestSegment(const TestSegment&) = delete;
  TestSegment& operator=(const TestSegment&) = delete;
  ~TestSegment();  ///< Removes the name, whoever holds it by now.

  /// A name for a TestSegment that nobody else uses, in whatever container. Whatever has such a
  /// name and is not a living TestSegment is removed by the next one that this user makes: what a
  /// killed test has left, and a segment of anything else.
  static std::string unique_name(std::string_view label);

  const std::string& name() const { return name_; }
  std::span<std::byte> bytes() { return {data_, size_}; }
  void write(std::uint64_t offset, std::string_view text);
  void unlink();
  /// Leaves the name alone from now on: another segment has taken it.
  void forget() { name_.clear(); }

 private:
  std::string name_;
  std::byte* data_;
  std::uint64_t size_;
  base::FileDescriptor lock_;  // tells others that somebody uses the segment
};

}  // namespace hyperpod::client::testing
