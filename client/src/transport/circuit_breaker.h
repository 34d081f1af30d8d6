// SPDX-License-Identifier: Apache-2.0
// Spares callers the wait for a daemon that is not there.
//
// Three transport failures in a row open the circuit; from then on requests are refused at once,
// except one probe every five seconds. Any HTTP response, whatever its status, closes it
// (C-BREAKER-01): a miss is a response.
//
// Belongs to the loop's thread, except is_open() and has_failed().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "hyperpod/client/clock.h"

namespace hyperpod::client::transport {

class CircuitBreaker {
 public:
  static constexpr std::uint32_t failure_threshold = 3;
  static constexpr std::chrono::seconds probe_interval{5};

  explicit CircuitBreaker(std::shared_ptr<const Clock> clock) : clock_(std::move(clock)) {}

  /// Whether a request sent now would be refused. Takes no probe.
  bool refuses() const;

  /// Asks to send a request now; while the circuit is open, true makes this the interval's probe.
  bool admit();

  /// True if this closed the circuit.
  bool record_response();
  /// True if this opened the circuit.
  bool record_transport_failure();

  /// Any thread.
  bool is_open() const { return failures_ >= failure_threshold; }
  /// Whether a response has something to record. Any thread.
  bool has_failed() const { return failures_ > 0; }

 private:
  const std::shared_ptr<const Clock> clock_;
  std::atomic<std::uint32_t> failures_{0};  // in a row
  TimePoint next_probe_{};
};

}  // namespace hyperpod::client::transport
