#include "circuit_breaker.h"

#include <utility>

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

bool CircuitBreaker::record_answer() {
  std::lock_guard lock(mutex_);
  return std::exchange(failures_, 0) == failure_threshold;
}

bool CircuitBreaker::record_transport_failure() {
  std::lock_guard lock(mutex_);
  const bool was_open = failures_ == failure_threshold;
  if (!was_open) ++failures_;
  if (failures_ < failure_threshold) return false;
  next_probe_ = clock_->now() + probe_interval;
  return !was_open;
}

bool CircuitBreaker::is_open() const {
  std::lock_guard lock(mutex_);
  return failures_ >= failure_threshold;
}

}  // namespace hyperpod::client
