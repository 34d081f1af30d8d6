// SPDX-License-Identifier: Apache-2.0
#include "memory/copy_threads.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "thread.h"

namespace hyperpod::client::memory {
namespace {

// A part is worth waking a thread for, and parts are many enough to even out.
constexpr std::size_t part_bytes = 1 << 20;

class Batch {
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

}  // namespace

struct CopyThreads::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Task> tasks;
  std::size_t idle = 0;  // threads, those included that have just been started
  bool stopping = false;
  std::vector<std::thread> threads;

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return stopping || !tasks.empty(); });
      if (tasks.empty()) return;
      Task task = std::move(tasks.front());
      tasks.pop_front();
      --idle;
      lock.unlock();
      task();
      task = {};
      lock.lock();
      ++idle;
    }
  }

  // One more thread, if more is to be done than there are idle ones. REQUIRES: mutex is held.
  void start_if_needed(const std::shared_ptr<State>& self, std::size_t max_threads) {
    if (threads.size() >= max_threads || tasks.size() <= idle) return;
    try {
      threads.reserve(threads.size() + 1);
      threads.push_back(start_without_signals([self] { self->run(); }));
      ++idle;
    } catch (const std::exception&) {  // the caller does without
    }
  }
};

CopyThreads::CopyThreads(std::size_t max_threads)
    : max_threads_(max_threads), state_(std::make_shared<State>()) {}

CopyThreads::~CopyThreads() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    threads.swap(state_->threads);
  }
  state_->changed.notify_all();
  for (std::thread& thread : threads) {
    thread.get_id() == std::this_thread::get_id() ? thread.detach() : thread.join();
  }
}

bool CopyThreads::post(Task& task) {
  {
    std::lock_guard lock(state_->mutex);
    try {
      state_->tasks.push_back(std::move(task));
    } catch (const std::bad_alloc&) {
      return false;
    }
    state_->start_if_needed(state_, max_threads_);
    if (state_->threads.empty()) {
      task = std::move(state_->tasks.back());
      state_->tasks.pop_back();
      return false;
    }
  }
  state_->changed.notify_one();
  return true;
}

void CopyThreads::for_each(std::size_t count, const std::function<void(std::size_t)>& work) {
  if (count == 0) return;
  const auto batch = std::make_shared<Batch>(count, work);
  {
    std::lock_guard lock(state_->mutex);
    try {
      for (std::size_t i = 0; i < std::min(count - 1, max_threads_); ++i) {
        state_->tasks.push_back([batch] { batch->take_part(); });
        state_->start_if_needed(state_, max_threads_);
      }
    } catch (const std::bad_alloc&) {  // those who have been asked are enough
    }
    if (state_->threads.empty()) state_->tasks.clear();
  }
  state_->changed.notify_all();
  batch->take_part();
  batch->wait();
}

void copy(std::span<std::byte> to, std::span<const std::byte> from, CopyThreads* threads) {
  if (threads == nullptr || from.size() < 2 * part_bytes) {
    if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
    return;
  }
  threads->for_each((from.size() + part_bytes - 1) / part_bytes, [&](std::size_t i) {
    const std::size_t begin = i * part_bytes;
    const std::size_t size = std::min(part_bytes, from.size() - begin);
    std::memcpy(to.data() + begin, from.data() + begin, size);
  });
}

}  // namespace hyperpod::client::memory
