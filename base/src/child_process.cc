// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace hyperpod::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// From linux/capability.h, whose header the C library's own would clash with.
constexpr int cap_dac_override = 1;
constexpr int cap_dac_read_search = 2;

// The descriptor limit before this process may have raised it.
const rlimit descriptors_at_start = [] {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit;
}();

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> raw(texts.size() + 1);  // the last is null
  std::ranges::transform(texts, raw.begin(),
                         [](const std::string& text) { return const_cast<char*>(text.c_str()); });
  return raw;
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const auto same_name = [&](const std::string& other) {
      return name_of(other) == name_of(*variable);
    };
    if (std::ranges::none_of(added, same_name)) all.emplace_back(*variable);
  }
  return all;
}

// Where execve finds `program`; empty if nowhere.
std::string find_in_path(const std::string& program) {
  if (program.find('/') != program.npos) return program;
  const char* variable = std::getenv("PATH");
  std::string_view path = variable ? variable : "/usr/bin:/bin";
  while (true) {
    const auto end = path.find(':');
    std::string candidate(path.substr(0, end));
    candidate.append(candidate.empty() ? "./" : "/").append(program);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    if (end == path.npos) return {};
    path.remove_prefix(end + 1);
  }
}

struct Becoming {
  const char* program;
  char* const* arguments;
  char* const* environment;
  std::array<int, 3> streams;
  int failure;  // where the errno of a failed exec is told
  pid_t parent;
  const ChildOptions* options;
};

// Between fork and exec: only what is safe in the child of a program with threads.
[[noreturn]] void become(const Becoming& plan) {
  if (plan.options->signal_at_parents_end != 0) {
    ::prctl(PR_SET_PDEATHSIG, plan.options->signal_at_parents_end);
    if (::getppid() != plan.parent) ::_exit(127);
  }
  if (plan.options->own_group) ::setpgid(0, 0);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setrlimit(RLIMIT_NOFILE, &descriptors_at_start);
  if (plan.options->obey_modes) {
    // Fails without the right to do so, and then there is no right to be given up either.
    ::prctl(PR_CAPBSET_DROP, cap_dac_override);
    ::prctl(PR_CAPBSET_DROP, cap_dac_read_search);
  }
  for (int stream = 0; stream < 3; ++stream) {
    const int source = plan.streams[static_cast<std::size_t>(stream)];
    if (source == stream) ::fcntl(stream, F_SETFD, 0);
    if (source != stream && ::dup2(source, stream) < 0) ::_exit(127);
  }
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  ::execve(plan.program, plan.arguments, plan.environment);
  const int error = errno;
  [[maybe_unused]] const auto told = ::write(plan.failure, &error, sizeof error);
  ::_exit(127);
}

struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;

  bool open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
    // Out of the way of the streams, which may be closed in this process.
    return lift(read_end) && lift(write_end);
  }

  static bool lift(FileDescriptor& fd) {
    if (fd.get() > STDERR_FILENO) return true;
    const int lifted = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (lifted >= 0) fd.reset(lifted);
    return lifted >= 0;
  }
};

FileDescriptor unnamed_file(const std::string& content) {
  FileDescriptor file(::memfd_create("hyperpod-child", MFD_CLOEXEC));
  if (!file || !Pipe::lift(file)) return {};
  std::string_view left = content;
  while (!left.empty()) {
    const ssize_t written = ::write(file.get(), left.data(), left.size());
    if (written <= 0) return {};
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  return file;
}

std::string read_file(const FileDescriptor& file) {
  std::string text;
  std::array<char, 65536> bytes{};
  while (true) {
    const ssize_t count =
        ::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(text.size()));
    if (count <= 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

// Waits until `fd` can be read. False at the deadline.
bool await_readable(int fd, steady_clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    const auto patience = std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, 60'000);
    if (::poll(&readable, 1, static_cast<int>(patience)) > 0) return true;
    if (steady_clock::now() >= deadline) return false;
  }
}

steady_clock::time_point after(milliseconds patience) {
  const auto now = steady_clock::now();
  return patience > steady_clock::time_point::max() - now ? steady_clock::time_point::max()
                                                          : now + patience;
}

}  // namespace

Result<ChildProcess> ChildProcess::start(const ChildOptions& options) {
  const std::vector<std::string> arguments =
      options.arguments.empty() ? std::vector<std::string>{"/bin/sh", "-c", options.command}
                                : options.arguments;
  const std::string program = find_in_path(arguments.front());
  if (program.empty()) {
    return tl::unexpected(
        Error{ErrorCode::not_found, "there is no program '" + arguments.front() + "' in PATH"});
  }

  ChildProcess child;
  child.own_group_ = options.own_group;
  Pipe input;
  Pipe output;
  Pipe failure;
  FileDescriptor childs_input;
  FileDescriptor childs_output;
  bool ready = failure.open();
  if (options.input) {
    childs_input = unnamed_file(*options.input);
    ready = ready && childs_input && ::lseek(childs_input.get(), 0, SEEK_SET) == 0;
  } else {
    ready = ready && input.open();
    childs_input = std::move(input.read_end);
    child.input_ = std::move(input.write_end);
  }
  if (options.pipe_output) {
    ready = ready && output.open();
    childs_output = std::move(output.write_end);
    child.output_ = std::move(output.read_end);
  } else {
    child.output_ = unnamed_file({});
    childs_output.reset(::fcntl(child.output_.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    ready = ready && childs_output;
  }
  child.errors_ = unnamed_file({});
  const std::string doing = "cannot start '" + arguments.front() + "'";
  if (!ready || !child.errors_) return tl::unexpected(system_error(doing, errno));

  const std::vector<std::string> environment = environment_with(options.environment);
  const std::vector<char*> raw_arguments = pointers(arguments);
  const std::vector<char*> raw_environment = pointers(environment);
  const Becoming plan{
      .program = program.c_str(),
      .arguments = raw_arguments.data(),
      .environment = raw_environment.data(),
      .streams = {childs_input.get(), childs_output.get(), child.errors_.get()},
      .failure = failure.write_end.get(),
      .parent = ::getpid(),
      .options = &options,
  };
  // No handler of this process may run in the child before its own dispositions are set.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  child.pid_ = ::fork();
  if (child.pid_ == 0) become(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child.pid_ < 0) return tl::unexpected(system_error(doing, fork_error));
  if (options.own_group) ::setpgid(child.pid_, child.pid_);

  failure.write_end.reset();
  int exec_error = 0;
  while (::read(failure.read_end.get(), &exec_error, sizeof exec_error) < 0 && errno == EINTR) {
  }
  if (exec_error != 0) {
    child.wait();
    const bool absent = exec_error == ENOENT || exec_error == ENOTDIR;
    return tl::unexpected(
        system_error(doing, exec_error, absent ? ErrorCode::not_found : ErrorCode::failed));
  }
  child.process_.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid_, 0U)));
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept { *this = std::move(other); }

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(own_group_, other.own_group_);
  std::swap(status_, other.status_);
  std::swap(process_, other.process_);
  std::swap(input_, other.input_);
  std::swap(output_, other.output_);
  std::swap(errors_, other.errors_);
  std::swap(received_, other.received_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0 || status_) return;
  signal(SIGKILL);
  wait();
}

bool ChildProcess::running() { return !wait_for(milliseconds{0}); }

void ChildProcess::signal(int number) {
  if (pid_ <= 0 || status_) return;
  ::kill(own_group_ ? -pid_ : pid_, number);
}

std::optional<int> ChildProcess::wait_for(milliseconds patience) {
  if (status_) return status_;
  if (pid_ <= 0) return 0;  // Moved from: waitpid() would wait for anybody's child.
  // Without a pidfd (a kernel before 5.3, or no descriptor left) there is only waiting in the call.
  if (process_ && !await_readable(process_.get(), after(patience))) return std::nullopt;
  int status = 0;
  pid_t collected = 0;
  do {
    collected = ::waitpid(pid_, &status, process_ || patience.count() > 0 ? 0 : WNOHANG);
  } while (collected < 0 && errno == EINTR);
  if (collected == 0) return std::nullopt;
  status_ = collected < 0 ? -SIGKILL : WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return status_;
}

int ChildProcess::wait() {
  while (true) {
    if (const auto status = wait_for(std::chrono::hours{1})) return *status;
  }
}

int ChildProcess::stop(milliseconds patience) {
  signal(SIGTERM);
  if (const auto status = wait_for(patience)) return *status;
  signal(SIGKILL);
  return wait();
}

Result<std::string> ChildProcess::read_line(milliseconds patience) {
  const auto deadline = after(patience);
  const auto quoting = [this](ErrorCode code, const char* what) {
    const std::string last = last_error_line();
    return tl::unexpected(Error{code, last.empty() ? what : what + (": " + last)});
  };
  while (true) {
    if (const auto end = received_.find('\n'); end != received_.npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    if (!await_readable(output_.get(), deadline)) {
      return quoting(ErrorCode::timed_out, "it printed nothing in time");
    }
    std::array<char, 65536> buffer{};
    const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return quoting(ErrorCode::closed, "it ended without printing a line");
    received_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::string ChildProcess::output() const { return read_file(output_); }

std::string ChildProcess::errors() const { return read_file(errors_); }

std::string ChildProcess::last_error_line() const {
  std::string text = errors();
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace hyperpod::base
