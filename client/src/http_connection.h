// One keep-alive connection to a daemon, over cpp-httplib.
//
// cpp-httplib speaks HTTP; what it reads and writes goes through a stream of ours, because its own
// limits each read and write and not the whole exchange, has no bound on a status line (which it
// matches by a recursive regular expression), loses the answer that a daemon gives before a body is
// sent, and raises SIGPIPE.
//
// A connection serves one exchange at a time and belongs to one thread meanwhile.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "address.h"
#include "hyperpod/client/error.h"
#include "hyperpod/client/options.h"

namespace hyperpod::client {

struct HttpRequest {
  enum class Method {
    post,
    put,
    get,  // no part of the protocol: asks what a port is
  };

  Method method = Method::post;
  std::string target;
  // The body of a put: header and payload, sent one behind the other from where they lie.
  std::span<const std::byte> header = {};
  std::span<const std::byte> payload = {};
  std::uint64_t piece_bytes = 65536;
};

struct HttpAnswer {
  int status = 0;
  std::string content_type;
  std::string body;
};

struct TransportFailure {
  ErrorCode code;      // unreachable, timed_out or malformed_response
  std::string reason;  // half a sentence, to stand behind the daemon's address
  std::string body;    // as much of an answer's body as came
};

class HttpConnection {
 public:
  /// Connects at the first exchange. The options' part that counts is their TLS.
  HttpConnection(const DaemonAddress& address, const TlsOptions& tls);
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;
  ~HttpConnection();

  /// Sends `request` and returns the answer. All is over by `deadline`, resolving and handshake
  /// included. If the connection was used before and turns out to be dead before a byte was sent,
  /// it is replaced once. After a failure it is closed, so that the daemon can drop what it may
  /// still be holding.
  tl::expected<HttpAnswer, TransportFailure> exchange(
      const HttpRequest& request, std::chrono::steady_clock::time_point deadline);

  /// Whether another exchange may follow on the same connection.
  bool is_reusable() const { return reusable_; }

 private:
  class Peer;
  tl::expected<HttpAnswer, TransportFailure> exchange_once(const HttpRequest& request);
  tl::expected<HttpAnswer, TransportFailure> put(const HttpRequest& request);
  tl::expected<HttpAnswer, TransportFailure> send_without_body(const HttpRequest& request);

  const std::string path_prefix_;
  const bool tls_;
  std::unique_ptr<Peer> peer_;
  bool reusable_ = false;
};

}  // namespace hyperpod::client
