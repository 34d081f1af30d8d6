// SPDX-License-Identifier: Apache-2.0
// A thread that does one thing after another for connections whose own thread must not wait.
//
// Every member but the destructor may be called from any thread.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "http/asio.h"

namespace hyperpod::emulator::admin {

class Lane {
 public:
  /// `name` is the thread's, of at most 15 bytes.
  explicit Lane(const std::string& name);
  ~Lane();  ///< Does what was asked for before, then ends.
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void post(std::function<void()> work) { http::asio::post(io_, std::move(work)); }

  /// Does `work` on this thread and goes on in `caller`'s event loop.
  template <class Work>
  http::Awaitable<void> run(http::asio::io_context& caller, Work work) {
    return http::asio::async_initiate<const http::asio::use_awaitable_t<http::Executor>, void()>(
        [this, &caller](auto handler, auto todo) {
          // The caller's loop must not end meanwhile.
          auto guard = http::asio::make_work_guard(caller);
          http::asio::post(io_, [&caller, guard = std::move(guard), handler = std::move(handler),
                                 todo = std::move(todo)]() mutable {
            todo();
            http::asio::post(caller, std::move(handler));
          });
        },
        token_, std::move(work));
  }

 private:
  static constexpr http::asio::use_awaitable_t<http::Executor> token_{};

  http::asio::io_context io_{1};
  http::asio::executor_work_guard<http::Executor> work_{io_.get_executor()};
  std::thread thread_;
};

}  // namespace hyperpod::emulator::admin
