// SPDX-License-Identifier: Apache-2.0
#include "transport/lent_connections.h"

#include <algorithm>
#include <new>
#include <utility>

#include "hyperpod/base/assertions.h"

namespace hyperpod::client::transport {

bool LentConnections::keep(Loan&& loan) try {
  if (recalled_) return false;
  unused_.push_back(std::move(loan));
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

bool LentConnections::lend(Loan loan) {
  const std::lock_guard lock(mutex_);
  return keep(std::move(loan));
}

// The one used last is the likeliest to be in the processor's cache still.
std::optional<LentConnections::Loan> LentConnections::take_last(std::size_t host) {
  const auto last = std::ranges::find(unused_.rbegin(), unused_.rend(), host, &Loan::host);
  if (last == unused_.rend()) return std::nullopt;
  std::optional<Loan> loan(std::move(*last));
  unused_.erase(std::next(last).base());
  return loan;
}

// REQUIRES: there is one.
LentConnections::Loan LentConnections::take_first() {
  Loan loan = std::move(unused_.front());
  unused_.erase(unused_.begin());
  return loan;
}

std::shared_ptr<Connection> LentConnections::borrow(std::size_t host) {
  const std::lock_guard lock(mutex_);
  auto loan = take_last(host);
  if (!loan) return nullptr;
  ++borrowed_;
  return std::move(loan->connection);
}

std::optional<LentConnections::Loan> LentConnections::take_unused(std::size_t host) {
  const std::lock_guard lock(mutex_);
  return take_last(host);
}

bool LentConnections::leave(Loan loan) {
  const std::lock_guard lock(mutex_);
  if (!keep(std::move(loan))) return false;
  --borrowed_;
  return true;
}

void LentConnections::settle() {
  const std::lock_guard lock(mutex_);
  HYPERPOD_REQUIRE(borrowed_ > 0);
  --borrowed_;
}

std::optional<LentConnections::Loan> LentConnections::recall() {
  const std::lock_guard lock(mutex_);
  if (unused_.empty()) {
    recalled_ = true;
    return std::nullopt;
  }
  return take_first();
}

void LentConnections::accept() {
  const std::lock_guard lock(mutex_);
  recalled_ = false;
}

std::optional<LentConnections::Loan> LentConnections::take_unused_since(TimePoint time) {
  const std::lock_guard lock(mutex_);
  if (unused_.empty() || unused_.front().since > time) return std::nullopt;
  return take_first();
}

bool LentConnections::any_borrowed() const {
  const std::lock_guard lock(mutex_);
  return borrowed_ > 0;
}

bool LentConnections::any() const {
  const std::lock_guard lock(mutex_);
  return borrowed_ > 0 || !unused_.empty();
}

}  // namespace hyperpod::client::transport
