// SPDX-License-Identifier: Apache-2.0
// A client of the data port that sends what it is told, byte for byte, and reads what comes.
//
// For tests. One thread at a time. Whatever takes longer than `patience`, or fails otherwise,
// throws std::runtime_error, which fails the test that did not expect it.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hyperpod::emulator::test {

/// How long a test waits for anything before it gives it up.
inline constexpr std::chrono::seconds patience{20};

struct Reply {
  int status = 0;
  std::string version;                        ///< "HTTP/1.1"
  std::map<std::string, std::string> fields;  ///< Names in lower case.
  std::string body;

  bool closes() const;
  /// "error" of a refusal's JSON body; empty if there is none.
  std::string error() const;
};

class WireClient {
 public:
  explicit WireClient(std::uint16_t port, const std::string& host = "127.0.0.1");
  /// TLS, trusting `ca_file` alone.
  WireClient(std::uint16_t port, const std::string& host, const std::string& ca_file);
  WireClient(WireClient&& other) noexcept;
  WireClient& operator=(WireClient&& other) noexcept;
  ~WireClient();

  void send(std::string_view bytes);
  /// As send, but says whether the peer took all of it instead of throwing.
  bool try_send(std::string_view bytes);
  /// The next response, whole. `to_head`: it has no body, whatever its length says.
  Reply receive(bool to_head = false);
  Reply ask(std::string_view request);

  /// Waits until the peer has closed or reset the connection and gives what came before that.
  std::string receive_until_closed();
  /// True if nothing has come that was not received, and the connection is open.
  bool is_silent();

  /// Tells the peer that nothing more will be sent.
  void close_sending();
  void close();
  /// Closes with a TCP reset.
  void reset();

 private:
  void connect(std::uint16_t port, const std::string& host);
  bool read_more();  // false at the end of the stream

  int fd_ = -1;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, SSL_free};
  std::string received_;
};

}  // namespace hyperpod::emulator::test
