// SPDX-License-Identifier: Apache-2.0
// Waits for the outcome of an asynchronous call.
#pragma once

#include <optional>
#include <semaphore>
#include <utility>

#include "hyperpod/client/call.h"

namespace hyperpod::client {

template <class Outcome>
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /// To be called once, by any thread, and to outlive this by no call.
  Handler<Outcome> handler() {
    return [this](Outcome outcome) {
      outcome_.emplace(std::move(outcome));
      came_.release();
    };
  }

  Outcome wait() {
    came_.acquire();
    return *std::move(outcome_);
  }

 private:
  std::binary_semaphore came_{0};
  std::optional<Outcome> outcome_;
};

}  // namespace hyperpod::client
