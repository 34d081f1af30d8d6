// SPDX-License-Identifier: Apache-2.0
// What went over the wire during a check, for the message of a failed one.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probe/time.h"

namespace hyperpod::conformance::check {

/// Something that was sent or received.
struct Event {
  enum class Kind { sent, received, trouble };

  Kind kind;
  Duration at;     ///< Since the check began.
  int connection;  ///< Counted from 1 within the check; 0 is the driver of a client under test.
  std::string head;
  std::uint64_t body_bytes = 0;
  std::string body;  ///< Its beginning, where it is text; only of responses.
};

/// Text from outside made fit for a terminal, a log, JSON and XML 1.0, in this one place: UTF-8 and
/// line breaks as they are; every other control character (those of U+0080 to U+009F included),
/// byte that is not UTF-8, noncharacter and mark that changes the direction of writing as \\xNN.
/// Applied twice it changes nothing more.
std::string printable(std::string_view text);

/// Whether a reader of a report can be shown these bytes as they are.
bool is_text(std::string_view bytes);

/// A request that got no response.
struct Unanswered {
  TimePoint at;
  std::string head;
};

/// The first and the latest events of a check, and the request that the very last one answers. Any
/// thread may add.
class Transcript {
 public:
  void add(Event::Kind kind, int connection, std::string_view head, std::string_view body);
  int next_connection();
  /// Oldest first.
  std::vector<Event> events() const;
  /// How many events were left out, between the first and the latest ones.
  std::uint64_t dropped() const;
  /// The latest that was sent and is not answered, over a connection that had brought no trouble.
  std::optional<Unanswered> unanswered() const;
  /// When the latest response came.
  std::optional<TimePoint> answered() const;

 private:
  /// What the last event answers, if that was left out.
  const Event* request_of_last() const;

  mutable std::mutex mutex_;
  TimePoint begun_ = now();
  int connections_ = 0;
  std::uint64_t dropped_ = 0;
  std::vector<Event> events_;
  std::map<int, Event> left_out_;  ///< The latest of each connection that was sent.
};

}  // namespace hyperpod::conformance::check
