// SPDX-License-Identifier: Apache-2.0
// What a client counts.
#pragma once

#include <cstdint>
#include <string>

namespace hyperpod::client {

/// A snapshot. Totals count from the client's creation; each is exact, but one may be a call ahead
/// of another.
struct Statistics {
  // As LMCache's client counts them.
  std::uint64_t get_success = 0;
  std::uint64_t get_failure = 0;  ///< Whatever was not a hit, misses included.
  std::uint64_t put_success = 0;  ///< Already stored included.
  std::uint64_t put_failure = 0;
  std::uint64_t lease_acquired = 0;  ///< Granted, those included that were then refused.
  std::uint64_t lease_released = 0;  ///< Confirmed by the daemon.
  /// Not confirmed when the TTL had passed, or denied because the daemon knew no such lease.
  std::uint64_t lease_release_failed = 0;

  std::uint64_t get_miss = 0;    ///< Part of get_failure.
  std::uint64_t lease_lost = 0;  ///< Gone with a daemon that was restarted: nothing to release.

  /// Sent once more, because a connection that was used before closed before any byte of a
  /// response.
  std::uint64_t requests_repeated = 0;
  /// Of those, lease requests: each may have left one lease more to its TTL.
  std::uint64_t leases_repeated = 0;

  std::uint64_t requests_in_flight = 0;
  std::uint64_t peak_requests_in_flight = 0;
  std::uint64_t requests_queued = 0;
  std::uint64_t peak_requests_queued = 0;
  std::uint64_t connections_open = 0;
  std::uint64_t peak_connections_open = 0;
};

/// One of the daemons of a client.
struct DaemonState {
  std::string url;            ///< As it is connected to, e.g. "http://10.0.0.1:9200".
  bool circuit_open = false;  ///< Requests fail at once, except a probe every 5 s.
};

}  // namespace hyperpod::client
