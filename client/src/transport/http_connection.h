// SPDX-License-Identifier: Apache-2.0
// A Connection for a thread that waits for its responses, with an I/O thread of its own: for
// questions to a daemon outside of any client, and for bodies that are streamed.
//
// One thread at a time may use it, except cancel().
#pragma once

#include <chrono>
#include <memory>

#include "address.h"
#include "hyperpod/client/clock.h"
#include "hyperpod/client/options.h"
#include "transport/http.h"

namespace hyperpod::client::transport {

class HttpConnection {
 public:
  /// Connects at the first exchange. A null clock is the machine's.
  HttpConnection(const DaemonAddress& address, const TlsOptions& tls,
                 std::shared_ptr<Clock> clock = nullptr);
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;
  ~HttpConnection();

  /// Sends `request` and returns the response. All is over by `deadline`, resolving and handshake
  /// included, or once no byte has moved for `stall`; but no source or sink is interrupted. After a
  /// failure the connection is closed, and the next exchange makes another. If a connection that
  /// was used before closes before any byte of the response, the request is sent once more on a new
  /// one.
  HttpOutcome exchange(HttpRequest request, TimePoint deadline, Duration stall = Duration::max());

  /// Waits until the clock has come to `time`; not if cancelled.
  void rest(TimePoint time);

  /// Ends what is under way in `cancelled`, and whatever begins before resume(). Any thread.
  void cancel();
  void resume();

  /// Whether another exchange may follow on the same connection. One that has been idle for
  /// ConnectionPool::idle_limit is closed; the next exchange makes another.
  bool is_reusable() const;

 private:
  class Peer;
  std::unique_ptr<Peer> peer_;
};

}  // namespace hyperpod::client::transport
