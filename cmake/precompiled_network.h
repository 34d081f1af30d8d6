// SPDX-License-Identifier: Apache-2.0
// For what links Asio and OpenSSL, whose headers define functions that need them. Behind
// precompiled_code.h, because Asio misses <utility> under g++ 12 in C++20.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
