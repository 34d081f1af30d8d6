// Child processes: the servers that are measured. A child never outlives the benchmark: it gets
// SIGTERM when its owner goes, and from the kernel when the benchmark itself is killed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "error.h"
#include "file_descriptor.h"

namespace hyperpod::bench {

/// Memory and threads of a process at one moment, from /proc/PID/status.
struct Usage {
  std::uint64_t private_bytes = 0;  ///< RssAnon + RssFile: all that is resident but shared memory.
  std::uint64_t threads = 0;
};

class Child {
 public:
  /// Starts `arguments` (the first is the program, searched in PATH). Its standard output goes to
  /// read_line(), its standard error to a file that the messages of errors quote.
  static Result<Child> start(const std::vector<std::string>& arguments);

  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();  ///< Calls stop().

  /// The next line of the child's standard output, within `patience`.
  Result<std::string> read_line(std::chrono::milliseconds patience);

  pid_t pid() const { return pid_; }
  bool running() const;
  /// The last line of its standard error, behind ": "; empty if it wrote none.
  std::string last_words() const;
  /// CPU time so far, user and system, of all its threads and of the processes that it started and
  /// that still run; in the kernel's ticks, of 10 ms as a rule.
  Result<std::chrono::milliseconds> cpu_time() const;
  Result<Usage> usage() const;

  /// SIGTERM, then SIGKILL if the child has not ended after five seconds. Idempotent.
  void stop();

 private:
  Child(pid_t pid, FileDescriptor output, FileDescriptor errors);

  pid_t pid_;
  FileDescriptor output_;
  FileDescriptor errors_;
  std::string received_;
};

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
