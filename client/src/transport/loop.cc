// SPDX-License-Identifier: Apache-2.0
#include "transport/loop.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <limits>
#include <semaphore>
#include <string>
#include <utility>

namespace hyperpod::client::transport {
namespace {

constexpr Duration::rep never = std::numeric_limits<Duration::rep>::max();

thread_local const Loop* loop_of_this_thread = nullptr;

// Starts a thread that no signal of the process is delivered to.
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

}  // namespace

Result<std::shared_ptr<Loop>> Loop::start(std::shared_ptr<Clock> clock) try {
  std::shared_ptr<Loop> loop(new Loop(std::move(clock)));
  loop->clock_->attach(*loop);
  try {
    loop->thread_ = start_without_signals([loop] { loop->run(); });
  } catch (...) {
    loop->clock_->detach(*loop);
    throw;
  }
  return loop;
} catch (const std::exception& error) {
  return tl::unexpected(
      Error{ErrorCode::out_of_resources,
            std::string("the client's I/O thread cannot be started (") + error.what() +
                "); check the limits of threads (pids limit, RLIMIT_NPROC), open files "
                "(RLIMIT_NOFILE) and memory"});
}

// One thread uses the sockets, so they need no locks of Asio's.
Loop::Loop(std::shared_ptr<Clock> clock)
    : clock_(std::move(clock)),
      context_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
      work_(context_.get_executor()),
      earliest_(never),
      alarm_(context_),
      alarm_at_(TimePoint::max()) {}

bool Loop::on_thread() const noexcept { return loop_of_this_thread == this; }

void Loop::run() {
  loop_of_this_thread = this;
  context_.run();
  {
    std::lock_guard lock(inbox_mutex_);
    ended_ = true;
  }
  run_tasks();  // a run_due() may be waiting for its own
  clock_->detach(*this);
}

void Loop::stop() {
  post([this] {
    work_.reset();
    alarm_.cancel();
    alarm_at_ = TimePoint::min();  // is not set again
  });
  if (on_thread()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

bool Loop::post(Task task) {
  {
    std::lock_guard lock(inbox_mutex_);
    if (ended_) return false;
    inbox_.push_back(std::move(task));
    if (inbox_noticed_) return true;
    inbox_noticed_ = true;
  }
  asio::post(context_, [this] { run_tasks(); });
  return true;
}

void Loop::run_tasks() {
  {
    std::lock_guard lock(inbox_mutex_);
    std::swap(tasks_, inbox_);
    inbox_noticed_ = false;
  }
  for (Task& task : tasks_) task();
  tasks_.clear();
}

void Loop::retire(std::shared_ptr<void> object) {
  retired_.push_back(std::move(object));
  if (retired_.size() > 1) return;
  asio::post(context_, [this] { std::exchange(retired_, {}).clear(); });
}

void Loop::fire_due() {
  const TimePoint now = clock_->now();
  while (!armed_.empty() && armed_.begin()->first <= now) {
    Timer* const timer = armed_.begin()->second;
    timer->cancel();
    const auto function = timer->function_;  // may be the end of its timer
    function();
  }
}

void Loop::set_alarm() {
  const TimePoint earliest = armed_.empty() ? TimePoint::max() : armed_.begin()->first;
  earliest_.store(earliest == TimePoint::max() ? never : earliest.time_since_epoch().count(),
                  std::memory_order_release);
  if (!clock_->runs_by_itself() || earliest >= alarm_at_) return;
  alarm_at_ = earliest;
  // The system's timer knows no times beyond its own range.
  constexpr Duration longest = std::chrono::hours{24};
  alarm_.expires_after(std::clamp(earliest - clock_->now(), Duration::zero(), longest));
  alarm_.async_wait([this](const IoError& error) {
    if (error) return;
    alarm_at_ = TimePoint::max();
    fire_due();
    set_alarm();
  });
}

std::optional<TimePoint> Loop::next_due() const {
  const auto earliest = earliest_.load(std::memory_order_acquire);
  if (earliest == never) return std::nullopt;
  return TimePoint(Duration(earliest));
}

void Loop::run_due(TimePoint) {
  std::binary_semaphore done(0);
  const bool posted = post([this, &done] {
    fire_due();
    done.release();
  });
  if (posted) done.acquire();
}

void Timer::arm(TimePoint due) {
  if (armed_) loop_.armed_.erase(place_);
  place_ = loop_.armed_.emplace(due, this);
  armed_ = true;
  loop_.set_alarm();
}

void Timer::cancel() {
  if (!armed_) return;
  armed_ = false;
  loop_.armed_.erase(place_);
  loop_.set_alarm();
}

}  // namespace hyperpod::client::transport
