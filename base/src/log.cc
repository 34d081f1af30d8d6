// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/log.h"

#include <cstdio>
#include <string>

namespace hyperpod::base {
namespace {

class StderrSink final : public LogSink {
 public:
  StderrSink(std::string_view prefix, LogLevel least) : prefix_(prefix), least_(least) {}

  bool enabled(LogLevel level) const noexcept override { return level >= least_; }
  void write(LogLevel level, std::string_view message) noexcept override {
    if (!enabled(level)) return;
    const std::string_view name = to_string(level);
    std::fprintf(stderr, "%s: %.*s: %.*s\n", prefix_.c_str(), static_cast<int>(name.size()),
                 name.data(), static_cast<int>(message.size()), message.data());
  }

 private:
  const std::string prefix_;
  const LogLevel least_;
};

}  // namespace

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return "trace";
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "unknown";
}

std::shared_ptr<LogSink> stderr_sink(std::string_view prefix, LogLevel least) {
  return std::make_shared<StderrSink>(prefix, least);
}

}  // namespace hyperpod::base
