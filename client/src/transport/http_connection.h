// SPDX-License-Identifier: Apache-2.0
// A Connection for a thread that waits for its responses: for a question or two to a daemon outside
// of any client.
//
// One thread at a time may use it.
#pragma once

#include <chrono>
#include <memory>

#include "address.h"
#include "hyperpod/client/options.h"
#include "transport/http.h"

namespace hyperpod::client::transport {

class HttpConnection {
 public:
  /// Connects at the first exchange.
  HttpConnection(const DaemonAddress& address, const TlsOptions& tls);
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;
  ~HttpConnection();

  /// Sends `request` and returns the response. All is over by `deadline`, resolving and handshake
  /// included. After a failure the connection is closed, and the next exchange makes another. If a
  /// connection that was used before closes before any byte of the response, the request is sent
  /// once more on a new one.
  HttpOutcome exchange(HttpRequest request, std::chrono::steady_clock::time_point deadline);

  /// Whether another exchange may follow on the same connection.
  bool is_reusable() const;

 private:
  class Peer;
  std::unique_ptr<Peer> peer_;
};

}  // namespace hyperpod::client::transport
