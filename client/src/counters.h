// SPDX-License-Identifier: Apache-2.0
// What a client counts of its calls; see Statistics.
#pragma once

#include <atomic>
#include <cstdint>

#include "hyperpod/client/statistics.h"

namespace hyperpod::client {

struct Counters {
  std::atomic<std::uint64_t> get_success{0}, get_failure{0}, get_miss{0};
  std::atomic<std::uint64_t> put_success{0}, put_failure{0};
  std::atomic<std::uint64_t> lease_acquired{0}, lease_released{0}, lease_release_failed{0};
  std::atomic<std::uint64_t> lease_lost{0};

  void add_to(Statistics& statistics) const {
    statistics.get_success = get_success;
    statistics.get_failure = get_failure;
    statistics.get_miss = get_miss;
    statistics.put_success = put_success;
    statistics.put_failure = put_failure;
    statistics.lease_acquired = lease_acquired;
    statistics.lease_released = lease_released;
    statistics.lease_release_failed = lease_release_failed;
    statistics.lease_lost = lease_lost;
  }
};

}  // namespace hyperpod::client
