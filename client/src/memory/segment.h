// SPDX-License-Identifier: Apache-2.0
// The daemon's shared-memory segment as its readers see it: mapped read-only, never written,
// unlinked, truncated or created.
//
// Which bytes a lease means, and why a restart of the daemon never yields wrong ones.
// A lease names offsets but not the segment that they lie in. A daemon makes its segment before it
// answers its first request, and a daemon that starts anew makes another one, another inode under
// the same name. So a reader does this:
//   A. maps the segment S that the name stands for, and only then sends the lease request;
//   B. when the answer is in, looks whether the name still stands for S.
// By A, whoever answers is the daemon of S or a later one, for an earlier one was gone when S came
// into being. By B, it is not a later one: that one had put its own segment in the place of S
// before it answered. So the lease lies in S, and nothing else may be read through it. If B finds
// another segment, the lease may be of either daemon, and the read is a miss. While S is mapped its
// inode lives, so its number cannot come back for another file.
//   C. Nobody but the daemon of S writes S, and that daemon leaves leased bytes alone until the
//   TTL,
// which the reader counts from before its request. A daemon that dies leaves S as it was: its bytes
// stay right for as long as they are mapped. So once A and B hold, a copy that ends within the TTL
// is right whatever happens to the daemon meanwhile. The name is nevertheless compared once more
// after the copy: it costs a microsecond, and turns into a miss what a daemon does that breaks the
// rules above (one that reuses the file, or starts before its predecessor has stopped).
// A name that is gone is an error and no licence to go on reading: a new daemon's segment may have
// come and been unlinked between A and B. A file mounted on its own into a container (`subPath`)
// keeps its name there after the node has lost it, so a segment without any link is gone as well.
//
// Every member may be called from any thread.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "hyperpod/client/error.h"
#include "memory/fragment.h"

namespace hyperpod::client::memory {

struct SegmentIdentity {
  dev_t device;
  ino_t inode;

  friend bool operator==(const SegmentIdentity&, const SegmentIdentity&) = default;
};

/// One segment, mapped for as long as somebody holds the mapping.
class SegmentMapping {
 public:
  SegmentMapping(const std::byte* data, std::uint64_t size, SegmentIdentity identity)
      : data_(data), size_(size), identity_(identity) {}
  SegmentMapping(const SegmentMapping&) = delete;
  SegmentMapping& operator=(const SegmentMapping&) = delete;
  ~SegmentMapping();

  std::uint64_t size() const { return size_; }
  const SegmentIdentity& identity() const { return identity_; }

  bool contains(const FragmentRange& range) const {
    return range.offset <= size_ && range.length <= size_ - range.offset;
  }
  /// REQUIRES: contains(range).
  std::span<const std::byte> bytes(const FragmentRange& range) const {
    return {data_ + range.offset, range.length};
  }

 private:
  const std::byte* data_;
  std::uint64_t size_;
  SegmentIdentity identity_;
};

/// What stands under one name, mapped anew whenever that is another segment than before.
class Segment {
 public:
  /// REQUIRES: check_segment_name(name) finds nothing.
  explicit Segment(const std::string& name);

  /// The mapping of what the name stands for now. Errors: segment_missing (no such segment, an
  /// empty one that is being made, or one that a file mount keeps although the node has lost it),
  /// segment_unreadable. All but the last heal when the daemon is back.
  Result<std::shared_ptr<const SegmentMapping>> current();

  /// Whether the name still stands for `mapping` and it still has its size. Errors as current().
  Result<bool> is_current(const SegmentMapping& mapping) const;

  /// What the name stands for now; nullopt if that cannot be told.
  std::optional<SegmentIdentity> identity() const;

 private:
  Result<struct stat> look() const;
  Result<std::shared_ptr<const SegmentMapping>> map() const;
  Error describe(int error) const;

  const std::string path_;
  std::mutex mutex_;  // guards mapping_
  std::shared_ptr<const SegmentMapping> mapping_;
};

}  // namespace hyperpod::client::memory
