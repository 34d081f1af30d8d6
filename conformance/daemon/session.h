// One connection to the daemon under test, as a check uses it: it sends requests as the public
// clients do, or any bytes at all, waits for answers, and writes down what went over the wire.
//
// One thread uses a session at a time. What the daemon does wrong is thrown as a Violation, which
// ends the check; see check.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "probe/answer.h"
#include "probe/connection.h"
#include "report/transcript.h"

namespace hyperpod::conformance {

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
  Session(Connection connection, std::string authority, Duration patience, Transcript& transcript);

  // Whole exchanges. Each throws a Violation if no proper answer comes in time.
  Answer put(const Name& name, std::string_view body);
  Answer acquire(const Name& name, const LeaseTerms& terms = {});
  Answer release(std::string_view lease_id);
  Answer ask(const Request& request);

  // Halves of exchanges, for checks of what lies between them.
  void send(const Request& request);
  /// The bytes as they are.
  void send_raw(std::string_view bytes);
  /// As send_raw, but false when the daemon has closed the connection before it took them all.
  bool try_send_raw(std::string_view bytes);
  /// The next answer; interim ones (1xx) count.
  Answer answer() { return answer(patience_); }
  Answer answer(Duration limit);
  /// The next answer, or nullopt if the daemon closes or resets the connection first.
  std::optional<Answer> answer_or_close(Duration limit);
  std::optional<Answer> answer_or_close() { return answer_or_close(patience_); }
  /// Whether nothing arrives and nothing is closed for this long.
  bool silent_for(Duration time);
  /// Whether the daemon closes the connection within this time without sending anything more.
  bool closes_within(Duration limit);

  void finish_sending() { connection_.finish_sending(); }
  void reset() { connection_.reset(); }
  void close() { connection_.close(); }

  /// The request's head as send() writes it, the empty line included.
  std::string head_of(const Request& request) const;

 private:
  Result<void> receive_more(Moment deadline);
  Result<Answer> next_answer(Moment deadline);

  Connection connection_;
  std::string authority_;
  Duration patience_;
  Transcript* transcript_;
  int number_;
  std::string received_;  ///< What has arrived and belongs to no answer yet.
  bool ended_ = false;    ///< The daemon has finished sending.
  Moment last_sent_ = now();
};

Request put_request(const Name& name, std::string_view body);
Request acquire_request(const Name& name, const LeaseTerms& terms);
Request release_request(std::string_view lease_id);

}  // namespace hyperpod::conformance
