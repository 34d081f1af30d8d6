// SPDX-License-Identifier: Apache-2.0
// Leases whose release the daemon has not confirmed, and when each is to be tried again: after 100
// ms, then after twice as long each time up to 5 s, until its TTL has passed. Each daemon has a
// queue of its own.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "hyperpod/client/clock.h"
#include "memory/segment.h"

namespace hyperpod::client::leases {

struct PendingRelease {
  std::size_t host;
  std::string lease_id;
  TimePoint expires;
  /// The segment that the lease was about. Another one since then means another daemon, to whom the
  /// id means nothing or somebody else's lease.
  std::optional<memory::SegmentIdentity> segment = {};
  TimePoint next_attempt{};
  Duration pause{};
};

class ReleaseQueue {
 public:
  /// Puts the next attempt off. False if the lease will have expired by then: there is nothing left
  /// to try, and it is not queued.
  bool put_off(PendingRelease release, TimePoint now);

  /// Takes out at most `limit` of those whose time has come.
  std::vector<PendingRelease> take_due(TimePoint now, std::size_t limit);

  /// Takes out all.
  std::vector<PendingRelease> take_all();

  /// When the first is due; nullopt if none is queued.
  std::optional<TimePoint> next_due() const;

 private:
  std::vector<PendingRelease> pending_;
};

}  // namespace hyperpod::client::leases
