// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <sstream>

#include "hyperpod/base/spdlog.h"

namespace hyperpod::base {
namespace {

TEST(Log, StderrGetsOneLineAMessageFromTheLevelOn) {
  const auto sink = stderr_sink("program", LogLevel::warn);
  testing::internal::CaptureStderr();
  sink->write(LogLevel::info, "not wanted");
  sink->write(LogLevel::error, "100 %s");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "program: error: 100 %s\n");
  EXPECT_FALSE(sink->enabled(LogLevel::info));
  EXPECT_TRUE(sink->enabled(LogLevel::warn));
}

TEST(Log, ALoggerOfSpdlogTakesTheMessagesThatItsLevelAllows) {
  std::ostringstream written;
  const auto logger = std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(written));
  logger->set_pattern("%l %v");
  logger->set_level(spdlog::level::warn);
  const auto sink = log_to(logger);
  EXPECT_FALSE(sink->enabled(LogLevel::info));
  sink->write(LogLevel::error, "{} braces");
  EXPECT_EQ(written.str(), "error {} braces\n");
}

TEST(Log, NoLoggerIsNoSink) { EXPECT_EQ(log_to(nullptr), nullptr); }

}  // namespace
}  // namespace hyperpod::base
