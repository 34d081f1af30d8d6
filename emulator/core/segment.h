// SPDX-License-Identifier: Apache-2.0
// The POSIX shared-memory segment that clients map: created, reserved, owned and removed here.
//
// The segment holds cache bytes and nothing else, so who owns it is recorded beside it, in
// /dev/shm/.NAME.owner: the owner's pid and the segment's inode, under a lock that the kernel drops
// when the owner dies. Both vanish with the Segment.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "core/memory.h"
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
  /// what is reserved ever meets a SIGBUS. A stale segment, whose recorded owner is dead, is
  /// replaced.
  static Result<Segment> create(const SegmentOptions& options);

  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&& other) noexcept;
  /// Unmaps, and unlinks the name if it still leads to this segment. In a process forked from the
  /// creator nothing is unlinked.
  ~Segment();

  std::span<std::byte> memory() const;
  /// The same, mapped as long as somebody holds this, though the segment be renewed or destroyed.
  std::shared_ptr<Memory> mapping() const;
  const std::string& name() const { return options_.name; }

  // What faults do to a segment. The name stays ours through all of it.

  /// Makes a new segment under the name, as a restart of the daemon does; `whole`: all of it
  /// reserved in any case. On error the old one stays in use.
  Result<void> renew(bool whole = false);
  /// Removes the name; the memory stays in use. What stands under the name later is not touched.
  void unlink_name();
  /// Puts an empty file in the segment's place, until show().
  Result<void> hide();
  void show();
  Result<void> set_mode(mode_t mode);

  ino_t inode() const;
  mode_t mode() const;
  /// Whether the name leads to this segment.
  bool linked() const;

  /// Unlinks every segment that this process, not one it was forked from, has created.
  /// Async-signal-safe, for handlers of fatal signals.
  static void unlink_all_on_crash() noexcept;

 private:
  struct Mapping;

  explicit Segment(SegmentOptions options) : options_(std::move(options)) {}
  void unlink_names();

  SegmentOptions options_;
  std::shared_ptr<Mapping> mapping_;
  int owner_fd_ = -1;  // holds the lock
  pid_t owner_pid_ = 0;
  bool hidden_ = false;
};

}  // namespace hyperpod::emulator::core
