// SPDX-License-Identifier: Apache-2.0
// Optional: lets emulator and client log through a logger of spdlog. Link spdlog::spdlog to use it.
#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <utility>

#include "hyperpod/base/log.h"

namespace hyperpod::base {

/// A sink that passes each message on to `logger`, whose level decides what is wanted. A logger
/// that blocks, blocks the I/O threads.
inline std::shared_ptr<LogSink> log_to(std::shared_ptr<spdlog::logger> logger) {
  class Adaptor final : public LogSink {
   public:
    explicit Adaptor(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
    bool enabled(LogLevel level) const noexcept override {
      return logger_->should_log(level_of(level));
    }
    void write(LogLevel level, std::string_view message) noexcept override {
      logger_->log(level_of(level), spdlog::string_view_t(message.data(), message.size()));
    }

   private:
    static spdlog::level::level_enum level_of(LogLevel level) {
      switch (level) {
        case LogLevel::trace:
          return spdlog::level::trace;
        case LogLevel::debug:
          return spdlog::level::debug;
        case LogLevel::info:
          return spdlog::level::info;
        case LogLevel::warn:
          return spdlog::level::warn;
        case LogLevel::error:
          break;
      }
      return spdlog::level::err;
    }
    const std::shared_ptr<spdlog::logger> logger_;
  };
  return logger ? std::make_shared<Adaptor>(std::move(logger)) : nullptr;
}

}  // namespace hyperpod::base
