// SPDX-License-Identifier: Apache-2.0
#include "load/uploads.h"

#include <sys/socket.h>

#include <array>
#include <atomic>

#include "load/connection.h"

namespace hyperpod::bench {
namespace {

Result<void> await_response(int socket, const Upload& options) {
  std::string received;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got < 0) return system_failure("a body got no response");
    if (got == 0) return failure("the server closed the connection before it responded to a body");
    received.append(buffer.data(), static_cast<std::size_t>(got));
    const auto accepted = options.accepted(received);
    if (!accepted) return tl::unexpected(accepted.error());
    if (*accepted) return {};
  }
}

Result<void> send_body(int socket, const Upload& options) {
  for (std::size_t at = 0; at < options.body.size();) {
    const auto piece = options.body.substr(at, options.piece);
    if (auto sent = send_all(socket, piece); !sent) return sent;
    at += piece.size();
  }
  return {};
}

Result<void> send_share(int socket, const Upload& options, std::atomic<std::uint64_t>& next) {
  for (auto taken = next++; taken < options.count; taken = next++) {
    auto done = send_all(socket, options.head(options.first + taken))
                    .and_then([&] { return send_body(socket, options); })
                    .and_then([&] { return await_response(socket, options); });
    if (!done) return done;
  }
  return {};
}

}  // namespace

Result<double> upload(const Upload& options) {
  std::atomic<std::uint64_t> next{0};
  return seconds_over_connections(options.port, options.connections,
                                  [&](int socket) { return send_share(socket, options, next); })
      .map([&](double seconds) {
        return static_cast<double>(options.count * options.body.size()) / seconds;
      });
}

}  // namespace hyperpod::bench
