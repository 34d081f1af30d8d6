// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <pthread.h>

namespace hyperpod::client::cli {
namespace {

// Wakes the thread that waits. By default it does nothing, so that nobody misses it.
constexpr int wake = SIGURG;

}  // namespace

Signals::Signals() {
  sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) sigaddset(&signals_, signal);
  }
  sigaddset(&signals_, wake);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  waiting_ = std::jthread([this](const std::stop_token& over) { wait(over); });
}

Signals::~Signals() {
  waiting_.request_stop();
  pthread_kill(waiting_.native_handle(), wake);
  waiting_.join();
  if (caught_ != 0) raise(caught_);
  pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
}

void Signals::wait(const std::stop_token& over) {
  while (!over.stop_requested()) {
    const int signal = sigwaitinfo(&signals_, nullptr);
    if (signal <= 0 || signal == wake) continue;
    caught_ = signal;
    stop_.request_stop();
    return;
  }
}

}  // namespace hyperpod::client::cli
