// SPDX-License-Identifier: Apache-2.0
#include "admin/admin_server.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "admin/access.h"
#include "admin/endpoints.h"
#include "admin/feed.h"
#include "admin/lane.h"
#include "admin/session.h"
#include "http/listener.h"
#include "http/worker.h"
#include "text/log.h"

namespace hyperpod::emulator::admin {
namespace {

namespace asio = http::asio;

constexpr int backlog = 512;
constexpr std::chrono::seconds finish_time{1};
constexpr std::chrono::milliseconds accept_pause{100};
// Changes of the journal come by the ten thousand; those who wait for some look this often.
constexpr std::chrono::milliseconds journal_pause{1};
constexpr std::chrono::milliseconds tick_period{500};

}  // namespace

class AdminServer::Impl {
 public:
  explicit Impl(Control& control)
      : control_(control),
        access_(control.options().admin_hosts, control.options().admin_token),
        feed_(std::make_shared<Feed>(control)),
        endpoints_(control, feed_),
        port_(access_, endpoints_),
        worker_(clock_),
        acceptor_(worker_.io()),
        accept_again_(worker_.io()),
        journal_timer_(worker_.io()),
        tick_timer_(worker_.io()),
        reads_(std::in_place, "hyperpod-reads"),
        changes_(std::in_place, "hyperpod-change") {
    port_.listened = [this] { attend(); };
  }

  ~Impl() { stop(); }

  Result<void> listen(const std::string& address);
  void run();
  void stop();

  std::string url;
  bool loopback = false;

 private:
  http::Awaitable<void> accept_connections();
  void serve(base::FileDescriptor socket);
  void attend();
  bool anybody_listens(Signal signal);
  void look_at_journal_soon();
  void tick_later();

  Control& control_;
  const RealClock clock_;  // limits hold whatever the emulator's clock does
  const Access access_;
  const std::shared_ptr<Feed> feed_;
  Endpoints endpoints_;
  Port port_;
  http::Worker worker_;
  // These live on the worker.
  http::Acceptor acceptor_;
  http::SystemTimer accept_again_;
  http::SystemTimer journal_timer_;
  http::SystemTimer tick_timer_;
  bool watching_journal_ = false;
  bool ticking_ = false;
  bool stopping_ = false;

  std::atomic<bool> journal_changed_{false};
  bool running_ = false;
  // What they still do when they end, they tell the worker.
  std::optional<Lane> reads_;
  std::optional<Lane> changes_;
};

Result<void> AdminServer::Impl::listen(const std::string& address) {
  const auto endpoint = http::listen(acceptor_, address, backlog, " for the admin port",
                                     "choose another, or off, with --admin");
  if (!endpoint) return tl::make_unexpected(endpoint.error());
  loopback = endpoint->address().is_loopback();
  url = http::url_of("http", *endpoint);
  return {};
}

void AdminServer::Impl::run() {
  asio::co_spawn(worker_.io(), accept_connections(), asio::detached);
  worker_.start();
  worker_.run_and_wait([] { ::pthread_setname_np(::pthread_self(), "hyperpod-admin"); });
  running_ = true;
}

http::Awaitable<void> AdminServer::Impl::accept_connections() {
  while (true) {
    http::Socket socket(worker_.io());
    http::IoError ec;
    co_await acceptor_.async_accept(socket, http::resume_with(ec));
    if (!acceptor_.is_open()) co_return;
    if (ec) {
      // Out of descriptors or memory: others' connections must end before it is worth trying again.
      accept_again_.expires_after(accept_pause);
      co_await accept_again_.async_wait(http::resume_with(ec));
      continue;
    }
    http::close_on_exec(socket.native_handle());
    serve(base::FileDescriptor(socket.release(ec)));
  }
}

void AdminServer::Impl::serve(base::FileDescriptor socket) {
  if (port_.counters.open >= Port::most_connections) {
    if (port_.unserved.empty()) return;  // closed with the socket
    Session& first = port_.unserved.front();
    port_.unserved.pop_front();
    first.cut();
  }
  const auto session = std::make_shared<Session>(
      port_, worker_, *reads_, *changes_, http::make_plain_transport(worker_, std::move(socket)));
  session->start();
}

// --- Signals ------------------------------------------------------------------------------------

bool AdminServer::Impl::anybody_listens(Signal signal) {
  return std::ranges::any_of(
      port_.listeners, [&](const Session& session) { return session.listens_for() == signal; });
}

// Nothing is observed and nothing ticks while nobody listens.
void AdminServer::Impl::attend() {
  if (!watching_journal_ && anybody_listens(Signal::journal)) {
    watching_journal_ = true;
    control_.journal().observe([this] {
      if (journal_changed_.exchange(true)) return;
      asio::post(worker_.io(), [this] { look_at_journal_soon(); });
    });
  }
  if (!ticking_ && anybody_listens(Signal::tick)) {
    ticking_ = true;
    tick_later();
  }
}

void AdminServer::Impl::look_at_journal_soon() {
  journal_timer_.expires_after(journal_pause);
  journal_timer_.async_wait([this](http::IoError ec) {
    if (ec) return;
    journal_changed_ = false;
    if (anybody_listens(Signal::journal)) return port_.raise(Signal::journal);
    watching_journal_ = false;
    control_.journal().observe(nullptr);
  });
}

void AdminServer::Impl::tick_later() {
  tick_timer_.expires_after(tick_period);
  tick_timer_.async_wait([this](http::IoError ec) {
    if (ec) return;
    ticking_ = anybody_listens(Signal::tick);
    if (!ticking_) return reads_->post([feed = feed_] { feed->rest(); });
    reads_->post([this] {
      feed_->take();
      asio::post(worker_.io(), [this] {
        if (stopping_) return;
        port_.raise(Signal::tick);
        tick_later();
      });
    });
  });
}

void AdminServer::Impl::stop() {
  if (!std::exchange(running_, false)) return;
  worker_.run_and_wait([this] {
    stopping_ = true;
    http::IoError ignored;
    acceptor_.close(ignored);
    accept_again_.cancel();
    journal_timer_.cancel();
    tick_timer_.cancel();
  });
  control_.journal().observe(nullptr);
  worker_.finish();
  worker_.join(std::chrono::steady_clock::now() + finish_time);
  // A call under way is waited for; nobody hears of its outcome any more.
  reads_.reset();
  changes_.reset();
}

// --- The face -----------------------------------------------------------------------------------

Result<std::unique_ptr<AdminServer>> AdminServer::start(const std::string& address,
                                                        Control& control) {
  auto impl = std::make_unique<Impl>(control);
  if (auto bound = impl->listen(address); !bound) return tl::make_unexpected(bound.error());
  impl->run();
  const Options& options = control.options();
  text::log(options.log, base::LogLevel::info, "admin port on {}", impl->url);
  if (!impl->loopback && options.admin_token.empty() && !options.admin_open) {
    text::log(options.log, base::LogLevel::warn,
              "the admin port, {}, is open to other machines, and anybody there can cause faults "
              "and reset; listen on 127.0.0.1, set a token with --admin-token-file, or say that it "
              "is meant to be so with --admin-open",
              address);
  }
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() = default;
const std::string& AdminServer::url() const { return impl_->url; }
void AdminServer::stop() { impl_->stop(); }

}  // namespace hyperpod::emulator::admin
