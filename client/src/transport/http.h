// SPDX-License-Identifier: Apache-2.0
// Requests and what comes of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "hyperpod/client/error.h"

namespace hyperpod::client::transport {

struct HttpRequest {
  enum class Method {
    post,
    put,
    get,  // not part of the protocol: asks what a port is
  };

  Method method = Method::post;
  std::string target;
  // The body of a put: header and payload, sent one behind the other from where they lie.
  std::span<const std::byte> header = {};
  std::span<const std::byte> payload = {};
  std::uint64_t piece_bytes = 65536;  // at most so many of them in one send

  std::uint64_t body_bytes() const { return header.size() + payload.size(); }
};

struct HttpResponse {
  int status = 0;
  std::string content_type;
  std::string body;
};

struct TransportFailure {
  /// unreachable, timed_out, malformed_response, cancelled, closed or out_of_resources.
  ErrorCode code;
  std::string reason;     // half a sentence, to stand behind the daemon's address
  std::string body = {};  // as much of a response's body as came
  /// A connection that was used before closed before any byte of a response: what a request meets
  /// that is sent as the daemon closes an idle connection.
  bool stale = false;
};

using HttpOutcome = tl::expected<HttpResponse, TransportFailure>;

}  // namespace hyperpod::client::transport
