// SPDX-License-Identifier: Apache-2.0
// Optional: the client's asynchronous calls for Boost.Asio's completion tokens.
//
//   auto got = co_await hyperpod::client::async_get(client, "key", buffer, asio::use_awaitable);
//
// Each takes what the member function of its name takes, and in place of the handler a token, last.
// The completion signature is void(Outcome). The completion handler runs on its associated
// executor, which the call keeps busy meanwhile; inside a coroutine that is the coroutine's own. A
// handler without one runs on the client's I/O thread (or where ClientOptions::executor says). A
// signal to the associated cancellation slot cancels the call.
//
// Needs Boost 1.81 or newer, which the client itself does not need to be used.
#pragma once

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "hyperpod/client/client.h"

namespace hyperpod::client {

/// Starts a call for a completion token: `start` is given the client's handler, and returns a Call
/// or nothing.
template <class Outcome, class Token, class Start>
auto async_start(Start start, Token&& token) {
  namespace asio = boost::asio;
  return asio::async_initiate<Token, void(Outcome)>(
      [](auto completion, Start begin) {
        using Completion = decltype(completion);
        using Executor = asio::associated_executor_t<Completion>;
        constexpr bool has_executor = !std::is_same_v<Executor, asio::system_executor>;
        const Executor executor = asio::get_associated_executor(completion);
        const auto slot = asio::get_associated_cancellation_slot(completion);
        // Connected before the call begins, for it may end before begin() returns.
        const auto call = std::make_shared<std::optional<Call>>();
        if constexpr (std::is_same_v<std::invoke_result_t<Start&, Handler<Outcome>>, Call>) {
          if (slot.is_connected()) {
            auto cancelling = slot;
            cancelling.assign([call](asio::cancellation_type) {
              if (*call) (*call)->cancel();
            });
          }
        }
        Handler<Outcome> handler = [completion = std::move(completion), slot,
                                    work =
                                        asio::make_work_guard(executor)](Outcome outcome) mutable {
          auto finish = [completion = std::move(completion), slot,
                         outcome = std::move(outcome)]() mutable {
            auto cancelling = slot;
            if (cancelling.is_connected()) cancelling.clear();
            std::move(completion)(std::move(outcome));
          };
          if constexpr (has_executor) {
            asio::post(work.get_executor(), std::move(finish));
          } else {
            finish();
          }
          work.reset();
        };
        if constexpr (std::is_same_v<std::invoke_result_t<Start&, Handler<Outcome>>, Call>) {
          *call = begin(std::move(handler));
        } else {
          begin(std::move(handler));
        }
      },
      token, std::move(start));
}

template <class Token>
auto async_put(Client& client, std::string_view key, std::span<const std::byte> object,
               Token&& token) {
  using Outcome = Result<PutOutcome>;
  return async_start<Outcome>(
      [&client, key = std::string(key), object](Handler<Outcome> handler) {
        return client.async_put(key, object, std::move(handler));
      },
      std::forward<Token>(token));
}

template <class Token>
auto async_get(Client& client, std::string_view key, std::span<std::byte> buffer,
               const ReadOptions& read, Token&& token) {
  using Outcome = Result<GetOutcome>;
  return async_start<Outcome>(
      [&client, key = std::string(key), buffer, read](Handler<Outcome> handler) {
        return client.async_get(key, buffer, std::move(handler), read);
      },
      std::forward<Token>(token));
}

template <class Token>
auto async_get(Client& client, std::string_view key, std::span<std::byte> buffer, Token&& token) {
  return async_get(client, key, buffer, ReadOptions{}, std::forward<Token>(token));
}

template <class Token>
auto async_acquire(Client& client, std::string_view key, const ReadOptions& read, Token&& token) {
  using Outcome = Result<std::optional<Lease>>;
  return async_start<Outcome>(
      [&client, key = std::string(key), read](Handler<Outcome> handler) {
        return client.async_acquire(key, std::move(handler), read);
      },
      std::forward<Token>(token));
}

template <class Token>
auto async_exists(Client& client, std::string_view key, const ReadOptions& read, Token&& token) {
  using Outcome = Result<bool>;
  return async_start<Outcome>(
      [&client, key = std::string(key), read](Handler<Outcome> handler) {
        return client.async_exists(key, std::move(handler), read);
      },
      std::forward<Token>(token));
}

/// Of a Lease, which may go meanwhile.
template <class Token>
auto async_release(Lease& lease, Token&& token) {
  using Outcome = Result<void>;
  return async_start<Outcome>(
      [&lease](Handler<Outcome> handler) { lease.async_release(std::move(handler)); },
      std::forward<Token>(token));
}

template <class Token>
auto async_batched_get(Client& client, std::vector<GetItem> items, const ReadOptions& read,
                       Token&& token) {
  using Outcome = std::vector<Result<GetOutcome>>;
  return async_start<Outcome>(
      [&client, items = std::move(items), read](Handler<Outcome> handler) mutable {
        return client.async_batched_get(std::move(items), std::move(handler), read);
      },
      std::forward<Token>(token));
}

template <class Token>
auto async_batched_put(Client& client, std::vector<PutItem> items, Token&& token) {
  using Outcome = std::vector<Result<PutOutcome>>;
  return async_start<Outcome>(
      [&client, items = std::move(items)](Handler<Outcome> handler) mutable {
        return client.async_batched_put(std::move(items), std::move(handler));
      },
      std::forward<Token>(token));
}

template <class Token>
auto async_batched_contains(Client& client, std::vector<std::string> keys, const ReadOptions& read,
                            Token&& token) {
  using Outcome = ContainsOutcome;
  return async_start<Outcome>(
      [&client, keys = std::move(keys), read](Handler<Outcome> handler) mutable {
        return client.async_batched_contains(std::move(keys), std::move(handler), read);
      },
      std::forward<Token>(token));
}

}  // namespace hyperpod::client
