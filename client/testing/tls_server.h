// SPDX-License-Identifier: Apache-2.0
// A TLS server that notes what its clients' handshakes ask for. It responds 200 to each request
// without a body and closes each connection after one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace hyperpod::client::testing {

class TlsServer {
 public:
  struct Handshake {
    std::optional<std::string> server_name;
    bool resumed;
  };

  /// Certificate and key are PEM files.
  TlsServer(const std::string& certificate, const std::string& key);
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;
  ~TlsServer();

  std::uint16_t port() const { return port_; }
  std::vector<Handshake> handshakes() const;

 private:
  void serve();

  struct Context;
  const std::unique_ptr<Context> context_;
  int listener_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;  // guards handshakes_
  std::vector<Handshake> handshakes_;
  std::thread thread_;
};

}  // namespace hyperpod::client::testing
