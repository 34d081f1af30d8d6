// SPDX-License-Identifier: Apache-2.0
#include "client/driver.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t longest_answer = 64 << 20;
constexpr std::size_t error_output_kept = 4096;
constexpr Duration end_patience = 5s;
// Of arrays and objects in one another; the protocol's answers have three.
constexpr int deepest_answer = 100;

/// Whether brackets are nested deeper than an answer's may be. A value's copy and its dump take the
/// stack of as many calls.
bool is_too_deep(std::string_view line) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      if (++depth > deepest_answer) return true;
    } else if (!quoted && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

void leave_out_nulls(Json& object) {
  for (auto member = object.begin(); member != object.end();)
    member = member->is_null() ? object.erase(member) : std::next(member);
}

int milliseconds_until(TimePoint deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now());
  return static_cast<int>(std::clamp<long long>(left.count(), 0, 60'000));
}

/// Waits until `fd` is ready for `events`. False if the deadline has come first.
bool await(int fd, short events, TimePoint deadline) {
  while (true) {
    pollfd descriptor{fd, events, 0};
    const int ready = ::poll(&descriptor, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 && now() >= deadline) return false;
  }
}

/// The third field of /proc/PID/stat; 0 if there is no such process.
char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const auto name_end = line.rfind(')');  // the name may hold anything
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '\0' : line[name_end + 2];
}

bool has_unquoted_operator(std::string_view command) {
  char quote = '\0';
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (c == '\\' && quote != '\'') {
      ++i;
    } else if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (std::string_view(";&|<>(){}\n`").find(c) != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

/// The command such that the shell becomes its program, where it is a simple command: the suite
/// stops, traces and looks into the process that it has started. `exec` itself takes no variables
/// before the program, but `env` does.
std::string as_one_process(const std::string& command) {
  const auto begin = command.find_first_not_of(" \t");
  if (begin == std::string::npos || has_unquoted_operator(command)) return command;
  const std::string first = command.substr(begin, command.find_first_of(" \t", begin) - begin);
  for (const char* builtin : {"cd", "export", "ulimit", "umask", "set", ".", "eval", "exec"}) {
    if (first == builtin) return command;
  }
  const auto equals = first.find('=');
  const bool assigns = equals != std::string::npos && equals > 0 &&
                       std::ranges::all_of(first.substr(0, equals), [](char c) {
                         return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
                       });
  return (assigns ? "exec env " : "exec ") + command;
}

}  // namespace

std::string shortened(std::string text) {
  constexpr std::size_t longest = 300;
  if (text.size() > longest) text = text.substr(0, longest) + "…";
  std::ranges::replace(text, '\n', ' ');
  return text;
}

Json response_in(std::string_view line) {
  // The parser takes a NUL byte for the end.
  if (line.find('\0') != line.npos || is_too_deep(line)) {
    return Json(Json::value_t::discarded);
  }
  Json response = Json::parse(line, nullptr, false);
  if (!response.is_object()) return response;
  leave_out_nulls(response);
  for (Json& member : response) {
    if (!member.is_array()) continue;
    for (Json& element : member) {
      if (element.is_object()) leave_out_nulls(element);
    }
  }
  return response;
}

std::string end_told(int status) {
  if (status < 0) return "its end by signal " + std::to_string(-status);
  return "exit code " + std::to_string(status);
}

Result<Driver> Driver::start(const Settings& settings) {
  auto process = base::ChildProcess::start({.command = as_one_process(settings.command),
                                            .input = std::nullopt,
                                            .pipe_output = true,
                                            .own_group = true,
                                            .obey_modes = settings.obey_modes});
  if (!process) {
    return tl::unexpected(
        Error{process.error().code, "the driver could not be started: " + process.error().message});
  }
  ::fcntl(process->input().get(), F_SETFL, O_NONBLOCK);
  ::fcntl(process->output_pipe().get(), F_SETFL, O_NONBLOCK);
  return Driver(*std::move(process));
}

Result<void> Driver::send_line(const std::string& line, Duration patience) {
  const TimePoint deadline = now() + patience;
  const std::string bytes = line + "\n";
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t written = ::write(process_.input().get(), left.data(), left.size());
    if (written > 0) {
      left.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE || errno == EBADF) {
      return tl::unexpected(Error{ErrorCode::closed, "the driver ended: " + ending()});
    } else if (!await(process_.input().get(), POLLOUT, deadline)) {
      return tl::unexpected(Error{ErrorCode::timed_out, "the driver does not read its input"});
    }
  }
  return {};
}

Result<std::string> Driver::receive_line(Duration patience) {
  const TimePoint deadline = now() + patience;
  std::array<char, 65536> buffer;
  std::size_t searched = 0;
  while (true) {
    const auto end = received_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    searched = received_.size();
    if (received_.size() > longest_answer) {
      return tl::unexpected(
          Error{ErrorCode::malformed_response, "the driver's response has no end"});
    }
    const ssize_t got = ::read(process_.output_pipe().get(), buffer.data(), buffer.size());
    if (got > 0) {
      received_.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
      return tl::unexpected(Error{ErrorCode::closed, "the driver ended: " + ending()});
    } else if (!await(process_.output_pipe().get(), POLLIN, deadline)) {
      return tl::unexpected(
          Error{ErrorCode::timed_out, "the driver gave no response within " + in_ms(patience)});
    }
  }
}

Result<void> Driver::send(Json command, Duration patience) {
  Json line{{"id", ++last_id_}};
  line.update(command);
  return send_line(line.dump(), patience);
}

Result<Json> Driver::receive(Duration patience) {
  auto line = receive_line(patience);
  if (!line) return tl::unexpected(std::move(line).error());
  Json response = response_in(*line);
  if (!response.is_object() || response.value("id", Json()) != last_id_ ||
      !response.value("ok", Json()).is_boolean()) {
    return tl::unexpected(
        Error{ErrorCode::malformed_response,
              "the driver answered command " + std::to_string(last_id_) +
                  " with a line that is not a response to it: " + shortened(*std::move(line))});
  }
  return response;
}

Result<Json> Driver::ask(Json command, Duration patience) {
  const TimePoint begun = now();
  if (auto sent = send(std::move(command), patience); !sent) return tl::unexpected(sent.error());
  return receive(patience - (now() - begun));
}

void Driver::finish_input() { process_.input().reset(); }

void Driver::signal(int number) { process_.signal(number); }

bool Driver::stop() {
  signal(SIGSTOP);
  const TimePoint deadline = now() + 10s;
  while (now() < deadline) {
    const char state = state_of(pid());
    if (state == 'T') return true;
    if (state == '\0' || state == 'Z') return false;
    std::this_thread::yield();
  }
  return false;
}

std::optional<int> Driver::wait(Duration patience) {
  return process_.wait_for(std::chrono::ceil<std::chrono::milliseconds>(patience));
}

std::string Driver::ending() {
  const auto status = wait(end_patience);
  const std::string said = error_output();
  return (status ? end_told(*status) : "the end of its output, though it still runs") +
         (said.empty() ? "" : ", and on standard error: " + said);
}

std::string Driver::error_output() const {
  std::string text = process_.errors();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.size() > error_output_kept) text.erase(0, text.size() - error_output_kept);
  return text;
}

}  // namespace hyperpod::conformance::client
