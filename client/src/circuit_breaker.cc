#include "circuit_breaker.h"

namespace hyperpod::client {

bool CircuitBreaker::refuses() const {
  std::lock_guard lock(mutex_);
  return failures_ >= failure_threshold && clock_->now() < next_probe_;
}

bool CircuitBreaker::admit() {
  std::lock_guard lock(mutex_);
  if (failures_ < failure_threshold) return true;
  const TimePoint now = clock_->now();
  if (now < next_probe_) return false;
  next_probe_ = now + probe_interval;
  return true;
}

void CircuitBreaker::record_answer() {
  std::lock_guard lock(mutex_);
  failures_ = 0;
}

void CircuitBreaker::record_transport_failure() {
  std::lock_guard lock(mutex_);
  if (failures_ < failure_threshold) ++failures_;
  if (failures_ == failure_threshold) next_probe_ = clock_->now() + probe_interval;
}

bool CircuitBreaker::is_open() const {
  std::lock_guard lock(mutex_);
  return failures_ >= failure_threshold;
}

}  // namespace hyperpod::client
