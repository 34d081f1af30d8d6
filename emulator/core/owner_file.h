// SPDX-License-Identifier: Apache-2.0
// Who owns the name of a segment: /dev/shm/.NAME.owner, under a lock that the kernel drops when
// the owner dies, in whatever container it ran. That tells a stale segment from a living one, and
// both from a stranger's.
//
// Rooms used: text. Errors: segment_in_use, segment_unusable, out_of_resources.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::core {

/// The segments of tests, suites and benchmarks have names that begin so and end in random digits.
/// Nobody asks for such a name again, so whoever starts next removes what a killed owner has left.
inline constexpr std::string_view temporary_prefix = "hyperpod_test_";

/// The files of one segment. All lie in /dev/shm.
struct SegmentPaths {
  explicit SegmentPaths(const std::string& name);

  std::string segment;  ///< NAME, which clients map.
  std::string owner;    ///< .NAME.owner
  std::string coming;   ///< .NAME.new: a segment that is being made.
  std::string aside;    ///< .NAME.aside: the segment while it is hidden or being replaced.
};

/// The longest name whose files all have names that a file can have.
inline constexpr std::size_t longest_segment_name = 255 - (sizeof("..aside") - 1);

/// A name that this process owns. Move-only; not thread-safe. A process forked from the owner
/// shares the lock, and must remove nothing.
class OwnerFile {
 public:
  /// Takes the name. A file there that is not a plain one of this user's, with one name, is not
  /// trusted: where no segment stands, or with `replace` and where nobody holds its lock, it is
  /// removed; else the name is taken.
  /// Errors: segment_in_use (a live owner, or a stranger's file), segment_unusable,
  /// out_of_resources.
  static Result<OwnerFile> acquire(const std::string& name, bool replace);

  OwnerFile(OwnerFile&& other) noexcept = default;
  OwnerFile& operator=(OwnerFile&& other) noexcept = default;
  ~OwnerFile() = default;  ///< Drops the lock. The file stays; see remove().

  /// The inode of the segment that the owner, this or a former one, has made; 0: none.
  ///
  /// It is kept as the length of a file without data: that takes no memory, so that a segment may
  /// fill all of /dev/shm.
  ino_t recorded() const;
  [[nodiscard]] bool record(ino_t segment);

  /// The inode of the owner file itself.
  ino_t inode() const;

  /// Removes what a former owner left beside the segment, and the segment itself if it was theirs.
  /// True if nothing stands under the name afterwards.
  bool clear_leftovers() const;

  /// Removes the file, if the name still leads to it.
  void remove() const;

 private:
  friend std::vector<std::string> remove_abandoned_segments();
  OwnerFile(SegmentPaths paths, base::FileDescriptor file)
      : paths_(std::move(paths)), file_(std::move(file)) {}

  SegmentPaths paths_;
  base::FileDescriptor file_;
};

/// Removes the segments with temporary_prefix that this user's processes made and that no live
/// process owns, with all that belongs to them. Returns their names. Any thread; a segment that is
/// being made at the same time is left alone.
std::vector<std::string> remove_abandoned_segments();

}  // namespace hyperpod::emulator::core
