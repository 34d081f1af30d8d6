// SPDX-License-Identifier: Apache-2.0
#include "load/downloads.h"

#include <sys/socket.h>

#include <atomic>
#include <string_view>

#include "load/connection.h"

namespace hyperpod::bench {
namespace {

constexpr std::size_t received_at_once = 1 << 20;

Result<void> receive_body(int socket, const Download& options, std::string& buffer) {
  std::uint64_t missing = options.body_bytes;
  bool in_head = options.http;
  std::size_t kept = 0;  // of an incomplete head, at the beginning of the buffer
  while (in_head || missing > 0) {
    const ssize_t got = ::recv(socket, buffer.data() + kept, buffer.size() - kept, 0);
    if (got < 0) return system_failure("a body does not come");
    if (got == 0) return failure("the server closed the connection in the middle of a body");
    std::string_view bytes(buffer.data(), kept + static_cast<std::size_t>(got));
    if (in_head) {
      const auto end = bytes.find("\r\n\r\n");
      kept = bytes.size();
      if (end == std::string_view::npos) continue;
      if (!bytes.starts_with("HTTP/1.1 200 ")) {
        return failure("unexpected response: " + std::string(bytes.substr(0, end)));
      }
      in_head = false;
      kept = 0;
      bytes.remove_prefix(end + 4);
    }
    if (bytes.size() > missing) return failure("a body is longer than it should be");
    missing -= bytes.size();
  }
  return {};
}

Result<void> receive_share(int socket, const Download& options, std::atomic<std::uint64_t>& next) {
  std::string buffer(received_at_once, '\0');
  for (auto taken = next++; taken < options.count; taken = next++) {
    auto done = send_all(socket, options.request(taken)).and_then([&] {
      return receive_body(socket, options, buffer);
    });
    if (!done) return done;
  }
  return {};
}

}  // namespace

Result<double> download(const Download& options) {
  std::atomic<std::uint64_t> next{0};
  return seconds_over_connections(options.port, options.connections,
                                  [&](int socket) { return receive_share(socket, options, next); })
      .map([&](double seconds) {
        return static_cast<double>(options.count * options.body_bytes) / seconds;
      });
}

}  // namespace hyperpod::bench
