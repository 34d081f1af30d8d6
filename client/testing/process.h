// SPDX-License-Identifier: Apache-2.0
// Programs of this project, run by tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/base/child_process.h"

namespace hyperpod::client::testing {

/// Where the built programs are.
std::string program(const std::string& name);

/// Starts `arguments[0]`. `input` is what it finds on standard input. Throws on failure.
base::ChildProcess start(std::vector<std::string> arguments, std::string input = {},
                         std::vector<std::string> environment = {});

/// A standalone emulator with a segment of its own.
class StandaloneEmulator {
 public:
  /// A segment name that nobody else uses. What a killed test has left under such a name is removed
  /// by the next emulator that starts, and by nobody else: tests' own segments are locked otherwise
  /// than an emulator's (testing::TestSegment), so who clears those away cannot tell it to be
  /// alive.
  static std::string unique_name(std::string_view label);

  /// Waits until it serves. A port of 0 picks a free one.
  StandaloneEmulator(const std::string& shm_name, const std::string& capacity, int port = 0);
  StandaloneEmulator(const StandaloneEmulator&) = delete;
  StandaloneEmulator& operator=(const StandaloneEmulator&) = delete;
  ~StandaloneEmulator();  ///< Ends it in order, so that its segment goes with it.

  void kill(int signal) { process_.signal(signal); }
  int wait() { return process_.wait(); }
  const std::string& url() const { return url_; }
  int port() const;

 private:
  base::ChildProcess process_;
  std::string url_;
};

}  // namespace hyperpod::client::testing
