// SPDX-License-Identifier: Apache-2.0
#include "transport/loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>
#include <limits>
#include <new>
#include <semaphore>
#include <string>
#include <system_error>
#include <utility>

#include "fork.h"
#include "thread.h"

namespace hyperpod::client::transport {
namespace {

constexpr Duration::rep never = std::numeric_limits<Duration::rep>::max();

thread_local const Loop* loop_of_this_thread = nullptr;

constexpr std::size_t place_bytes = 160;

// Gives one allocation its place, again and again.
template <class T>
struct PlaceAllocator {
  using value_type = T;

  explicit PlaceAllocator(void* bytes) : place(bytes) {}
  template <class U>
  // Implicit, as Asio wants. NOLINTNEXTLINE(google-explicit-constructor)
  PlaceAllocator(const PlaceAllocator<U>& other) : place(other.place) {}

  T* allocate(std::size_t) {
    static_assert(sizeof(T) <= place_bytes);
    return static_cast<T*>(place);
  }
  void deallocate(T*, std::size_t) {}
  template <class U>
  bool operator==(const PlaceAllocator<U>& other) const {
    return place == other.place;
  }

  void* place;
};

}  // namespace

struct Loop::Wake {
  static_assert(sizeof(Place) == place_bytes);
  using allocator_type = PlaceAllocator<std::byte>;
  allocator_type get_allocator() const noexcept {
    return allocator_type(loop->wake_place_.bytes.data());
  }
  void operator()() const { loop->run_tasks(); }
  Loop* loop;
};

struct Loop::SocketsReady {
  using allocator_type = PlaceAllocator<std::byte>;
  allocator_type get_allocator() const noexcept {
    return allocator_type(loop->sockets_place_.bytes.data());
  }
  void operator()(const IoError&) const {
    loop->waits_for_sockets_ = false;
    loop->tell_watchers();
    loop->wait_for_sockets();
  }
  Loop* loop;
};

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
      sockets_ready_(context_),
      work_(context_.get_executor()),
      earliest_(never) {
  // Last: what fails before it must not close the set's descriptor.
  sockets_ready_.assign(sockets_.descriptor());
}

Loop::~Loop() { sockets_ready_.release(); }

bool Loop::on_thread() const noexcept { return loop_of_this_thread == this; }

void Loop::run() {
  loop_of_this_thread = this;
  while (!context_.stopped()) {
    try {
      take_turn();
    } catch (const std::bad_alloc&) {  // whoever waits has a deadline
    }
    while (!retired_.empty()) {
      // Its end may retire others.
      const auto object = std::move(retired_.back());
      retired_.pop_back();
    }
  }
  {
    std::lock_guard lock(inbox_mutex_);
    ended_ = true;
  }
  run_tasks();  // a run_due() may be waiting for its own
  clock_->detach(*this);
}

// Does one thing that is to be done, or waits until there is one.
void Loop::take_turn() {
  time_.reset();
  std::optional<Duration> left;  // until the first timer is due
  if (!armed_.empty() && clock_->runs_by_itself()) {
    left = armed_.begin()->due_ - clock_->now();
    if (*left <= Duration::zero()) fire_due();
  }
  if (context_.poll_one() > 0) return;
  // Threads that have just been woken have the next task soon: cheaper than to sleep and be woken.
  std::this_thread::yield();
  if (left) {
    // Asio knows no times beyond its own range.
    constexpr Duration longest = std::chrono::hours{24};
    context_.run_one_for(std::clamp(*left, Duration::zero(), longest));
  } else {
    context_.run_one();
  }
}

void Loop::stop() {
  insist([this] { work_.reset(); });
  if (on_thread()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

bool Loop::post(Task&& task, Order order) {
  {
    std::lock_guard lock(inbox_mutex_);
    if (ended_) return false;
    inbox_[static_cast<std::size_t>(order)].push_back(std::move(task));
    if (inbox_noticed_) return true;
    inbox_noticed_ = true;
  }
  asio::post(context_, Wake{this});
  return true;
}

void Loop::run_tasks() {
  {
    std::lock_guard lock(inbox_mutex_);
    std::swap(tasks_, inbox_);
    inbox_noticed_ = false;
  }
  for (auto& tasks : tasks_) {
    for (Task& task : tasks) {
      time_.reset();
      try {
        task();
      } catch (const std::bad_alloc&) {  // as in run()
      }
    }
    tasks.clear();
  }
}

bool Loop::watch(int socket, base::SocketWatcher& watcher) {
  if (!sockets_.add(socket, watcher)) return false;
  wait_for_sockets();
  return true;
}

void Loop::unwatch(int socket, base::SocketWatcher& watcher) noexcept {
  sockets_.remove(socket, watcher);
  // What waits keeps the thread from its end.
  if (sockets_.empty() && waits_for_sockets_) {
    IoError ignored;
    sockets_ready_.cancel(ignored);
  }
}

void Loop::wait_for_sockets() {
  if (sockets_.empty() || std::exchange(waits_for_sockets_, true)) return;
  sockets_ready_.async_wait(sockets_ready_.wait_read, SocketsReady{this});
}

void Loop::tell_watchers() {
  sockets_.tell([this](base::SocketWatcher& watcher, std::uint32_t events) {
    time_.reset();
    try {
      watcher.ready(events);
    } catch (const std::bad_alloc&) {  // as in run(); the others are to be told all the same
    }
  });
}

void Loop::retire(std::shared_ptr<void> object) noexcept {
  if (!on_thread()) return;
  try {
    retired_.push_back(std::move(object));
  } catch (const std::bad_alloc&) {
    keep_forever(std::move(object));
  }
}

void Loop::fire_due() {
  const TimePoint now = clock_->now();
  while (!armed_.empty() && armed_.begin()->due_ <= now) {
    Timer& timer = *armed_.begin();
    timer.cancel();
    const auto function = timer.function_;  // may be the end of its timer
    function();
  }
}

void Loop::note_earliest() {
  earliest_.store(armed_.empty() ? never : armed_.begin()->due_.time_since_epoch().count(),
                  std::memory_order_release);
}

std::optional<TimePoint> Loop::next_due() const {
  const auto earliest = earliest_.load(std::memory_order_acquire);
  if (earliest == never) return std::nullopt;
  return TimePoint(Duration(earliest));
}

void Loop::run_due(TimePoint) {
  std::binary_semaphore done(0);
  const bool posted = post([this, &done] {
    struct Done {
      std::binary_semaphore& semaphore;
      ~Done() { semaphore.release(); }
    } last{done};
    fire_due();
  });
  if (posted) done.acquire();
}

Timer::Timer(Loop& loop, std::function<void()> function)
    : loop_(loop), function_(std::move(function)) {}

void Timer::arm(TimePoint due) {
  cancel();
  due_ = due;
  loop_.armed_.insert(*this);
  loop_.note_earliest();
}

void Timer::cancel() {
  if (!is_armed()) return;
  loop_.armed_.erase(loop_.armed_.iterator_to(*this));
  loop_.note_earliest();
}

}  // namespace hyperpod::client::transport
