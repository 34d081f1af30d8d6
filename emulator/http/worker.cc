// SPDX-License-Identifier: Apache-2.0
#include "http/worker.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/post.hpp>

namespace hyperpod::emulator::http {

Worker::Worker(const Clock& clock) : clock_(clock), wheel_(clock.now()), scratch_(256 * 1024) {}

Worker::~Worker() {
  if (thread_.joinable()) join(std::chrono::steady_clock::now());
}

void Worker::start() {
  thread_ = std::thread([this] {
    io_.run();
    ended_.set_value();
  });
  ::pthread_setname_np(thread_.native_handle(), "hyperpod-io");
}

void Worker::finish() {
  asio::post(io_, [this] {
    finishing_ = true;
    work_.reset();
    wake_.cancel();
    // finish() only marks and cancels: no connection leaves the list during the loop.
    for (Managed& connection : connections_) connection.finish();
  });
}

void Worker::join(std::chrono::steady_clock::time_point deadline) {
  if (ended_.get_future().wait_until(deadline) == std::future_status::timeout) io_.stop();
  thread_.join();
}

void Worker::cut_connections() {
  asio::post(io_, [this] {
    for (Managed& connection : connections_) connection.cut();
  });
}

void Worker::run_and_wait(const std::function<void()>& work) {
  std::promise<void> done;
  asio::post(io_, [&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

std::uint64_t Worker::turn_bytes() const {
  // A turn of each body takes some 2 ms together; with a hundred bodies, some 10.
  constexpr std::uint64_t together = 4 << 20;
  constexpr std::uint64_t least = 256 << 10;
  return std::max(least, together / std::max<std::uint64_t>(bodies_, 1));
}

void Worker::arm(core::Timer& timer, Duration after) {
  const TimePoint due = clock_.now() + after;
  wheel_.arm(timer, due);
  if (!wakes_at_ || due < *wakes_at_) schedule();
}

void Worker::run_due() {
  wakes_at_.reset();  // a clock that has jumped makes it too late
  wheel_.run_due(clock_.now());
  schedule();
}

void Worker::schedule() {
  if (!clock_.runs_by_itself() || finishing_) return;
  const auto due = wheel_.next_due();
  if (!due || (wakes_at_ && *wakes_at_ <= *due)) return;
  wakes_at_ = due;
  wake_.expires_after(*due - clock_.now());
  wake_.async_wait([this](IoError ec) {
    if (!ec) run_due();
  });
}

}  // namespace hyperpod::emulator::http
