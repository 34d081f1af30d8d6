// SPDX-License-Identifier: Apache-2.0
// The POSIX shared-memory segment that clients map: created, reserved, renewed and removed here.
//
// The segment holds cache bytes and nothing else. Who owns it is recorded beside it
// (owner_file.h), and a signal that ends the process removes it (signals.h). A segment is made
// whole before it gets its name, so a process that is killed at any moment leaves nothing that the
// next one cannot tell from a stranger's.
//
// Rooms used: text. Errors: segment_in_use, segment_unusable, out_of_resources.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/memory.h"
#include "core/owner_file.h"
#include "core/signals.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::core {

struct SegmentOptions {
  std::string name;  ///< Without a slash.
  std::uint64_t size = 0;
  mode_t mode = 0600;
  /// Take over a name whose segment is not known to be stale. A live owner is never robbed.
  bool replace = false;
  /// Touch every page now, so that no later write meets a page fault for the first time.
  bool prefault = false;
  /// 0: all of the segment is reserved at creation. Else what Memory::back asks for, in units of
  /// this many bytes.
  std::uint64_t reserve_unit = 0;
};

/// Move-only. Not thread-safe, except for the memory, which is the caller's to synchronise.
class Segment {
 public:
  /// Creates the segment. A /dev/shm that is too small is an error here, and nobody who touches
  /// what is reserved meets a SIGBUS, unless somebody truncates the segment. A stale segment, whose
  /// owner is dead, is replaced.
  static Result<Segment> create(const SegmentOptions& options);

  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&& other) noexcept;
  /// Unmaps, and unlinks the name if it still leads to this segment. In a process forked from the
  /// creator nothing is unlinked.
  ~Segment();

  std::span<std::byte> memory() const;
  /// The same, mapped as long as somebody holds this, even when the segment is renewed or
  /// destroyed.
  std::shared_ptr<Memory> mapping() const;
  const std::string& name() const { return options_.name; }
  /// /dev/shm/NAME.
  const std::string& path() const { return paths_.segment; }

  // What faults do to a segment. The name stays ours through all of it.

  /// Makes a new segment, always another inode, and puts it under the name in place of this one's,
  /// or where there is nothing any more, as a restart of the daemon does. `whole`: all of it is
  /// reserved in any case. For a moment nothing stands under the name. The memory is needed twice
  /// until the former mapping goes. On error nothing has changed: there was no room for it, or
  /// somebody else's file stands under the name.
  Result<void> renew(bool whole = false);
  /// The two halves of renew(). The first reserves the memory, which takes long, and changes
  /// nothing that others see; the second is done in tens of microseconds. REQUIRES that exchange()
  /// follows a prepare() that succeeded.
  Result<void> prepare(bool whole = false);
  Result<void> exchange();
  /// Removes the name; the memory stays in use. What stands under the name later is not touched.
  void unlink_name();
  /// Puts an empty file in the segment's place, until show().
  Result<void> hide();
  /// Where somebody else's file stands in its place by now, that stays, and the segment has lost
  /// its name.
  void show();
  Result<void> set_mode(mode_t mode);

  ino_t inode() const;
  mode_t mode() const;
  /// Whether the name leads to this segment.
  bool linked() const;
  /// Whether the segment has its full size. If not, somebody has truncated it.
  bool intact() const;

 private:
  struct Mapping;

  Segment(SegmentOptions options, OwnerFile owner);
  Result<std::shared_ptr<Mapping>> make(const SegmentOptions& options);
  Result<void> put_under_name();

  SegmentOptions options_;
  SegmentPaths paths_;
  std::optional<OwnerFile> owner_;  // none once moved from
  CrashListing listing_;
  std::shared_ptr<Mapping> mapping_;
  std::shared_ptr<Mapping> coming_;  // between prepare() and exchange()
  pid_t owner_pid_ = 0;
  std::optional<ino_t> placeholder_;  // what stands in its place while it is hidden
};

}  // namespace hyperpod::emulator::core
