// SPDX-License-Identifier: Apache-2.0
#include "config/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace hyperpod::emulator::config {
namespace {

using testing::MatchesRegex;

struct Log {
  std::ostringstream out;
  std::shared_ptr<spdlog::logger> logger;
  explicit Log(LogSettings settings)
      : logger(make_logger(settings, std::make_shared<spdlog::sinks::ostream_sink_mt>(out))) {}
};

constexpr const char* time_pattern =
    "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z";

TEST(Log, TextHasTimeLevelAndMessage) {
  Log log({spdlog::level::info, LogFormat::text});
  log.logger->warn("the port is {}", 9200);
  EXPECT_THAT(log.out.str(), MatchesRegex(std::string(time_pattern) + " warn the port is 9200\n"));
}

TEST(Log, TextKeepsAMessageOnOneLineWhateverItHolds) {
  Log log({spdlog::level::info, LogFormat::text});
  log.logger->info(std::string_view("key\r\n2026 error forged\x1b[2J\tκλειδί\0end", 44));
  EXPECT_EQ(std::ranges::count(log.out.str(), '\n'), 1);
  EXPECT_THAT(log.out.str(),
              testing::HasSubstr(R"(key\x0d\n2026 error forged\x1b[2J\tκλειδί\x00end)"));
}

TEST(Log, JsonIsOneValidObjectALineWhateverTheMessageHolds) {
  Log log({spdlog::level::info, LogFormat::json});
  const std::string message = "quote \" backslash \\ newline \n nul \x01 κλειδί";
  log.logger->error(message);
  const auto record = nlohmann::json::parse(log.out.str());
  EXPECT_EQ(record.size(), 3u);
  EXPECT_EQ(record.at("level"), "error");
  EXPECT_EQ(record.at("message"), message);
  EXPECT_THAT(record.at("time").get<std::string>(), MatchesRegex(time_pattern));
  EXPECT_EQ(std::ranges::count(log.out.str(), '\n'), 1);
}

TEST(Log, JsonReplacesWhatIsNotUtf8) {
  Log log({spdlog::level::info, LogFormat::json});
  log.logger->info("key \xff\xfe end");
  EXPECT_EQ(nlohmann::json::parse(log.out.str()).at("message"), "key \ufffd\ufffd end");
}

TEST(Log, MessagesBelowTheLevelAreNotWritten) {
  Log log({spdlog::level::warn, LogFormat::text});
  log.logger->info("unheard");
  EXPECT_EQ(log.out.str(), "");
}

}  // namespace
}  // namespace hyperpod::emulator::config
