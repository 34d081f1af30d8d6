// SPDX-License-Identifier: Apache-2.0
// A listener that takes no connection and refuses none, as an address does that swallows SYNs.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

namespace hyperpod::client::testing {

class FullListener {
 public:
  /// Fills its queue of connections.
  FullListener() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    open();
    bind(sockets_[0], generic, size);
    listen(sockets_[0], 0);
    getsockname(sockets_[0], generic, &size);
    port_ = ntohs(address.sin_port);
    for (int i = 0; i < 4; ++i) connect(open(), generic, size);
  }
  FullListener(const FullListener&) = delete;
  FullListener& operator=(const FullListener&) = delete;
  ~FullListener() {
    for (int fd : sockets_) close(fd);
  }

  std::uint16_t port() const { return port_; }

 private:
  int open() {
    sockets_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    return sockets_.back();
  }

  std::vector<int> sockets_;
  std::uint16_t port_ = 0;
};

}  // namespace hyperpod::client::testing
