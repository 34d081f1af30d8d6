// SPDX-License-Identifier: Apache-2.0
// Threads of the client's own.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace hyperpod::client {

/// Starts a thread that no signal of the process is delivered to. Throws what std::thread's
/// constructor throws where there is no thread or memory.
template <class Function>
std::thread start_without_signals(Function function) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct Restore {
    sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{before};
  return std::thread(std::move(function));
}

}  // namespace hyperpod::client
