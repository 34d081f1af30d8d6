#include "client/driver.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t longest_answer = 64 << 20;
constexpr off_t complaints_kept = 4096;
// From linux/capability.h, whose header the C library's own would clash with.
constexpr int cap_dac_override = 1;
constexpr int cap_dac_read_search = 2;

Error system_error(const std::string& doing) {
  return {ErrorCode::system,
          "the driver could not be started: " + doing + ": " + std::string(std::strerror(errno))};
}

Error ended(const std::string& complaints) {
  return {ErrorCode::closed,
          "the driver ended" + (complaints.empty() ? std::string() : ", saying: " + complaints)};
}

int milliseconds_until(Moment deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now());
  return static_cast<int>(std::clamp<long long>(left.count(), 0, 60'000));
}

/// Waits until `fd` is ready for `events`. False if the deadline has come first.
bool await(int fd, short events, Moment deadline) {
  while (true) {
    pollfd descriptor{fd, events, 0};
    const int ready = ::poll(&descriptor, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 && now() >= deadline) return false;
  }
}

struct Pipe {
  int read_end = -1;
  int write_end = -1;

  bool open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read_end = ends[0];
    write_end = ends[1];
    return true;
  }
};

/// What the child does between fork and exec: nothing that may take a lock.
[[noreturn]] void become(const char* command, bool obey_modes, int in, int out, int errors) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (obey_modes) {
    // Fails without the right to do so, and then there is no right to be given up either.
    ::prctl(PR_CAPBSET_DROP, cap_dac_override);
    ::prctl(PR_CAPBSET_DROP, cap_dac_read_search);
  }
  ::execl("/bin/sh", "sh", "-c", command, nullptr);
  ::_exit(127);
}

/// The third field of /proc/PID/stat; 0 if there is no such process.
char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const auto name_end = line.rfind(')');  // the name may hold anything
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '\0' : line[name_end + 2];
}

}  // namespace

Result<Driver> Driver::start(const Settings& settings) {
  Driver driver;
  Pipe in;
  Pipe out;
  driver.errors_ = ::memfd_create("driver-stderr", MFD_CLOEXEC);
  const bool opened = driver.errors_ >= 0 && in.open() && out.open();
  driver.to_ = in.write_end;
  driver.from_ = out.read_end;
  const std::string command = "exec " + settings.command;
  driver.pid_ = opened ? ::fork() : -1;
  if (driver.pid_ == 0) {
    become(command.c_str(), settings.obey_modes, in.read_end, out.write_end, driver.errors_);
  }
  const auto failure = system_error("pipes and a process");
  ::close(in.read_end);
  ::close(out.write_end);
  if (driver.pid_ < 0) return tl::unexpected(failure);
  ::fcntl(driver.to_, F_SETFL, O_NONBLOCK);
  ::fcntl(driver.from_, F_SETFL, O_NONBLOCK);
  return driver;
}

Driver::Driver(Driver&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      to_(std::exchange(other.to_, -1)),
      from_(std::exchange(other.from_, -1)),
      errors_(std::exchange(other.errors_, -1)),
      status_(std::exchange(other.status_, std::nullopt)),
      received_(std::move(other.received_)),
      last_id_(other.last_id_) {}

Driver& Driver::operator=(Driver&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(to_, other.to_);
  std::swap(from_, other.from_);
  std::swap(errors_, other.errors_);
  std::swap(status_, other.status_);
  std::swap(received_, other.received_);
  std::swap(last_id_, other.last_id_);
  return *this;
}

Driver::~Driver() {
  if (pid_ > 0 && !status_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (const int fd : {to_, from_, errors_}) {
    if (fd >= 0) ::close(fd);
  }
}

Result<void> Driver::send_line(const std::string& line, Duration patience) {
  const Moment deadline = now() + patience;
  const std::string bytes = line + "\n";
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t written = ::write(to_, left.data(), left.size());
    if (written > 0) {
      left.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE || errno == EBADF) {
      return tl::unexpected(ended(complaints()));
    } else if (!await(to_, POLLOUT, deadline)) {
      return tl::unexpected(Error{ErrorCode::timed_out, "the driver does not read its input"});
    }
  }
  return {};
}

Result<std::string> Driver::receive_line(Duration patience) {
  const Moment deadline = now() + patience;
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
      return tl::unexpected(Error{ErrorCode::malformed, "the driver's answer has no end"});
    }
    const ssize_t got = ::read(from_, buffer.data(), buffer.size());
    if (got > 0) {
      received_.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
      return tl::unexpected(ended(complaints()));
    } else if (!await(from_, POLLIN, deadline)) {
      return tl::unexpected(
          Error{ErrorCode::timed_out, "the driver gave no answer within " + in_ms(patience)});
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
  Json answer = Json::parse(*line, nullptr, false);
  if (!answer.is_object() || answer.value("id", Json()) != last_id_ ||
      !answer.value("ok", Json()).is_boolean()) {
    return tl::unexpected(
        Error{ErrorCode::malformed, "the driver answered command " + std::to_string(last_id_) +
                                        " with a line that is no answer to it: " + *line});
  }
  return answer;
}

Result<Json> Driver::ask(Json command, Duration patience) {
  const Moment begun = now();
  if (auto sent = send(std::move(command), patience); !sent) return tl::unexpected(sent.error());
  return receive(patience - (now() - begun));
}

void Driver::finish_input() {
  if (to_ >= 0) ::close(std::exchange(to_, -1));
}

void Driver::signal(int number) const {
  if (pid_ > 0 && !status_) ::kill(pid_, number);
}

bool Driver::stop() const {
  signal(SIGSTOP);
  const Moment deadline = now() + 10s;
  while (now() < deadline) {
    const char state = state_of(pid_);
    if (state == 'T') return true;
    if (state == '\0' || state == 'Z') return false;
    std::this_thread::yield();
  }
  return false;
}

std::optional<int> Driver::wait(Duration patience) {
  const Moment deadline = now() + patience;
  while (!status_) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      status_ = status;
    } else if (now() >= deadline) {
      return std::nullopt;
    } else {
      std::this_thread::sleep_for(1ms);
    }
  }
  return status_;
}

std::string Driver::complaints() const {
  struct stat facts {};
  ::fstat(errors_, &facts);
  const off_t size = facts.st_size;
  std::string text(static_cast<std::size_t>(std::clamp<off_t>(size, 0, complaints_kept)), '\0');
  const ssize_t got = ::pread(errors_, text.data(), text.size(),
                              std::max<off_t>(0, size - static_cast<off_t>(text.size())));
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace hyperpod::conformance
