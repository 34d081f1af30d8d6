// SPDX-License-Identifier: Apache-2.0
// Waits for the outcome of an asynchronous call.
#pragma once

#include <mutex>
#include <optional>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include "hyperpod/client/call.h"

namespace hyperpod::client {

/// A thread that waits for the outcome of its call, and can do some of the work meanwhile. Made and
/// used by that thread, except what says otherwise.
class WaitingThread {
 public:
  WaitingThread() = default;
  WaitingThread(const WaitingThread&) = delete;
  WaitingThread& operator=(const WaitingThread&) = delete;

  /// Has it do `task` before it takes the outcome. On the thread that is going to tell the outcome.
  /// Throws std::bad_alloc, and has handed over nothing then.
  void hand_over(Task task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    came_.release();
  }

 protected:
  ~WaitingThread() = default;

  void tell_outcome() {
    if (std::this_thread::get_id() == thread_) {
      has_outcome_ = true;
    } else {
      came_.release();
    }
  }
  void wait_for_outcome() {
    if (has_outcome_) return;
    // Told as often as there are tasks, and once for the outcome.
    while (true) {
      came_.acquire();
      std::unique_lock lock(mutex_);
      if (tasks_.empty()) return;
      Task task = std::move(tasks_.front());
      tasks_.erase(tasks_.begin());
      lock.unlock();
      task();
    }
  }

 private:
  const std::thread::id thread_ = std::this_thread::get_id();
  bool has_outcome_ = false;  // told by the thread itself
  std::counting_semaphore<> came_{0};
  std::mutex mutex_;         // guards tasks_
  std::vector<Task> tasks_;  // in order
};

template <class Outcome>
class Waiter final : public WaitingThread {
 public:
  /// To be called once, by any thread, and to outlive this by no call.
  Handler<Outcome> handler() {
    return [this](Outcome outcome) {
      outcome_.emplace(std::move(outcome));
      tell_outcome();
    };
  }

  Outcome wait() {
    wait_for_outcome();
    return *std::move(outcome_);
  }

 private:
  std::optional<Outcome> outcome_;
};

}  // namespace hyperpod::client
