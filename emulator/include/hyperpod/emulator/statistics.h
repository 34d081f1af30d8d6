// SPDX-License-Identifier: Apache-2.0
// What a running emulator counts.
#pragma once

#include <cstdint>

namespace hyperpod::emulator {

/// A snapshot, consistent within itself. Totals count from the start of the emulator or the last
/// reset; leases_granted = leases_released + leases_expired + leases_dropped + live_leases holds
/// unless leases were live at a reset of the counters.
struct Statistics {
  // What is there now.
  std::uint64_t objects = 0;
  std::uint64_t buckets = 0;
  std::uint64_t live_leases = 0;
  std::uint64_t waiters = 0;         ///< Lease requests held because their key is absent.
  std::uint64_t puts_in_flight = 0;  ///< Reservations neither committed nor aborted yet.
  std::uint64_t capacity_bytes = 0;
  std::uint64_t used_bytes = 0;       ///< Whole blocks, held by objects, shards and PUTs in flight.
  std::uint64_t pinned_bytes = 0;     ///< Part of used_bytes: blocks of objects under a live lease.
  std::uint64_t evictable_bytes = 0;  ///< Part of used_bytes: blocks of objects that no lease pins.

  std::uint64_t namespaces = 0;   ///< Of checkpoints.
  std::uint64_t shards = 0;       ///< Of checkpoints.
  std::uint64_t shard_bytes = 0;  ///< Of their bodies.

  // What has happened.
  std::uint64_t puts_stored = 0;
  std::uint64_t puts_existing = 0;  ///< Answered 409.
  std::uint64_t puts_refused = 0;   ///< No room, too large or empty.
  std::uint64_t puts_aborted = 0;   ///< Cut short by the sender.
  std::uint64_t leases_granted = 0;
  std::uint64_t leases_released = 0;
  std::uint64_t leases_expired = 0;
  std::uint64_t leases_dropped = 0;    ///< Ended by a fault or a reset.
  std::uint64_t leases_abandoned = 0;  ///< Their grant never reached the peer, which had gone.
  std::uint64_t lease_misses = 0;
  std::uint64_t waiters_dropped = 0;  ///< Their connection went away while they were held.
  std::uint64_t releases_unknown = 0;
  std::uint64_t evictions = 0;
  std::uint64_t shards_stored = 0;
  std::uint64_t shards_retired = 0;  ///< Gone because newer steps are complete.
  /// How often the segment has lost its name or was truncated, by a fault or by somebody else.
  std::uint64_t segment_losses = 0;

  // The data port.
  std::uint64_t requests = 0;           ///< Every request answered, whatever the status.
  std::uint64_t requests_rejected = 0;  ///< Part of requests: not understood (400, 413, 414, 431).
  std::uint64_t open_connections = 0;
  std::uint64_t peak_connections = 0;
  std::uint64_t accepted_connections = 0;
};

}  // namespace hyperpod::emulator
