// SPDX-License-Identifier: Apache-2.0
// Programs of this project, run by tests.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace hyperpod::client::testing {

/// Where the built programs are.
std::string program(const std::string& name);

/// A program under way. Killed on destruction if it still runs.
class Process {
 public:
  /// Starts `arguments[0]`; its standard output and error go to files that output() and errors()
  /// read. `input` is what it finds on standard input. Throws on failure.
  explicit Process(const std::vector<std::string>& arguments, const std::string& input = {},
                   const std::vector<std::string>& environment = {});
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  void kill(int signal);
  /// Waits for the end; the exit code, or minus the signal that ended it.
  int wait();

  std::string output() const { return read(1); }
  std::string errors() const { return read(2); }

 private:
  std::string read(int stream) const;

  pid_t pid_;
  std::optional<int> status_;
  int files_[3];  // stdin, stdout, stderr: unnamed
};

/// A standalone emulator with a segment of its own.
class StandaloneEmulator {
 public:
  /// Waits until it serves. A port of 0 picks a free one.
  StandaloneEmulator(const std::string& shm_name, const std::string& capacity, int port = 0);
  ~StandaloneEmulator();  ///< Ends it in order, so that its segment goes with it.

  void kill(int signal) { process_.kill(signal); }
  int wait() { return process_.wait(); }
  const std::string& url() const { return url_; }
  int port() const;

 private:
  Process process_;
  std::string url_;
};

}  // namespace hyperpod::client::testing
