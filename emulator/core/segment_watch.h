// SPDX-License-Identifier: Apache-2.0
// Tells when somebody else does something to a segment: removes its name, renames or truncates it.
//
// The kernel tells, so nothing is asked while nothing happens. Rooms used: none. Errors:
// out_of_resources, failed.
#pragma once

#include <string>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::core {

/// Move-only; not thread-safe.
class SegmentWatch {
 public:
  static Result<SegmentWatch> create();

  /// From now on watches the segment that stands at `path`, whatever becomes of the path, and not
  /// the one before.
  void follow(const std::string& path);

  /// Readable when something may have happened to the segment.
  int descriptor() const { return events_.get(); }
  /// Takes note of all that has happened.
  void drain();

 private:
  explicit SegmentWatch(base::FileDescriptor events) : events_(std::move(events)) {}

  base::FileDescriptor events_;
  int watched_ = -1;
};

}  // namespace hyperpod::emulator::core
