// SPDX-License-Identifier: Apache-2.0
// The program's log: lines on stderr, as text or as JSON. Whoever logs is never held up, and
// nobody outside can make it flood.
//
// Any thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "hyperpod/base/clock.h"
#include "hyperpod/base/error.h"
#include "hyperpod/base/log.h"

namespace hyperpod::emulator::config {

enum class LogFormat { text, json };

struct LogSettings {
  /// The least important messages that are logged; nullopt logs nothing.
  std::optional<base::LogLevel> level = base::LogLevel::info;
  LogFormat format = LogFormat::text;
};

/// One line, with its end, whatever the message holds. Text: "2026-01-31T12:00:00.123Z info
/// message", with base::printable. JSON: {"time":…,"level":…,"message":…}, with base::json_string.
std::string log_line(LogFormat format, std::chrono::system_clock::time_point time,
                     base::LogLevel level, std::string_view message);

/// Writes messages to a descriptor from a thread of its own.
///
/// A message is cut after 1,000 bytes. Up to 1,024 wait to be written; where they are not read fast
/// enough, further ones are dropped, and a line tells how many. Of the messages at info and above
/// that begin with the same word and have the same level, 20 a second are written, and a line tells
/// how many more there were; what is logged at debug or trace was asked for, and is not limited.
class Log final : public base::LogSink {
 public:
  /// Writes to a duplicate of `descriptor`. `clock` is what the seconds above are measured by.
  /// Errors: out_of_resources.
  static base::Result<std::shared_ptr<Log>> start(
      const LogSettings& settings, int descriptor,
      std::shared_ptr<base::Clock> clock = std::make_shared<base::RealClock>());

  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log() override;  ///< close().

  bool enabled(base::LogLevel level) const noexcept override;
  void write(base::LogLevel level, std::string_view message) noexcept override;

  /// Writes what waits, for at most `patience`: a reader that does not read holds nobody up.
  /// Messages that come later are ignored. Idempotent.
  void close(std::chrono::milliseconds patience = std::chrono::seconds{1}) noexcept;

 private:
  struct State;
  explicit Log(std::shared_ptr<State> state) : state_(std::move(state)) {}

  const std::shared_ptr<State> state_;  // shared with the writing thread, which may outlive this
};

}  // namespace hyperpod::emulator::config
