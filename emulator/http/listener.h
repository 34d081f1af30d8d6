// SPDX-License-Identifier: Apache-2.0
// Listening on an address as options write it.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <string>
#include <string_view>

#include "http/asio.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::http {

using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;

/// Opens `acceptor` on `address` (HOST:PORT; port 0: a free one) and returns where it listens. An
/// IPv6 wildcard takes IPv4 as well. Errors begin with "cannot listen on ADDRESS" and `purpose`
/// (" for the admin port"), and end in `way_out`.
Result<asio::ip::tcp::endpoint> listen(Acceptor& acceptor, const std::string& address, int backlog,
                                       std::string_view purpose, std::string_view way_out);

/// A program that this process starts would otherwise keep a connection open that we have closed.
void close_on_exec(int socket);

/// "http://127.0.0.1:9200"; a wildcard address is shown as the loopback of its family, the one of
/// IPv6 as 127.0.0.1, which it takes as well, where this machine has no ::1.
std::string url_of(std::string_view scheme, const asio::ip::tcp::endpoint& endpoint);

}  // namespace hyperpod::emulator::http
