// SPDX-License-Identifier: Apache-2.0
// The signals that end a program, while it has something unfinished to remove.
#pragma once

#include <signal.h>

#include <atomic>
#include <stop_token>
#include <thread>

namespace hyperpod::client::cli {

/// Turns SIGINT, SIGTERM and SIGHUP into a stop while it lives, but for those that are ignored. To
/// be made where no other thread takes signals: those of the client take none.
class Signals {
 public:
  Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  /// Lets the signals do again what they did. One that came ends the program.
  ~Signals();

  std::stop_token token() const { return stop_.get_token(); }

 private:
  void wait(const std::stop_token& over);

  sigset_t signals_{};
  std::atomic<int> caught_{0};
  std::stop_source stop_;
  std::jthread waiting_;
};

}  // namespace hyperpod::client::cli
