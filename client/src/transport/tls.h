// SPDX-License-Identifier: Apache-2.0
// TLS as a function of bytes: what came from the socket goes in, what is to be sent comes out. It
// touches no socket, so it can neither block nor raise a signal.
//
// Objects belong to one thread at a time.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "hyperpod/client/options.h"
#include "transport/http.h"

namespace hyperpod::client::transport {

/// What the TLS connections to one daemon have in common: whom to trust, whom to expect, and the
/// session to resume.
class TlsContext {
 public:
  /// Never fails: what is wrong with the options is told by each TlsStream.
  TlsContext(const TlsOptions& options, std::string host);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

 private:
  friend class TlsStream;
  static int keep_session(SSL* ssl, SSL_SESSION* session);

  const std::string host_;
  const bool verifies_;
  std::string problem_;
  ErrorCode problem_code_ = ErrorCode::unreachable;
  SSL_CTX* context_;
  SSL_SESSION* session_ = nullptr;  // of the latest connection
};

/// One connection.
class TlsStream {
 public:
  explicit TlsStream(TlsContext& context);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  ~TlsStream();

  /// What came from the socket.
  void feed(std::string_view bytes);

  /// Goes on with the handshake. True once it is complete; a failure says what is wrong.
  tl::expected<bool, TransportFailure> handshake();

  /// The next decrypted bytes, which hold until the next call; empty if more must come first;
  /// nullopt if the peer has ended the stream or broken it.
  std::optional<std::string_view> read();
  /// Whether the peer has said goodbye. A stream that ends without may have been cut off.
  bool peer_said_goodbye() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }
  /// Whether something that has been fed is not read yet.
  bool has_more() const { return SSL_pending(ssl_) > 0 || BIO_pending(incoming_) > 0; }

  /// Encrypts all of it. False if the stream is broken. REQUIRES: the handshake is complete.
  bool write(std::span<const std::byte> bytes);
  /// Says goodbye to the peer.
  void close();

  /// What is to be sent now; consume() what has been.
  std::string_view pending() const;
  void consume(std::size_t bytes);

 private:
  TransportFailure failure() const;

  TlsContext& context_;
  SSL* ssl_ = nullptr;
  BIO* incoming_ = nullptr;  // both belong to ssl_
  BIO* outgoing_ = nullptr;
  std::string decrypted_;
};

}  // namespace hyperpod::client::transport
