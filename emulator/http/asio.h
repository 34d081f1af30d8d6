// SPDX-License-Identifier: Apache-2.0
// Asio as the data plane uses it: each object is bound to one io_context that one thread runs, so
// nothing here needs a strand, and executors are concrete types that the compiler sees through.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>  // Asio misses it under g++ 12 in C++20

namespace hyperpod::emulator::http {

namespace asio = boost::asio;

using Executor = asio::io_context::executor_type;
template <class T>
using Awaitable = asio::awaitable<T, Executor>;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using SystemTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, Executor>;
using IoError = boost::system::error_code;

/// Completion token: `co_await op(…, resume_with(ec))` puts the error into `ec` instead of
/// throwing.
inline auto resume_with(IoError& ec) {
  return asio::redirect_error(asio::use_awaitable_t<Executor>{}, ec);
}

}  // namespace hyperpod::emulator::http
