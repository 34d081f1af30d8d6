// SPDX-License-Identifier: Apache-2.0
// Requests and what comes of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "hyperpod/client/error.h"

namespace hyperpod::client {

class WaitingThread;

namespace transport {

/// Gives a request's body piece by piece, from any place in it. Called on the loop's thread, which
/// waits meanwhile.
class BodySource {
 public:
  virtual std::uint64_t size() const = 0;
  /// Fills all of `into` with the bytes from `offset` on. False ends the exchange, in `cancelled`.
  virtual bool read(std::uint64_t offset, std::span<std::byte> into) = 0;

 protected:
  ~BodySource() = default;
};

/// Takes the body of a response with status 200 piece by piece, of any length. Called on the loop's
/// thread, which waits meanwhile.
class BodySink {
 public:
  /// A response begins; `length` is what it announces. False ends the exchange, in `cancelled`.
  virtual bool begin(std::optional<std::uint64_t> length) = 0;
  /// False ends the exchange, in `cancelled`.
  virtual bool take(std::span<const std::byte> piece) = 0;

 protected:
  ~BodySink() = default;
};

struct HttpRequest {
  enum class Method { post, put, get, del };

  /// What LMCache's clients send (protocol, "What clients promise").
  static constexpr std::string_view lmcache_agent = "LMCache-SageMaker-HyperPod/1.0";

  Method method = Method::post;
  std::string target;
  // The body of a put: header and payload, sent one behind the other from where they lie.
  std::span<const std::byte> header = {};
  std::span<const std::byte> payload = {};
  std::uint64_t piece_bytes = 65536;  // at most so many of them in one send

  /// Who waits for the outcome, and may be asked to send the request; null if nobody does.
  WaitingThread* waiting = nullptr;
  /// What header and payload lie in, where who waits may still be sending after the exchange's end.
  std::shared_ptr<void> owner = nullptr;

  BodySource* source = nullptr;  // the body, in place of header and payload
  BodySink* sink = nullptr;      // where the response's body goes, in place of HttpResponse::body
  std::string_view user_agent = lmcache_agent;
  std::string more_headers = {};  // lines, each with its line end

  std::uint64_t body_bytes() const {
    return source != nullptr ? source->size() : header.size() + payload.size();
  }
};

struct HttpResponse {
  int status = 0;
  std::string content_type;
  std::string body;
  std::string shard_meta;         // the header, if there is one
  std::string retry_after;        // the header, if there is one
  bool ends_with_stream = false;  // nothing but the connection's end told where the body ends
};

struct TransportFailure {
  /// unreachable, timed_out, malformed_response, cancelled, closed, out_of_resources or, where the
  /// CA file cannot be used, invalid_option.
  ErrorCode code;
  std::string reason;     // half a sentence, to stand behind the daemon's address
  std::string body = {};  // as much of a response's body as came
  /// A connection that was used before closed before any byte of a response: what a request meets
  /// that is sent as the daemon closes an idle connection.
  bool stale = false;
};

using HttpOutcome = tl::expected<HttpResponse, TransportFailure>;

}  // namespace transport
}  // namespace hyperpod::client
