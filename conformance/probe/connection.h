// SPDX-License-Identifier: Apache-2.0
// A TCP or TLS connection under full control: exactly the bytes given are sent, whatever arrives is
// handed out, and nothing takes longer than its deadline.
//
// One thread uses a connection at a time. A thread that uses TLS must have SIGPIPE blocked or
// ignored, for OpenSSL writes with write(2).
#pragma once

#include <sys/socket.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "hyperpod/base/file_descriptor.h"
#include "probe/endpoint.h"
#include "probe/time.h"

struct ssl_ctx_st;
struct ssl_st;

namespace hyperpod::conformance::probe {

/// How a TLS connection is made.
struct TlsSettings {
  /// PEM file of the CA to trust. Empty: any certificate is accepted, for the suite judges the
  /// protocol and not the certificate.
  std::string ca_file;
  /// The highest version offered, as OpenSSL's TLS1_VERSION … TLS1_3_VERSION; 0: what OpenSSL has.
  int max_version = 0;
};

class Connection {
 public:
  /// Resolves, connects and, for an https endpoint, completes the handshake. `family` narrows the
  /// addresses tried to AF_INET or AF_INET6. Errors: unreachable, timed_out,
  /// tls_unusable, invalid_argument (the CA file cannot be used).
  static Result<Connection> open(const Endpoint& endpoint, TimePoint deadline,
                                 const TlsSettings& tls = {}, int family = AF_UNSPEC);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  /// Sends all bytes. Errors: closed, timed_out; then an unknown part of them was sent.
  Result<void> send(std::string_view bytes, TimePoint deadline);
  /// Waits for bytes and stores what there is. 0 means that the peer has finished sending.
  /// Errors: closed (a reset), timed_out.
  Result<std::size_t> receive(std::span<char> buffer, TimePoint deadline);

  /// Ends our half, as a client does that has said all it wants to say.
  void finish_sending();
  /// Cuts the connection with a reset, as a killed client's kernel may.
  void reset();
  void close();
  bool is_open() const { return static_cast<bool>(fd_); }
  /// Whether the peer's end, or its reset, has arrived.
  bool peer_has_closed() const;

 private:
  struct FreeTls {
    void operator()(ssl_st* tls) const;
    void operator()(ssl_ctx_st* context) const;
  };

  explicit Connection(base::FileDescriptor fd) : fd_(std::move(fd)) {}
  Result<void> handshake(const std::string& host, TimePoint deadline, const TlsSettings& settings);
  /// Waits until OpenSSL can go on after `result`.
  Result<void> await_tls(int result, TimePoint deadline, std::string_view doing);

  base::FileDescriptor fd_;
  std::unique_ptr<ssl_ctx_st, FreeTls> context_;
  std::unique_ptr<ssl_st, FreeTls> tls_;
};

}  // namespace hyperpod::conformance::probe
