// SPDX-License-Identifier: Apache-2.0
// What a coroutine waits for until somebody lets it go on.
#pragma once

#include <boost/asio/post.hpp>
#include <optional>
#include <utility>

#include "http/asio.h"
#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::http {

/// Belongs to one io_context, whose thread alone uses it. No two may wait at a time. Whoever waits
/// must be let go on before the event ends.
class Event {
 public:
  using Waiter = asio::async_result<asio::use_awaitable_t<Executor>, void()>::handler_type;

  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  Awaitable<void> wait() {
    return asio::async_initiate<const asio::use_awaitable_t<Executor>, void()>(
        [this](Waiter waiter) {
          HYPERPOD_REQUIRE(!waiter_);
          waiter_.emplace(std::move(waiter));
        },
        token_);
  }

  /// Lets whoever waits go on, if anybody does, once the call under way on the thread has returned.
  void raise(asio::io_context& io) {
    if (auto waiter = end_wait()) asio::post(io, std::move(*waiter));
  }
  /// Ends the wait. Calling what it returns goes on with the coroutine at once, up to its next wait
  /// or its end, which may be the end of the event, too.
  std::optional<Waiter> end_wait() { return std::exchange(waiter_, std::nullopt); }

 private:
  static constexpr asio::use_awaitable_t<Executor> token_{};

  std::optional<Waiter> waiter_;
};

}  // namespace hyperpod::emulator::http
