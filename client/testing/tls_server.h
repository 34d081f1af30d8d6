// SPDX-License-Identifier: Apache-2.0
// A TLS server that notes what its clients' handshakes ask for. It gives every request the same
// response and closes each connection after one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace hyperpod::client::testing {

class TlsServer {
 public:
  struct Handshake {
    std::optional<std::string> server_name;
    bool resumed;
  };

  static constexpr std::string_view miss =
      "HTTP/1.1 504 Absent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

  /// Certificate and key are PEM files. Says goodbye before it closes, if told to.
  TlsServer(const std::string& certificate, const std::string& key,
            std::string_view response = miss, bool says_goodbye = true);
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;
  ~TlsServer();

  std::uint16_t port() const { return port_; }
  std::vector<Handshake> handshakes() const;

 private:
  void serve();

  struct Context;
  const std::unique_ptr<Context> context_;
  const std::string response_;
  const bool says_goodbye_;
  int listener_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;  // guards handshakes_
  std::vector<Handshake> handshakes_;
  std::thread thread_;
};

}  // namespace hyperpod::client::testing
