// SPDX-License-Identifier: Apache-2.0
// Sockets to a server on this machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "error.h"
#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::bench {

/// A blocking connection to 127.0.0.1, without Nagle's delay, whose sends and receives give up
/// after ten seconds without progress.
Result<base::FileDescriptor> connect_to(std::uint16_t port);

/// Sends all of `bytes`; fails when the peer goes away or stalls.
Result<void> send_all(int socket, std::string_view bytes);

/// Opens so many connections to `port`, has a thread for each do `share`, and returns the seconds
/// until the last of them is done; connecting does not count. Errors: the first of any share.
Result<double> seconds_over_connections(std::uint16_t port, unsigned connections,
                                        const std::function<Result<void>(int socket)>& share);

struct WholeResponse {
  int status;
  std::string body;
};

/// One request and its response on an open connection, with nothing before or behind it.
Result<WholeResponse> ask_over(int socket, std::string_view request);

/// One request on a connection of its own; for setting up, not for measuring.
Result<WholeResponse> ask(std::uint16_t port, std::string_view request);

}  // namespace hyperpod::bench
