// SPDX-License-Identifier: Apache-2.0
// Child processes, the servers that are measured, and what they use.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "error.h"
#include "hyperpod/base/child_process.h"

namespace hyperpod::bench {

/// Memory and threads of a process at one moment, from /proc/PID/status.
struct Usage {
  std::uint64_t private_bytes = 0;  ///< RssAnon + RssFile: all that is resident but shared memory.
  std::uint64_t threads = 0;
};

struct CpuTime {
  std::chrono::milliseconds user{0};
  std::chrono::milliseconds system{0};
};

/// Starts a program, which gets SIGTERM when the benchmark itself is killed. Standard output goes
/// to read_line().
Result<base::ChildProcess> start(const std::vector<std::string>& arguments);

/// CPU time so far of a process with all its threads, and of the processes that it started and that
/// still run; in the kernel's ticks, of 10 ms as a rule.
Result<CpuTime> cpu_time(pid_t pid);
/// CPU time so far of those threads of a process that have this name, to the kernel's nanosecond.
Result<std::chrono::milliseconds> cpu_time_of(pid_t pid, const std::string& thread);
Result<Usage> usage(pid_t pid);

/// True if the program can be started and ends with status 0.
bool runs(const std::vector<std::string>& arguments);

/// Where `name` is found in PATH or in /usr/sbin; empty if nowhere.
std::string find_program(const std::string& name);

/// The folder in which the running program lies.
std::string own_folder();

/// A folder of its own in the system's temporary directory, removed with all in it at the end.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create();
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace hyperpod::bench
