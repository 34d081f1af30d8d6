// SPDX-License-Identifier: Apache-2.0
// A child process, started as if its command had been typed into a shell: default signal
// dispositions, no signal blocked, the descriptor limit that this process was started with, and no
// descriptors but its own three. It never outlives its owner.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/base/error.h"
#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::base {

struct ChildOptions {
  /// The program, searched in PATH, and its arguments. Exactly one of `arguments` and `command`.
  std::vector<std::string> arguments = {};
  /// A command line for /bin/sh.
  std::string command = {};
  /// "NAME=value", added to this process's environment or in place of what stands there.
  std::vector<std::string> environment = {};
  /// What the child finds on its standard input before its end; nullopt makes a pipe that
  /// ChildProcess::input() writes to.
  std::optional<std::string> input = std::string();
  /// True: standard output goes into a pipe that ChildProcess::output_pipe() and read_line() read.
  /// False: into an unnamed file that output() reads at any time.
  bool pipe_output = false;
  /// The child leads a process group of its own, and signals from here reach the whole group.
  bool own_group = false;
  /// The child may not use root's right to pass over file modes, where it has it.
  bool obey_modes = false;
  /// What the kernel sends the child when the thread that started it ends; 0 for nothing.
  int signal_at_parents_end = SIGKILL;
};

/// Move-only. Not thread-safe, except that signal() and pid() may be called from any thread.
class ChildProcess {
 public:
  /// Errors: not_found (no such program), out_of_resources, failed.
  static Result<ChildProcess> start(const ChildOptions& options);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  ///< Kills it if it still runs, and collects it.

  pid_t pid() const { return pid_; }
  /// Whether it has not ended yet.
  bool running();
  /// Sends `number` to the child (to its group, with own_group) unless it has been collected.
  void signal(int number);
  /// Waits until it has ended, for at most `patience`. The exit code, or minus the number of the
  /// signal that ended it; nullopt if it still runs.
  std::optional<int> wait_for(std::chrono::milliseconds patience);
  /// Waits without a limit.
  int wait();
  /// SIGTERM, then SIGKILL after `patience`. As wait(). Idempotent.
  int stop(std::chrono::milliseconds patience = std::chrono::seconds{5});

  /// The write end of its standard input, with ChildOptions::input not given; close it with
  /// reset().
  FileDescriptor& input() { return input_; }
  /// The read end of its standard output, with pipe_output.
  const FileDescriptor& output_pipe() const { return output_; }
  /// The next line of its standard output, without its end, within `patience`; with pipe_output.
  /// Errors: timed_out, closed; both quote the last line of standard error.
  Result<std::string> read_line(std::chrono::milliseconds patience);
  /// All of its standard output so far; without pipe_output.
  std::string output() const;
  /// All of its standard error so far.
  std::string errors() const;
  /// The last line of its standard error; empty if it wrote none. Of any size, and unchanged.
  std::string last_error_line() const;

 private:
  ChildProcess() = default;

  pid_t pid_ = -1;
  bool own_group_ = false;
  std::optional<int> status_;
  FileDescriptor process_;  // a pidfd: readable once the child has ended
  FileDescriptor input_;
  FileDescriptor output_;
  FileDescriptor errors_;
  std::string received_;
};

}  // namespace hyperpod::base
