// SPDX-License-Identifier: Apache-2.0
// The program's log: lines on stderr, as text or as JSON.
#pragma once

#include <spdlog/logger.h>

#include <memory>

namespace hyperpod::emulator::config {

enum class LogFormat { text, json };

struct LogSettings {
  spdlog::level::level_enum level = spdlog::level::info;
  LogFormat format = LogFormat::text;
};

/// A thread-safe logger that writes to `sink`, one line for each message whatever the message
/// holds. Text: "2026-01-31T12:00:00.123Z info message", control characters escaped. JSON:
/// {"time":…,"level":…,"message":…}, with what is not UTF-8 replaced.
std::shared_ptr<spdlog::logger> make_logger(const LogSettings& settings, spdlog::sink_ptr sink);

}  // namespace hyperpod::emulator::config
