// SPDX-License-Identifier: Apache-2.0
// Something that one thread waits for and another tells.
#pragma once

#include <semaphore.h>

namespace hyperpod::client {

/// The waiting thread sleeps at once: std::binary_semaphore of libstdc++ first yields the processor
/// again and again, which costs a busy machine more than what is waited for.
class Event {
 public:
  Event() { sem_init(&semaphore_, 0, 0); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { sem_destroy(&semaphore_); }

  /// Any thread. Whoever waits may destroy this at once.
  void happen() { sem_post(&semaphore_); }
  /// Returns once for each time that it has happened or will.
  void wait() {
    while (sem_wait(&semaphore_) != 0) {  // a signal handler has run
    }
  }

 private:
  sem_t semaphore_;
};

}  // namespace hyperpod::client
