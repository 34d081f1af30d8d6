// SPDX-License-Identifier: Apache-2.0
// Where emulator and client send what they log. hyperpod/base/spdlog.h adapts spdlog's loggers.
#pragma once

#include <memory>
#include <string_view>

namespace hyperpod::base {

enum class LogLevel { trace, debug, info, warn, error };

/// "warn".
std::string_view to_string(LogLevel level);

/// Takes log messages. Called on any thread, the I/O threads included: must neither block nor
/// throw.
class LogSink {
 public:
  virtual ~LogSink() = default;
  /// Whether messages of this level are wanted; others are not even formatted.
  virtual bool enabled(LogLevel level) const noexcept = 0;
  /// One message without a line break at its end. Parts of it may come from a peer unchanged.
  virtual void write(LogLevel level, std::string_view message) noexcept = 0;
};

/// Writes each message of `least` or above as one line to stderr, "PREFIX: LEVEL: message".
std::shared_ptr<LogSink> stderr_sink(std::string_view prefix, LogLevel least = LogLevel::warn);

}  // namespace hyperpod::base
