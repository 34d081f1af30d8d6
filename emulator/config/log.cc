// SPDX-License-Identifier: Apache-2.0
#include "config/log.h"

#include <fmt/format.h>
#include <spdlog/fmt/chrono.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/sink.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "text/printable.h"

namespace hyperpod::emulator::config {
namespace {

std::string utc(std::chrono::system_clock::time_point time) {
  const auto since_epoch = time.time_since_epoch();
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count() % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)), milliseconds);
}

std::string_view level_name(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
      return "error";
    default: {
      const auto name = spdlog::level::to_string_view(level);
      return {name.data(), name.size()};
    }
  }
}

class TextFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    fmt::format_to(std::back_inserter(line), "{} {} {}\n", utc(message.time),
                   level_name(message.level),
                   text::printable({message.payload.data(), message.payload.size()}));
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<TextFormatter>();
  }
};

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    const nlohmann::ordered_json record{
        {"time", utc(message.time)},
        {"level", level_name(message.level)},
        {"message", std::string_view(message.payload.data(), message.payload.size())}};
    const std::string text =
        record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    line.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

std::shared_ptr<spdlog::logger> make_logger(const LogSettings& settings, spdlog::sink_ptr sink) {
  if (settings.format == LogFormat::json) {
    sink->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    sink->set_formatter(std::make_unique<TextFormatter>());
  }
  auto logger = std::make_shared<spdlog::logger>("hyperpod-emulator", std::move(sink));
  logger->set_level(settings.level);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

}  // namespace hyperpod::emulator::config
