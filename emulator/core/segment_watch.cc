// SPDX-License-Identifier: Apache-2.0
#include "core/segment_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace hyperpod::emulator::core {

Result<SegmentWatch> SegmentWatch::create() {
  base::FileDescriptor events(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!events) return tl::make_unexpected(base::system_error("cannot watch the segment", errno));
  return SegmentWatch(std::move(events));
}

void SegmentWatch::follow(const std::string& path) {
  if (watched_ >= 0) ::inotify_rm_watch(events_.get(), watched_);
  // A name that goes changes the number of links, which is an attribute. What is written through a
  // mapping does not count as a modification; a truncation is.
  watched_ = ::inotify_add_watch(events_.get(), path.c_str(), IN_ATTRIB | IN_MODIFY | IN_MOVE_SELF);
}

void SegmentWatch::drain() {
  std::array<char, 4096> events{};
  while (::read(events_.get(), events.data(), events.size()) > 0) {
  }
}

}  // namespace hyperpod::emulator::core
