// SPDX-License-Identifier: Apache-2.0
#include "http/worker.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/post.hpp>

namespace hyperpod::emulator::http {

Worker::Worker(const Clock& clock) : clock_(clock), wheel_(clock.now()), scratch_(256 * 1024) {
  sockets_ready_.assign(sockets_.descriptor());  // last: what fails before it must not close it
}

Worker::~Worker() {
  if (thread_.joinable()) join(std::chrono::steady_clock::now());
  sockets_ready_.release();  // it is the set's
  waits_for_sockets_ = false;
}

void Worker::start() {
  thread_ = std::thread([this] {
    run();
    ended_.set_value();
  });
  ::pthread_setname_np(thread_.native_handle(), "hyperpod-io");
}

void Worker::run() {
  io_.run();
  if (connections_.empty()) return;
  // Cut off by join(): each is still to come to its end.
  io_.restart();
  for (Managed& connection : connections_) connection.cut();
  io_.poll();
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

bool Worker::watch(int socket, base::SocketWatcher& watcher) {
  if (!sockets_.add(socket, watcher)) return false;
  wait_for_sockets();
  return true;
}

void Worker::unwatch(int socket, base::SocketWatcher& watcher) {
  sockets_.remove(socket, watcher);
  // What waits keeps the loop from its end.
  if (sockets_.empty() && waits_for_sockets_) {
    IoError ignored;
    sockets_ready_.cancel(ignored);
  }
}

void Worker::wait_for_sockets() {
  if (sockets_.empty() || std::exchange(waits_for_sockets_, true)) return;
  sockets_ready_.async_wait(sockets_ready_.wait_read, [this](IoError) {
    waits_for_sockets_ = false;
    tell_watchers();
    wait_for_sockets();
  });
}

// While many are ready at a time, looks again at once: to wait by way of Asio costs three system
// calls. Not for long, since what was posted, as the turns of bodies, waits meanwhile.
void Worker::tell_watchers() {
  constexpr int most_rounds = 4;
  constexpr std::size_t few = 4;
  for (int round = 0; round < most_rounds; ++round) {
    const auto told = sockets_.tell(
        [](base::SocketWatcher& watcher, std::uint32_t events) { watcher.ready(events); });
    if (told < few) return;
  }
}

void Worker::run_and_wait(const std::function<void()>& work) {
  std::promise<void> done;
  asio::post(io_, [&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

Awaitable<void> Worker::yield() {
  IoError ignored;
  co_await asio::post(io_.get_executor(), resume_with(ignored));
}

std::uint64_t Worker::turn_bytes() const {
  // A turn of each body takes some 2 ms together; with a hundred bodies, some 10.
  constexpr std::uint64_t together = 4 << 20;
  constexpr std::uint64_t least = 256 << 10;
  return std::max(least, together / std::max<std::uint64_t>(bodies_, 1));
}

void Worker::arm(core::Timer& timer, TimePoint due) {
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
