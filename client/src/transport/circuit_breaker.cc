// SPDX-License-Identifier: Apache-2.0
#include "transport/circuit_breaker.h"

#include "points.h"

namespace hyperpod::client::transport {

bool CircuitBreaker::refuses() const { return is_open() && clock_->now() < next_probe_; }

bool CircuitBreaker::admit() {
  if (!is_open()) return true;
  const TimePoint now = clock_->now();
  bool admitted = now >= next_probe_;
  HYPERPOD_POINT("breaker.probe", admitted);
  if (admitted) next_probe_ = now + probe_interval;
  return admitted;
}

bool CircuitBreaker::record_response() { return failures_.exchange(0) >= failure_threshold; }

bool CircuitBreaker::record_transport_failure() {
  const bool was_open = is_open();
  bool counts = !was_open;
  HYPERPOD_POINT("breaker.count", counts);
  if (counts) ++failures_;
  if (!is_open()) return false;
  next_probe_ = clock_->now() + probe_interval;
  return !was_open;
}

}  // namespace hyperpod::client::transport
