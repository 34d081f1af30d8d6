// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <thread>
#include <utility>

#include "hyperpod/base/assertions.h"
#include "hyperpod/base/descriptor_limit.h"
#include "text/host_port.h"
#include "text/log.h"

namespace hyperpod::emulator::http {
namespace {

constexpr int backlog = 4096;
constexpr std::chrono::seconds finish_time{5};
constexpr std::chrono::milliseconds accept_pause{100};

std::vector<std::unique_ptr<Worker>> make_workers(const Options& options, const Clock& clock) {
  const unsigned count =
      options.threads > 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < count; ++i) workers.push_back(std::make_unique<Worker>(clock));
  return workers;
}

// The rest is for the admin port and the segment.
std::uint64_t descriptors_for_connections() {
  constexpr std::uint64_t most_kept = 64;
  const std::uint64_t limit = base::descriptor_limit();
  return limit - std::min(most_kept, limit / 8);
}

}  // namespace

/// Something to be done at a time; lives on the first worker.
struct Server::DelayedTask final : core::Timer {
  DelayedTask(Server& owner, std::function<void()> todo) : server(owner), work(std::move(todo)) {}
  void on_due() override {
    const auto todo = std::move(work);
    server.delayed_.remove_if([this](const DelayedTask& other) { return &other == this; });
    todo();
  }
  Server& server;
  std::function<void()> work;
};

Result<std::unique_ptr<Server>> Server::start(Parts parts) {
  const Options& options = parts.options;
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  if (options.tls.enabled()) {
    const auto host = text::parse_host_port(options.listen);
    auto context = make_server_context(options.tls, host ? host->host : "", options.log);
    if (!context) return tl::make_unexpected(context.error());
    server->tls_ = std::move(*context);
  }
  if (auto bound = server->listen(); !bound) return tl::make_unexpected(bound.error());
  server->run();
  return server;
}

Server::Server(Parts parts)
    : options_(parts.options),
      engine_(parts.engine),
      clock_(parts.clock),
      faults_(parts.faults),
      service_{.engine = parts.engine,
               .checkpoints = parts.checkpoints,
               .options = parts.options,
               .faults = parts.faults,
               .journal = parts.journal,
               .cause = std::move(parts.cause),
               .closed = [this] { connection_closed(); },
               .counters = counters_},
      workers_(make_workers(options_, clock_)),
      acceptor_(workers_.front()->io()),
      accept_again_(workers_.front()->io()),
      engine_wake_(workers_.front()->io()),
      most_descriptors_(descriptors_for_connections()) {}

Server::~Server() { stop(); }

Result<void> Server::listen() {
  const auto bound =
      http::listen(acceptor_, options_.listen, backlog, "", "choose another, with --listen");
  if (!bound) return tl::make_unexpected(bound.error());
  endpoint_ = *bound;
  IoError ignored;  // the socket was just opened
  acceptor_.non_blocking(true, ignored);
  return {};
}

void Server::run() {
  for (const auto& worker : workers_) worker->start();  // throws where no thread is to be had
  engine_.set_alarm([this] { engine_alarm(); });
  asio::co_spawn(workers_.front()->io(), accept_connections(), asio::detached);
  clock_.attach(*this);
  running_ = true;
}

std::string Server::url() const { return url_of(tls_ ? "https" : "http", endpoint_); }

Awaitable<void> Server::accept_connections() {
  bool told = false;
  while (true) {
    IoError ec;
    co_await acceptor_.async_wait(Acceptor::wait_read, resume_with(ec));
    if (!acceptor_.is_open()) co_return;
    if (!ec && accept_all()) {
      told = false;
      continue;
    }
    if (!std::exchange(told, true)) {
      text::log(
          options_.log, base::LogLevel::warn,
          "new connections wait: {} are open, and descriptors (RLIMIT_NOFILE is {}) or memory "
          "are short",
          counters_.open.load(), base::descriptor_limit());
    }
    // Short of descriptors or memory: others' connections must end before it is worth trying again.
    accept_again_.expires_after(accept_pause);
    co_await accept_again_.async_wait(resume_with(ec));
    if (!acceptor_.is_open()) co_return;
  }
}

// Whether a connection more leaves enough descriptors for the admin port, whose health checks are
// to be answered however many connections there are here, and for the segment. The next descriptor
// is the lowest that is free.
bool Server::may_accept() {
  if (!crowded_) return true;
  const base::FileDescriptor next(::fcntl(acceptor_.native_handle(), F_DUPFD_CLOEXEC, 0));
  crowded_ = !next || static_cast<std::uint64_t>(next.get()) >= most_descriptors_;
  return !crowded_;
}

bool Server::accept_all() {
  while (true) {
    if (!may_accept()) return false;
    // Not by Asio, which would wait for it in its own set.
    base::FileDescriptor accepted(
        ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!accepted && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (!accepted && (errno == ECONNABORTED || errno == EINTR)) continue;
    if (!accepted) return false;
    crowded_ = static_cast<std::uint64_t>(accepted.get()) >= most_descriptors_;
    Worker& worker = *workers_[next_worker_];
    next_worker_ = (next_worker_ + 1) % workers_.size();
    asio::post(worker.io(), [this, &worker, accepted = std::move(accepted)]() mutable {
      decide(worker, std::move(accepted), ++counters_.numbered);
      ++counters_.accepted;  // now, so that whoever sees the count sees what became of it
    });
  }
}

void Server::decide(Worker& worker, base::FileDescriptor socket, std::uint64_t number) {
  const auto limit = options_.limits.connections;
  if (limit > 0 && counters_.open >= limit) return;
  std::optional<FiredFault> fault;
  if (!faults_.empty()) {
    FaultSubject subject;
    subject.operation = FaultOperation::connect;
    subject.connection = number;
    subject.open_connections = counters_.open + 1;
    fault = faults_.decide(subject);
  }
  // One that is not served takes no place, not for a moment: another worker may be looking for one.
  if (fault && fault->effects.leave_unaccepted) {
    std::lock_guard lock(unaccepted_mutex_);
    unaccepted_.push_back({&worker, std::move(socket), number});
  } else if (!(fault && fault->effects.connections_above) && claim_connection()) {
    open_session(worker, std::move(socket), number, std::move(fault));
  }
}

bool Server::claim_connection() {
  const auto limit = options_.limits.connections;
  auto open = counters_.open.load();
  do {
    if (limit > 0 && open >= limit) return false;
  } while (!counters_.open.compare_exchange_weak(open, open + 1));
  return true;
}

void Server::connection_closed() {
  // Under the lock, so that the place goes to one that waits already, and not to one that comes
  // when the place has long been seen to be free.
  std::lock_guard lock(unaccepted_mutex_);
  --counters_.open;
  serve_unaccepted();
}

void Server::serve_unaccepted() {
  if (unaccepted_.empty()) return;
  Unaccepted next = std::move(unaccepted_.front());
  unaccepted_.pop_front();
  Worker& worker = *next.worker;
  asio::post(worker.io(),
             [this, &worker, number = next.number, socket = std::move(next.socket)]() mutable {
               if (worker.finishing()) return;
               if (!claim_connection()) {
                 // Somebody else was faster; it waits for the next place, which may be free by now.
                 std::lock_guard again(unaccepted_mutex_);
                 unaccepted_.push_front({&worker, std::move(socket), number});
                 if (counters_.open < options_.limits.connections) serve_unaccepted();
                 return;
               }
               open_session(worker, std::move(socket), number, std::nullopt);
             });
}

void Server::open_session(Worker& worker, base::FileDescriptor socket, std::uint64_t number,
                          std::optional<FiredFault> fault) {
  const std::uint64_t open = counters_.open;
  auto peak = counters_.peak.load();
  while (peak < open && !counters_.peak.compare_exchange_weak(peak, open)) {
  }
  auto transport = tls_ ? make_tls_transport(worker, std::move(socket), tls_->context)
                        : make_plain_transport(worker, std::move(socket));
  const auto session = std::make_shared<Session>(service_, worker, std::move(transport), number);
  if (fault) session->meet(*fault);
  session->start();
}

void Server::cut_connections() {
  ++counters_.restarts;
  {
    std::lock_guard lock(unaccepted_mutex_);
    unaccepted_.clear();
  }
  for (const auto& worker : workers_) worker->cut_connections();
}

void Server::after(Duration time, std::function<void()> work) {
  Worker& worker = *workers_.front();
  // At once on the worker itself: what others post there meanwhile would overtake it.
  asio::dispatch(worker.io(), [this, &worker, time, work = std::move(work)]() mutable {
    worker.arm(delayed_.emplace_back(*this, std::move(work)), clock_.now() + time);
  });
}

void Server::when_readable(int descriptor, std::function<void()> work) {
  workers_.front()->run_and_wait([&] {
    HYPERPOD_REQUIRE(!watched_);
    watched_.emplace(workers_.front()->io(), descriptor);
    wait_for_watched(std::move(work));
  });
}

void Server::wait_for_watched(std::function<void()> work) {
  watched_->async_wait(asio::posix::stream_descriptor::wait_read,
                       [this, work = std::move(work)](IoError ec) mutable {
                         if (ec) return;
                         work();
                         wait_for_watched(std::move(work));
                       });
}

void Server::stop() {
  std::lock_guard lock(stop_mutex_);
  if (!std::exchange(running_, false)) return;
  clock_.detach(*this);
  workers_.front()->run_and_wait([this] {
    stopping_ = true;
    IoError ignored;
    acceptor_.close(ignored);
    accept_again_.cancel();
    engine_wake_.cancel();
    if (watched_) watched_->release();
    delayed_.clear();
  });

  const auto deadline = std::chrono::steady_clock::now() + finish_time;
  for (const auto& worker : workers_) worker->finish();
  for (const auto& worker : workers_) worker->join(deadline);
  unaccepted_.clear();
}

std::uint64_t Server::requests() const {
  std::uint64_t all = 0;
  for (const auto& worker : workers_) all += worker->requests();
  return all;
}

void Server::add_to(Statistics& statistics) const {
  const std::uint64_t uncounted = uncounted_requests_;  // first: no more than are counted below
  statistics.requests = requests() - uncounted;
  statistics.requests_rejected = counters_.rejected;
  statistics.open_connections = counters_.open;
  statistics.peak_connections = counters_.peak;
  statistics.accepted_connections = counters_.accepted;
  statistics.leases_abandoned = counters_.abandoned;
}

void Server::reset_counters() {
  uncounted_requests_ = requests();
  counters_.rejected = 0;
  counters_.peak = counters_.open.load();
  counters_.abandoned = 0;
}

// --- Time
// -----------------------------------------------------------------------------------------

void Server::engine_alarm() {
  if (!clock_.runs_by_itself()) return;
  asio::post(workers_.front()->io(), [this] { schedule_engine(); });
}

void Server::schedule_engine() {
  const auto due = engine_.next_due();
  if (!due || stopping_) return;
  engine_wake_.expires_after(*due - clock_.now());
  engine_wake_.async_wait([this](IoError ec) {
    if (!ec) engine_.run_due();  // rings the alarm for what is due next
  });
}

std::optional<TimePoint> Server::next_due() const {
  auto earliest = engine_.next_due();
  for (const auto& worker : workers_) {
    worker->run_and_wait([&] {
      const auto due = worker->next_due();
      if (due && (!earliest || *due < *earliest)) earliest = due;
    });
  }
  return earliest;
}

void Server::run_due(TimePoint) {
  engine_.run_due();
  engine_alarm();  // a clock that has jumped makes the one that is set too late
  for (const auto& worker : workers_) {
    worker->run_and_wait([&] { worker->run_due(); });
  }
  // What was decided travels through the event loops; each round lets them take a step. A peer that
  // does not read its response must not stop the clock, so the rounds are bounded.
  constexpr int most_rounds = 1000;
  for (int round = 0; counters_.unsettled > 0 && round < most_rounds; ++round) {
    for (const auto& worker : workers_) {
      worker->run_and_wait([] {});
    }
  }
}

}  // namespace hyperpod::emulator::http
