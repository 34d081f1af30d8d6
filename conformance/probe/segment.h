// SPDX-License-Identifier: Apache-2.0
// The suite's own view of a shared-memory segment: attached read-only, never created, never
// unlinked.
//
// Const members may be called from several threads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/base/file_descriptor.h"
#include "rooms.h"

namespace hyperpod::conformance::probe {

/// Where a part of an object lies in the segment.
struct Fragment {
  std::uint64_t offset;
  std::uint64_t len;
  bool operator==(const Fragment&) const = default;
};

/// What tells one segment from another and what a directory listing would show of it.
struct SegmentFacts {
  dev_t device;
  ino_t inode;
  std::uint64_t size;
  mode_t mode;  ///< Permission bits only.
  uid_t owner;
  bool operator==(const SegmentFacts&) const = default;
};

class Segment {
 public:
  /// Maps /dev/shm/NAME as it is now. Errors: segment_missing (the message lists what
  /// there is instead), segment_unreadable, failed.
  static Result<Segment> open(const std::string& name);

  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&& other) noexcept;
  ~Segment();

  /// As of the opening.
  const SegmentFacts& facts() const { return facts_; }
  /// The bytes of the fragments put together. Error: invalid_argument, when a fragment reaches
  /// outside the segment, or when together they are longer than the segment. They are read through
  /// the descriptor: a segment that is cut off meanwhile would raise SIGBUS through the mapping.
  Result<std::string> read(std::span<const Fragment> fragments) const;
  /// Whether these bytes stand anywhere in the first `limit` bytes of the segment.
  bool contains(std::string_view bytes, std::uint64_t limit) const;

 private:
  Segment() = default;
  /// Fills `into`; false if the segment ends before that.
  bool read_at(std::uint64_t offset, std::span<char> into) const;

  base::FileDescriptor fd_;
  const char* data_ = nullptr;
  SegmentFacts facts_{};
};

/// What stands under this name now. Errors: segment_missing, failed.
Result<SegmentFacts> look_at_segment(const std::string& name);

}  // namespace hyperpod::conformance::probe
