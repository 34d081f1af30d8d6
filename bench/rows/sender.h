// SPDX-License-Identifier: Apache-2.0
// Bodies sent to a server by raw sockets, one contender of the rows that store.
#pragma once

#include <cstdint>
#include <string_view>

#include "error.h"
#include "load/uploads.h"
#include "servers.h"

namespace hyperpod::bench {

/// Numbers its bodies on, so that every key is a new one. `body` must outlive it.
class Sender {
 public:
  Sender(const Server& server, unsigned connections, std::string_view body,
         decltype(Upload::head) head, decltype(Upload::accepted) accepted);

  /// At most so many bytes of a body in one send; without it, whole bodies.
  void send_in_pieces_of(std::size_t bytes) { upload_.piece = bytes; }

  /// Bytes a second.
  Result<double> send(std::uint64_t bodies);

 private:
  Upload upload_;
};

/// Whether this is the whole of a response of status 200; an error for another status.
Result<bool> http_accepted(std::string_view received);

/// Sends PUTs to the emulator, or to what takes the same requests.
Sender http_sender(const Server& server, unsigned connections, std::string_view body);

}  // namespace hyperpod::bench
