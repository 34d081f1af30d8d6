// SPDX-License-Identifier: Apache-2.0
// What removes this process's segments when a signal ends it.
//
// Two things see to it that no segment stays behind, and neither does what the other does. A
// handler removes the segment of a process that a signal ends, at once, although nobody may ever
// ask for its name again. The owner's lock (owner_file.h) tells whoever starts next what a killed
// process has left, since no handler sees SIGKILL.
#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <span>
#include <vector>

#include "core/owner_file.h"

namespace hyperpod::emulator::core {

/// The signals that end a process by default and that it can catch, except SIGTERM, SIGINT and
/// SIGPIPE.
std::vector<int> ending_signals();

/// Those that ask a process to end.
inline constexpr std::array stopping_signals{SIGTERM, SIGINT};

enum class Replace {
  defaults,           ///< Leaves a signal alone that is ignored or has a handler.
  defaults_handlers,  ///< Leaves a signal alone that is ignored; calls a former handler at the end.
};

/// From now on each of `signals` removes every segment of this process and then ends the process as
/// it would have ended without this: by its former handler (a sanitizer's, say) or by the signal
/// itself. For process 1 of a container, to whom the kernel delivers no signal without a handler,
/// that is exit status 128 + the signal's number. Any thread; once for a signal.
void remove_segments_on(std::span<const int> signals, Replace replace);

/// What the handler does. For a handler of one's own. Async-signal-safe.
[[noreturn]] void remove_segments_and_die(int signal, const siginfo_t* details) noexcept;

/// Unlinks what this process, not one that it was forked from, has listed. Async-signal-safe.
void remove_listed_segments() noexcept;

/// The names that a signal must remove. Lives as long as its Segment does. Beyond 256 segments in
/// one process, the others are not listed: only the next start removes them after a crash. Not
/// thread-safe; several may be used by several threads.
class CrashListing {
 public:
  CrashListing() = default;
  CrashListing(const SegmentPaths& paths, ino_t owner_file);
  CrashListing(CrashListing&& other) noexcept;
  CrashListing& operator=(CrashListing&& other) noexcept;
  ~CrashListing();

  /// What may be removed under the segment's name: the segment, one that is about to take its
  /// place, and what stands there while it is hidden; 0 is nothing.
  void set_inodes(ino_t segment, ino_t coming = 0, ino_t placeholder = 0);
  /// Where the segment is mapped, so that a SIGBUS there can be explained.
  void set_memory(std::span<const std::byte> memory);

 private:
  struct Entry;
  friend void remove_listed_segments() noexcept;
  friend void remove_segments_and_die(int signal, const siginfo_t* details) noexcept;
  static std::array<Entry, 256> entries_;

  Entry* entry_ = nullptr;
};

}  // namespace hyperpod::emulator::core
