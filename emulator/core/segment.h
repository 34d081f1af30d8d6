// The POSIX shared-memory segment that clients map: created, reserved, owned and removed here.
//
// The segment holds cache bytes and nothing else, so who owns it is recorded beside it, in
// /dev/shm/.NAME.owner: the owner's pid and the segment's inode, under a lock that the kernel drops
// when the owner dies. Both vanish with the Segment.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator {

struct SegmentOptions {
  std::string name;  ///< Without a slash.
  std::uint64_t size = 0;
  mode_t mode = 0600;
  /// Take over a name whose segment is not known to be stale. A live owner is never robbed.
  bool replace = false;
  /// Touch every page now, so that no later write meets a page fault for the first time.
  bool prefault = false;
};

/// Move-only. Thread-safe once created; the memory is the caller's to synchronise.
class Segment {
 public:
  /// Creates the segment and reserves all of it, so that a /dev/shm that is too small is an error
  /// here and never a SIGBUS later. A stale segment, whose recorded owner is dead, is replaced.
  static Result<Segment> create(const SegmentOptions& options);

  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&& other) noexcept;
  /// Unmaps, and unlinks the name if it still leads to this segment. In a process forked from the
  /// creator nothing is unlinked.
  ~Segment();

  std::span<std::byte> memory() const { return memory_; }
  const std::string& name() const { return name_; }

  /// Unlinks every segment that this process, not one it was forked from, has created.
  /// Async-signal-safe, for handlers of fatal signals.
  static void unlink_all_on_crash() noexcept;

 private:
  Segment() = default;
  void unlink_names() const;

  std::string name_;
  std::span<std::byte> memory_;
  int owner_fd_ = -1;  // holds the lock
  pid_t owner_pid_ = 0;
  ino_t inode_ = 0;
};

}  // namespace hyperpod::emulator
