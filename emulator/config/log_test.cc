// SPDX-License-Identifier: Apache-2.0
#include "config/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "config/bounded_write.h"
#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::emulator::config {
namespace {

using namespace std::chrono_literals;
using base::LogLevel;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr auto start = std::chrono::sys_days{std::chrono::January / 31 / 2026} + 12h;

std::ptrdiff_t count_lines(const std::string& text, std::string_view with = "") {
  std::istringstream lines(text);
  std::ptrdiff_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find(with) != std::string::npos) ++count;
  }
  return count;
}

// --- Lines

TEST(LogLine, HasTimeLevelAndMessage) {
  EXPECT_EQ(log_line(LogFormat::text, start + 123ms, LogLevel::warn, "the port is 9200"),
            "2026-01-31T12:00:00.123Z warn the port is 9200\n");
  EXPECT_EQ(log_line(LogFormat::json, start, LogLevel::error, "x"),
            "{\"time\":\"2026-01-31T12:00:00.000Z\",\"level\":\"error\",\"message\":\"x\"}\n");
}

TEST(LogLine, HasTheRightTimeBefore1970) {
  const std::chrono::system_clock::time_point epoch{};
  EXPECT_THAT(log_line(LogFormat::text, epoch - 1ms, LogLevel::info, ""),
              HasSubstr("1969-12-31T23:59:59.999Z "));
  EXPECT_THAT(log_line(LogFormat::text, epoch - 1s, LogLevel::info, ""),
              HasSubstr("1969-12-31T23:59:59.000Z "));
}

// What could end a line, drive a terminal or reorder what it shows, and bytes that are not UTF-8.
constexpr std::string_view hostile =
    "a\r\nb\x1b[2Jc\td\x7f \xc2\x9b"
    "2J \xe2\x80\xa8 \xe2\x80\xae \xff\xfe \xc0\x80 \xed\xa0\x80 \xe2\x82 κλειδί";

TEST(LogLine, TextShowsWhatIsHostileAndKeepsTheRest) {
  const std::string line = log_line(LogFormat::text, start, LogLevel::info, hostile);
  EXPECT_EQ(count_lines(line), 1);
  EXPECT_THAT(line, HasSubstr("info a\\x0d\\nb\\x1b[2Jc\\td\\x7f \\u009b2J \\u2028 \\u202e "
                              "\\xff\\xfe \\xc0\\x80 \\xed\\xa0\\x80 \\xe2\\x82 κλειδί\n"));
}

TEST(LogLine, JsonIsOneValidObjectWithoutARawControlCharacter) {
  const std::string line = log_line(LogFormat::json, start, LogLevel::info, hostile);
  EXPECT_EQ(count_lines(line), 1);
  EXPECT_THAT(line, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\xc2\x9b")),
                          Not(HasSubstr("\xe2\x80\xae")), Not(HasSubstr("\xff"))));
  const auto record = nlohmann::json::parse(line, nullptr, false);
  ASSERT_TRUE(record.is_object()) << line;
  EXPECT_THAT(record.at("message").get<std::string>(),
              AllOf(HasSubstr("a\r\nb\x1b[2Jc\td"), HasSubstr("\xc2\x9b"), HasSubstr("κλειδί"),
                    HasSubstr("\ufffd\ufffd")));
  const std::string quotes = "quote \" backslash \\ end";
  EXPECT_EQ(
      nlohmann::json::parse(log_line(LogFormat::json, start, LogLevel::info, quotes)).at("message"),
      quotes);
}

// --- The log

/// A log that writes into a pipe. With a clock that is moved by hand, time passes when told.
class LogTest : public testing::Test {
 protected:
  LogTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader_.reset(ends[0]);
    writer_.reset(ends[1]);
  }

  void start_log(const LogSettings& settings = {}) {
    auto log = Log::start(settings, writer_.get(), clock_);
    ASSERT_TRUE(log) << log.error().message;
    log_ = *log;
    writer_.reset();
  }

  /// All that is written until the log is closed and its writer has gone.
  std::string all() {
    std::string text;
    std::thread closer([this] {
      log_->close(30s);
      log_.reset();
    });
    std::array<char, 4096> piece{};
    ssize_t got = 0;
    while ((got = ::read(reader_.get(), piece.data(), piece.size())) > 0) {
      text.append(piece.data(), static_cast<std::size_t>(got));
    }
    closer.join();
    return text;
  }

  const std::shared_ptr<base::ManualClock> clock_ = std::make_shared<base::ManualClock>();
  base::FileDescriptor reader_;
  base::FileDescriptor writer_;
  std::shared_ptr<Log> log_;
};

TEST_F(LogTest, WritesMessagesInOrder) {
  start_log();
  log_->write(LogLevel::info, "first");
  log_->write(LogLevel::warn, "second");
  EXPECT_THAT(all(), MatchesRegex("[^\n]*Z info first\n[^\n]*Z warn second\n"));
}

TEST_F(LogTest, MessagesBelowTheLevelAreNotWritten) {
  start_log({LogLevel::warn, LogFormat::text});
  EXPECT_FALSE(log_->enabled(LogLevel::info));
  EXPECT_TRUE(log_->enabled(LogLevel::error));
  log_->write(LogLevel::info, "unheard");
  EXPECT_EQ(all(), "");
}

TEST_F(LogTest, OffWritesNothing) {
  start_log({std::nullopt, LogFormat::text});
  log_->write(LogLevel::error, "unheard");
  EXPECT_EQ(all(), "");
}

TEST_F(LogTest, ALongMessageIsCut) {
  start_log();
  log_->write(LogLevel::info, std::string(20'000, 'x'));
  const std::string text = all();
  EXPECT_LT(text.size(), 1200u);
  EXPECT_THAT(text, HasSubstr("x... (19000 more bytes)\n"));
}

TEST_F(LogTest, OfOneKindTwentyASecondAreWrittenAndTheOthersCounted) {
  start_log();
  for (int i = 0; i < 100; ++i) log_->write(LogLevel::info, fmt::format("404 GET /{}", i));
  for (int i = 0; i < 10; ++i) log_->write(LogLevel::info, fmt::format("400 GET /{}", i));
  for (int i = 0; i < 10; ++i) log_->write(LogLevel::warn, fmt::format("404 at warn {}", i));
  clock_->advance(1s);
  log_->write(LogLevel::info, "404 GET /again");
  const std::string text = all();
  EXPECT_EQ(count_lines(text, "info 404 GET"), 21);
  EXPECT_EQ(count_lines(text, "info 400 GET"), 10) << "another kind";
  EXPECT_EQ(count_lines(text, "warn 404 at"), 10) << "another level";
  EXPECT_EQ(count_lines(text, "info left out 80 more messages that begin with '404'"), 1);
}

TEST_F(LogTest, WhatWasLeftOutIsToldAtTheEnd) {
  start_log();
  for (int i = 0; i < 25; ++i) log_->write(LogLevel::info, "404 GET /");
  EXPECT_THAT(all(), HasSubstr("left out 5 more"));
}

TEST_F(LogTest, WhatIsLoggedAtDebugWasAskedForAndIsNotLimited) {
  start_log({LogLevel::debug, LogFormat::text});
  for (int i = 0; i < 100; ++i) log_->write(LogLevel::debug, "200 PUT /");
  EXPECT_EQ(count_lines(all()), 100);
}

TEST_F(LogTest, KindsWithoutEndShareOne) {
  start_log();
  for (int i = 0; i < 1000; ++i) log_->write(LogLevel::info, fmt::format("word{} x", i));
  EXPECT_LE(count_lines(all(), " x"), 64 + 20);
}

TEST_F(LogTest, NobodyIsHeldUpByAReaderThatDoesNotRead) {
  start_log({LogLevel::debug, LogFormat::text});
  constexpr int messages = 5000;  // more than the pipe and the queue take
  for (int i = 0; i < messages; ++i) {
    log_->write(LogLevel::debug, "message " + std::string(200, 'x'));
  }
  const std::string text = all();
  const auto written = count_lines(text, "message xxx");
  EXPECT_LT(written, messages);
  EXPECT_GE(written, 1024);
  EXPECT_THAT(text, HasSubstr(fmt::format("warn dropped {} messages", messages - written)));
}

TEST_F(LogTest, ClosesInTimeThoughNobodyReads) {
  start_log({LogLevel::debug, LogFormat::text});
  for (int i = 0; i < 2000; ++i) log_->write(LogLevel::debug, std::string(200, 'x'));
  log_->close(1ms);  // the test's time limit tells if this hangs
  log_->write(LogLevel::error, "too late");
}

TEST_F(LogTest, OutlivesAReaderThatGoes) {
  std::signal(SIGPIPE, SIG_IGN);
  start_log();
  reader_.reset();
  for (int i = 0; i < 100; ++i) log_->write(LogLevel::info, "unheard");
  log_->close(30s);
}

TEST(BoundedWrite, WritesAllOfIt) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const base::FileDescriptor reader(ends[0]);
  base::FileDescriptor writer(ends[1]);
  const std::string text(1 << 20, 'x');
  std::string read;
  std::thread reading([&] {
    std::array<char, 65536> piece{};
    ssize_t got = 0;
    while ((got = ::read(reader.get(), piece.data(), piece.size())) > 0) {
      read.append(piece.data(), static_cast<std::size_t>(got));
    }
  });
  EXPECT_TRUE(bounded_write(writer.get(), text, [] { return false; }));
  writer.reset();
  reading.join();
  EXPECT_EQ(read, text);
}

TEST(BoundedWrite, GivesUpWhenToldSo) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const base::FileDescriptor reader(ends[0]);
  const base::FileDescriptor writer(ends[1]);
  const auto written = bounded_write(writer.get(), std::string(1 << 20, 'x'), [] { return true; });
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, base::ErrorCode::cancelled);
}

}  // namespace
}  // namespace hyperpod::emulator::config
