// Spares callers the wait for a daemon that is not there.
//
// Three transport failures in a row open the circuit; from then on requests are refused at once,
// but for one probe every five seconds. Any HTTP answer, whatever its status, closes it (protocol
// section 6): a miss is an answer.
//
// Every member may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "hyperpod/client/clock.h"

namespace hyperpod::client {

class CircuitBreaker {
 public:
  static constexpr std::uint32_t failure_threshold = 3;
  static constexpr std::chrono::seconds probe_interval{5};

  explicit CircuitBreaker(std::shared_ptr<const Clock> clock) : clock_(std::move(clock)) {}

  /// Whether a request sent now would be refused. Takes no probe.
  bool refuses() const;

  /// Asks to send a request now; while the circuit is open a true answer is the interval's probe.
  bool admit();

  /// True if this closed the circuit.
  bool record_answer();
  /// True if this opened the circuit.
  bool record_transport_failure();

  bool is_open() const;

 private:
  const std::shared_ptr<const Clock> clock_;
  mutable std::mutex mutex_;
  std::uint32_t failures_ = 0;  // in a row
  TimePoint next_probe_{};
};

}  // namespace hyperpod::client
