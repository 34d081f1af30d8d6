// SPDX-License-Identifier: Apache-2.0
// For tests: a log that is kept.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "hyperpod/base/log.h"

namespace hyperpod::emulator::test {

/// Keeps messages of every level, a line "LEVEL MESSAGE" each. Any thread.
class LogRecorder final : public base::LogSink {
 public:
  bool enabled(base::LogLevel) const noexcept override { return true; }
  void write(base::LogLevel level, std::string_view message) noexcept override {
    std::lock_guard lock(mutex_);
    text_.append(to_string(level)).append(" ").append(message).append("\n");
  }
  std::string text() const {
    std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

}  // namespace hyperpod::emulator::test
