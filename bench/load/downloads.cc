// SPDX-License-Identifier: Apache-2.0
#include "load/downloads.h"

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <string_view>
#include <thread>
#include <vector>

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
  std::vector<base::FileDescriptor> sockets;
  for (unsigned i = 0; i < options.connections; ++i) {
    auto socket = connect_to(options.port);
    if (!socket) return tl::unexpected(socket.error());
    sockets.push_back(std::move(*socket));
  }
  std::atomic<std::uint64_t> next{0};
  std::vector<Result<void>> results(options.connections);
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < options.connections; ++i) {
      threads.emplace_back([&, i] { results[i] = receive_share(sockets[i].get(), options, next); });
    }
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  for (const auto& result : results) {
    if (!result) return tl::unexpected(result.error());
  }
  return static_cast<double>(options.count * options.body_bytes) / taken.count();
}

}  // namespace hyperpod::bench
