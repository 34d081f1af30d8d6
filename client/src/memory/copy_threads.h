// SPDX-License-Identifier: Apache-2.0
// Threads that copy bytes out of the segment: for asynchronous calls, so that the I/O thread does
// not, and beside a caller where a copy may use several threads.
//
// Every member may be called from any thread, at once from several.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "hyperpod/client/call.h"

namespace hyperpod::client::memory {

class CopyThreads {
 public:
  /// Starts threads as they are needed, at most `max_threads`, and keeps them.
  explicit CopyThreads(std::size_t max_threads);
  CopyThreads(const CopyThreads&) = delete;
  CopyThreads& operator=(const CopyThreads&) = delete;
  /// Waits for what is under way, unless it is called on one of the threads.
  ~CopyThreads();

  /// Has a thread do `task`; false, and `task` as it was, if there is none and the system gives
  /// none.
  bool post(Task& task);

  /// Calls work(0) … work(count - 1), on the caller's thread and on as many of these as are free,
  /// and returns when all calls have. `work` must not throw.
  void for_each(std::size_t count, const std::function<void(std::size_t)>& work);

 private:
  struct State;
  const std::size_t max_threads_;
  const std::shared_ptr<State> state_;  // also of the threads
};

/// Copies all of `from` to `to`, which is as long; with `threads`, large copies are shared among
/// them and the caller.
void copy(std::span<std::byte> to, std::span<const std::byte> from, CopyThreads* threads);

}  // namespace hyperpod::client::memory
