// SPDX-License-Identifier: Apache-2.0
#include "load/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <bit>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "load/response.h"

namespace hyperpod::bench {

Result<base::FileDescriptor> connect_to(std::uint16_t port) {
  base::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return system_failure("no socket could be opened");
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), std::bit_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_failure("cannot connect to 127.0.0.1:" + std::to_string(port));
  }
  return socket;
}

Result<void> send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return system_failure("the server stopped reading");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<double> seconds_over_connections(std::uint16_t port, unsigned connections,
                                        const std::function<Result<void>(int socket)>& share) {
  std::vector<base::FileDescriptor> sockets;
  for (unsigned i = 0; i < connections; ++i) {
    auto socket = connect_to(port);
    if (!socket) return tl::unexpected(socket.error());
    sockets.push_back(std::move(*socket));
  }
  std::vector<Result<void>> results(connections);
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    threads.reserve(connections);
    for (unsigned i = 0; i < connections; ++i) {
      threads.emplace_back([&, i] { results[i] = share(sockets[i].get()); });
    }
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  for (const auto& result : results) {
    if (!result) return tl::unexpected(result.error());
  }
  return taken.count();
}

Result<WholeResponse> ask_over(int socket, std::string_view request) {
  if (auto sent = send_all(socket, request); !sent) return tl::unexpected(sent.error());
  std::string received;
  std::array<char, 4096> buffer{};
  while (true) {
    const auto parsed = parse_response(received);
    if (parsed.result == ParseResult::complete) {
      return WholeResponse{parsed.response.status, std::string(parsed.response.body)};
    }
    if (parsed.result == ParseResult::unreadable)
      return failure("unreadable response: " + received);
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got < 0) return system_failure("no response");
    if (got == 0) return failure("the server closed the connection before it responded");
    received.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Result<WholeResponse> ask(std::uint16_t port, std::string_view request) {
  const auto socket = connect_to(port);
  if (!socket) return tl::unexpected(socket.error());
  return ask_over(socket->get(), request);
}

}  // namespace hyperpod::bench
