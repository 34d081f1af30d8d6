// Threads that help a caller through a batch.
//
// for_each() may be called from any thread, and at once from several.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace hyperpod::client {

class WorkerPool {
 public:
  /// Starts threads as they are needed, at most `max_threads`, and keeps them.
  explicit WorkerPool(std::size_t max_threads) : max_threads_(max_threads) {}
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  /// REQUIRES: no for_each() is under way.
  ~WorkerPool();

  /// Calls work(0) … work(count - 1), on the caller's thread and on as many helpers as are free,
  /// and returns when all calls have. `work` must not throw.
  void for_each(std::size_t count, const std::function<void(std::size_t)>& work);

 private:
  class Batch;
  bool start_helper();
  void run_helper();

  const std::size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Batch>> calls_for_help_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hyperpod::client
