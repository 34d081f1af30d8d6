// SPDX-License-Identifier: Apache-2.0
#include "load/uploads.h"

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

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

Result<void> send_share(int socket, const Upload& options, std::atomic<std::uint64_t>& next) {
  for (auto taken = next++; taken < options.count; taken = next++) {
    auto done = send_all(socket, options.head(options.first + taken))
                    .and_then([&] { return send_all(socket, options.body); })
                    .and_then([&] { return await_response(socket, options); });
    if (!done) return done;
  }
  return {};
}

}  // namespace

Result<double> upload(const Upload& options) {
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
      threads.emplace_back([&, i] { results[i] = send_share(sockets[i].get(), options, next); });
    }
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  for (const auto& result : results) {
    if (!result) return tl::unexpected(result.error());
  }
  return static_cast<double>(options.count * options.body.size()) / taken.count();
}

}  // namespace hyperpod::bench
