#include "worker_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace hyperpod::client {

class WorkerPool::Batch {
 public:
  Batch(std::size_t count, const std::function<void(std::size_t)>& work)
      : count_(count), work_(work) {}

  // Takes part until no call is left to begin. `work_` lives until all have ended, and a helper
  // that comes later does not touch it.
  void take_part() {
    std::unique_lock lock(mutex_);
    while (begun_ < count_) {
      const std::size_t index = begun_++;
      lock.unlock();
      work_(index);
      lock.lock();
      if (++ended_ == count_) all_ended_.notify_all();
    }
  }

  void wait() {
    std::unique_lock lock(mutex_);
    all_ended_.wait(lock, [this] { return ended_ == count_; });
  }

 private:
  const std::size_t count_;
  const std::function<void(std::size_t)>& work_;
  std::mutex mutex_;
  std::condition_variable all_ended_;
  std::size_t begun_ = 0;
  std::size_t ended_ = 0;
};

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::for_each(std::size_t count, const std::function<void(std::size_t)>& work) {
  if (count == 0) return;
  const auto batch = std::make_shared<Batch>(count, work);
  const std::size_t helpers = std::min(count - 1, max_threads_);
  {
    std::lock_guard lock(mutex_);
    calls_for_help_.insert(calls_for_help_.end(), helpers, batch);
    while (threads_.size() < max_threads_ && calls_for_help_.size() > idle_) {
      if (!start_helper()) break;
    }
  }
  changed_.notify_all();
  batch->take_part();
  batch->wait();
}

// False if the system gives no thread; the caller then does without.
bool WorkerPool::start_helper() try {
  threads_.emplace_back([this] { run_helper(); });
  ++idle_;
  return true;
} catch (const std::system_error&) {
  return false;
}

void WorkerPool::run_helper() {
  std::unique_lock lock(mutex_);  // counted as idle from its start on
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !calls_for_help_.empty(); });
    if (stopping_) return;
    const auto batch = std::move(calls_for_help_.front());
    calls_for_help_.pop_front();
    --idle_;
    lock.unlock();
    batch->take_part();
    lock.lock();
    ++idle_;
  }
}

}  // namespace hyperpod::client
