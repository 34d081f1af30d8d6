// SPDX-License-Identifier: Apache-2.0
// A conversation with a daemon: requests as the public clients send them, or any bytes at all, and
// its responses. What goes over the wire is written down.
//
// A session is not one connection. HTTP lets a server close a connection after any response, so a
// session opens another one where that has happened, and sends a request once more that a reused
// connection swallowed before a byte of its response, as the public clients do. A check of the
// connection itself calls stay_on_connection().
//
// One thread uses a session at a time. What the daemon does wrong is thrown as a Violation, which
// ends the check; see result.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check/transcript.h"
#include "probe/connection.h"
#include "probe/response.h"

namespace hyperpod::conformance::check {

/// Bucket and key as they stand in a request target, percent-encoded.
struct Name {
  std::string bucket;
  std::string key;

  std::string target() const { return "/v1/kv/" + bucket + "/" + key; }
};

/// How a lease is asked for.
struct LeaseTerms {
  std::chrono::milliseconds hold{0};
  std::chrono::milliseconds ttl{20'000};

  /// As the clients write it: "timeout_ms=5000&ttl_s=30.0".
  std::string query() const;
};

struct Request {
  std::string method;
  std::string target;
  /// After Host and User-Agent, in this order. Content-Length is added for `body` unless the list
  /// says how the body ends.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string_view body;
};

class Session {
 public:
  /// Opens a connection to the daemon.
  using Connect = std::function<Result<Connection>()>;

  /// `connect` opens the connections that replace `connection`; without it the session ends with
  /// its connection.
  Session(Connection connection, std::string authority, Duration patience, Transcript& transcript,
          Connect connect = {});

  /// From now on a connection that the daemon closes is not replaced.
  void stay_on_connection() { connect_ = {}; }
  /// How many connections have replaced the first one.
  int reconnects() const { return reconnects_; }

  // Whole exchanges. Each throws a Violation if no proper response comes in time.
  Response put(const Name& name, std::string_view body);
  Response acquire(const Name& name, const LeaseTerms& terms = {});
  Response release(std::string_view lease_id);
  Response ask(const Request& request);

  // Halves of exchanges, for checks of what lies between them.
  void send(const Request& request);
  /// The bytes as they are.
  void send_raw(std::string_view bytes);
  /// As send_raw, but false when the daemon has closed the connection before it took them all.
  bool try_send_raw(std::string_view bytes);
  /// The next final response; interim ones (1xx) before it are passed over.
  Response response() { return response(patience_); }
  Response response(Duration limit);
  /// The next response, an interim one included.
  Response any_response();
  /// The next final response, or nullopt if the daemon closes or resets the connection first.
  std::optional<Response> response_or_close(Duration limit);
  std::optional<Response> response_or_close() { return response_or_close(patience_); }
  /// Whether no final response arrives and nothing is closed for this long.
  bool silent_for(Duration time);
  /// Whether the daemon closes the connection within this time without sending anything more.
  bool closes_within(Duration limit);

  void finish_sending() { connection_.finish_sending(); }
  void reset() { connection_.reset(); }
  void close() { connection_.close(); }

  /// The request's head as send() writes it, the empty line included.
  std::string head_of(const Request& request) const;

 private:
  /// Before the first byte of a request: a connection that can carry it. `repeatable`: the request
  /// can be sent once more where the connection turns out to be closed.
  void ensure_open(bool repeatable);
  /// Sends the request under way once more, if a reused connection swallowed it before a byte of
  /// its response.
  bool send_again();
  bool reconnect();
  Result<void> receive_more(TimePoint deadline);
  Result<Response> next_response(TimePoint deadline);
  Result<Response> next_final_response(TimePoint deadline);
  void transmit(const std::string& head, std::string_view body);

  Connection connection_;
  std::string authority_;
  Duration patience_;
  Transcript* transcript_;
  Connect connect_;
  int number_;
  int reconnects_ = 0;
  std::string received_;  ///< What has arrived and belongs to no response yet.
  bool ended_ = false;    ///< The daemon has finished sending.
  bool idle_ = true;      ///< No byte of a request was sent since the last response.
  bool last_says_close_ = false;
  bool closes_unannounced_ = false;  ///< The daemon has closed a connection without saying so.
  int responses_ = 0;                ///< Of this connection.
  /// The request under way, if it may be sent once more: it went out whole, alone. Behind it goes
  /// `repeatable_body_`, which the caller of ask() owns.
  std::optional<std::string> repeatable_;
  std::string_view repeatable_body_;
  bool repeated_ = false;  ///< The request under way has been sent once more.
  TimePoint last_sent_ = now();
};

Request put_request(const Name& name, std::string_view body);
Request acquire_request(const Name& name, const LeaseTerms& terms);
Request release_request(std::string_view lease_id);

}  // namespace hyperpod::conformance::check
