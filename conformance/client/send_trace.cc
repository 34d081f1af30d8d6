// SPDX-License-Identifier: Apache-2.0
#include "client/send_trace.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

constexpr int stop_of_call = SIGTRAP | 0x80;
constexpr long trace_options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;

bool is_send(std::uint64_t number) {
  return number == SYS_write || number == SYS_writev || number == SYS_sendto ||
         number == SYS_sendmsg;
}

void go_on(pid_t thread, int signal) {
  ::ptrace(PTRACE_SYSCALL, thread, nullptr, reinterpret_cast<void*>(static_cast<long>(signal)));
}

}  // namespace

SendTrace::SendTrace(pid_t pid) : pid_(pid) {
  std::error_code ignored;
  const auto tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& entry : std::filesystem::directory_iterator(tasks, ignored)) {
    if (obstacle_.empty()) adopt(static_cast<pid_t>(std::stol(entry.path().filename())));
  }
  if (!obstacle_.empty()) detach();
  if (begun() && threads_.empty()) obstacle_ = "the process has ended";
}

SendTrace::~SendTrace() { detach(); }

void SendTrace::adopt(pid_t thread) {
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, reinterpret_cast<void*>(trace_options)) != 0) {
    // A thread may have ended meanwhile.
    if (errno != ESRCH) obstacle_ = std::strerror(errno);
    return;
  }
  threads_.insert(thread);
  ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
  int status = 0;
  ::waitpid(thread, &status, __WALL);
  go_on(thread, 0);
}

void SendTrace::detach() {
  for (const pid_t thread : threads_) {
    // Only a thread that has stopped can be let go.
    ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
    int status = 0;
    if (::waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status))
      ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
  }
  threads_.clear();
}

bool SendTrace::is_socket(int fd) const {
  struct stat facts {};
  const auto path = "/proc/" + std::to_string(pid_) + "/fd/" + std::to_string(fd);
  return ::stat(path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode);
}

std::vector<std::uint64_t> SendTrace::run(std::uint64_t bytes, Duration patience) {
  std::vector<std::uint64_t> sends;
  std::uint64_t total = 0;
  std::map<pid_t, bool> sending;  // threads within a send to a socket
  const TimePoint deadline = now() + patience;
  while (total < bytes && now() < deadline && !threads_.empty()) {
    int status = 0;
    const pid_t thread = ::waitpid(-1, &status, __WALL | WNOHANG | __WNOTHREAD);
    if (thread <= 0) {
      std::this_thread::sleep_for(100us);
      continue;
    }
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      threads_.erase(thread);
      continue;
    }
    threads_.insert(thread);
    int deliver = 0;
    if (WSTOPSIG(status) == stop_of_call) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, reinterpret_cast<void*>(sizeof info), &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        sending[thread] = is_send(info.entry.nr) && is_socket(static_cast<int>(info.entry.args[0]));
      } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
        if (sending[thread] && info.exit.rval > 0) {
          sends.push_back(static_cast<std::uint64_t>(info.exit.rval));
          total += sends.back();
        }
        sending[thread] = false;
      }
    } else if (status >> 16 == 0) {
      deliver = WSTOPSIG(status);  // a signal of the process's own
    }
    go_on(thread, deliver);
  }
  detach();
  return sends;
}

}  // namespace hyperpod::conformance::client
