// SPDX-License-Identifier: Apache-2.0
#include "config/log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "config/bounded_write.h"
#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/text.h"

namespace hyperpod::emulator::config {
namespace {

using base::LogLevel;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::size_t most_waiting = 1024;
constexpr std::size_t most_bytes = 1000;
// Of one kind in a window: enough to see what goes on, too few to fill a disk.
constexpr unsigned most_of_a_kind = 20;
constexpr std::chrono::seconds window{1};
// Kinds come from the code and are few; beyond this many they share one.
constexpr std::size_t most_kinds = 64;
constexpr std::size_t longest_word = 24;

std::string utc(system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::floor<milliseconds>(time - whole);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(system_clock::to_time_t(whole)),
                     rest.count());
}

std::string cut(std::string_view message) {
  if (message.size() <= most_bytes) return std::string(message);
  return fmt::format("{}... ({} more bytes)", message.substr(0, most_bytes),
                     message.size() - most_bytes);
}

}  // namespace

std::string log_line(LogFormat format, system_clock::time_point time, LogLevel level,
                     std::string_view message) {
  if (format == LogFormat::text) {
    return fmt::format("{} {} {}\n", utc(time), to_string(level), base::printable(message));
  }
  return fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":{}}}\n", utc(time),
                     to_string(level), base::json_string(message));
}

struct Log::State {
  struct Message {
    LogLevel level;
    std::string text;
    system_clock::time_point time = system_clock::now();
  };
  using Kind = std::pair<LogLevel, std::string>;  // with the first word
  struct Rate {
    base::TimePoint began;
    unsigned written = 0;
    std::uint64_t left_out = 0;
  };

  State(const LogSettings& with, base::FileDescriptor to, std::shared_ptr<base::Clock> by)
      : settings(with), descriptor(std::move(to)), clock(std::move(by)) {}

  const LogSettings settings;
  const base::FileDescriptor descriptor;
  const std::shared_ptr<base::Clock> clock;

  std::mutex mutex;  // guards all below
  std::condition_variable changed;
  std::deque<Message> waiting;
  std::map<Kind, Rate> rates;
  std::uint64_t dropped = 0;
  bool closing = false;
  bool abandoned = false;
  bool done = false;

  void add(Message message) {
    if (waiting.size() < most_waiting) {
      waiting.push_back(std::move(message));
    } else {
      ++dropped;
    }
    changed.notify_all();
  }

  /// Tells what was left out of a kind, once its window is over, or at once.
  void sum_up(bool at_once) {
    const base::TimePoint now = clock->now();
    for (auto entry = rates.begin(); entry != rates.end();) {
      const auto& [kind, rate] = *entry;
      if (!at_once && now - rate.began < window) {
        ++entry;
        continue;
      }
      if (rate.left_out > 0) {
        add({kind.first, fmt::format("left out {} more messages that begin with {}", rate.left_out,
                                     base::quoted(kind.second))});
      }
      entry = rates.erase(entry);
    }
  }

  /// Whether the message is one too many of its kind.
  bool is_left_out(LogLevel level, std::string_view message) {
    if (level < LogLevel::info) return false;
    sum_up(false);
    Kind kind{level, std::string(message.substr(0, std::min(message.find(' '), longest_word)))};
    if (rates.size() >= most_kinds && !rates.contains(kind)) kind.second = "...";
    Rate& rate = rates.try_emplace(std::move(kind), Rate{clock->now()}).first->second;
    if (rate.written < most_of_a_kind) {
      ++rate.written;
      return false;
    }
    if (rate.left_out++ == 0) changed.notify_all();  // the writer must look again in time
    return true;
  }

  /// Until there is something to write. Called and returns with the lock held.
  void wait(std::unique_lock<std::mutex>& lock) {
    while (waiting.empty() && dropped == 0 && !closing) {
      const bool owing =
          std::ranges::any_of(rates, [](const auto& entry) { return entry.second.left_out > 0; });
      // A clock that is moved by hand is looked at when the next message comes.
      if (owing && clock->runs_by_itself()) {
        changed.wait_for(lock, window);
        sum_up(false);
      } else {
        changed.wait(lock);
      }
    }
  }

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      wait(lock);
      if (closing) sum_up(true);
      if (dropped > 0 && waiting.empty()) {
        waiting.push_back(
            {LogLevel::warn, fmt::format("dropped {} messages: the log is not read fast enough",
                                         std::exchange(dropped, 0))});
      }
      if (waiting.empty()) break;
      const Message next = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      // Where this fails the message is lost, and there is nobody to tell.
      [[maybe_unused]] const auto written = bounded_write(
          descriptor.get(), log_line(settings.format, next.time, next.level, next.text), [this] {
            std::lock_guard check(mutex);
            return abandoned;
          });
      lock.lock();
      if (abandoned) break;
    }
    done = true;
    changed.notify_all();
  }
};

base::Result<std::shared_ptr<Log>> Log::start(const LogSettings& settings, int descriptor,
                                              std::shared_ptr<base::Clock> clock) {
  base::FileDescriptor duplicate(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
  if (!duplicate) {
    return tl::make_unexpected(base::system_error("cannot log", errno));
  }
  auto state = std::make_shared<State>(settings, std::move(duplicate), std::move(clock));
  try {
    std::thread([state] {
      ::pthread_setname_np(::pthread_self(), "hyperpod-log");
      state->run();
    }).detach();
  } catch (const std::system_error& refused) {
    return tl::make_unexpected(
        base::Error{base::ErrorCode::out_of_resources,
                    fmt::format("cannot start the thread of the log: {}", refused.what())});
  }
  return std::shared_ptr<Log>(new Log(std::move(state)));
}

Log::~Log() { close(); }

bool Log::enabled(LogLevel level) const noexcept {
  return state_->settings.level && level >= *state_->settings.level;
}

void Log::write(LogLevel level, std::string_view message) noexcept {
  if (!enabled(level)) return;
  try {
    std::lock_guard lock(state_->mutex);
    if (state_->closing || state_->is_left_out(level, message)) return;
    state_->add({level, cut(message)});
  } catch (const std::exception&) {
    // Without memory for a message there is none for a complaint.
  }
}

void Log::close(milliseconds patience) noexcept {
  std::unique_lock lock(state_->mutex);
  state_->closing = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, patience, [this] { return state_->done; });
  state_->abandoned = true;
}

}  // namespace hyperpod::emulator::config
