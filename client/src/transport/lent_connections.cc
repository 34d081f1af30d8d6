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

std::shared_ptr<Connection> LentConnections::borrow(std::size_t host) {
  const std::lock_guard lock(mutex_);
  // The one used last is the likeliest to be in the processor's cache still.
  const auto last = std::ranges::find(unused_.rbegin(), unused_.rend(), host, &Loan::host);
  if (last == unused_.rend()) return nullptr;
  auto connection = std::move(last->connection);
  unused_.erase(std::next(last).base());
  ++borrowed_;
  return connection;
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
  std::optional<Loan> loan(std::move(unused_.front()));
  unused_.erase(unused_.begin());
  return loan;
}

void LentConnections::accept() {
  const std::lock_guard lock(mutex_);
  recalled_ = false;
}

std::optional<LentConnections::Loan> LentConnections::take_unused(TimePoint since) {
  const std::lock_guard lock(mutex_);
  if (unused_.empty() || unused_.front().since > since) return std::nullopt;
  std::optional<Loan> loan(std::move(unused_.front()));
  unused_.erase(unused_.begin());
  return loan;
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
