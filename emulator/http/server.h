// SPDX-License-Identifier: Apache-2.0
// The data port: a listener, its I/O threads, and what makes time pass for engine and connections.
//
// Every public member may be called from any thread but the server's own.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/engine.h"
#include "http/listener.h"
#include "http/session.h"
#include "http/tls.h"
#include "http/worker.h"
#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/emulator/error.h"
#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::http {

class Server final : private Ticker {
 public:
  /// What a server serves; all of it must outlive the server.
  struct Parts {
    const Options& options;
    core::Engine& engine;
    checkpoint::Store& checkpoints;
    Clock& clock;
    FaultPlan& faults;
    Journal& journal;
    /// Does what a fault's incident says. Called on the server's threads; must not wait for them.
    std::function<void(const Effects&)> cause;
  };

  /// Binds and serves.
  static Result<std::unique_ptr<Server>> start(Parts parts);
  ~Server() override;  ///< Calls stop().

  std::uint16_t port() const { return endpoint_.port(); }
  /// "http://127.0.0.1:9200"; a wildcard address is shown as the loopback of its family.
  std::string url() const;

  /// Stops accepting and lets each connection finish what it is answering, for at most five seconds
  /// of real time. Idempotent.
  void stop();

  /// Says that the daemon has restarted: from now on nothing is sent over the connections that are
  /// open, and they are closed soon. Any thread, the server's own included.
  void cut_connections();
  /// Does `work` on one of the server's threads once `time` has passed on the emulator's clock; not
  /// at all if the server stops before. Any thread, the server's own included.
  void after(Duration time, std::function<void()> work);
  /// Does `work` on an I/O thread each time `descriptor` has become readable, until stop(). The
  /// descriptor stays the caller's, and open until then. REQUIRES that this is called once.
  void when_readable(int descriptor, std::function<void()> work);

  /// Fills in the data port's counters.
  void add_to(Statistics& statistics) const;
  void reset_counters();

 private:
  struct DelayedTask;

  explicit Server(Parts parts);
  /// Since the start.
  std::uint64_t requests() const;
  Result<void> listen();
  void run();

  void wait_for_watched(std::function<void()> work);
  Awaitable<void> accept_connections();
  /// Takes every connection that has been made. False if that failed for want of something.
  bool may_accept();
  bool accept_all();
  /// Serves it, lets it wait, or closes it with the socket.
  void decide(Worker& worker, base::FileDescriptor socket, std::uint64_t number);
  /// Counts one connection more as open, unless there are as many as there may be.
  bool claim_connection();
  /// REQUIRES a claim.
  void open_session(Worker& worker, base::FileDescriptor socket, std::uint64_t number,
                    std::optional<FiredFault> fault);
  void connection_closed();
  /// REQUIRES unaccepted_mutex_.
  void serve_unaccepted();
  void engine_alarm();
  void schedule_engine();

  std::optional<TimePoint> next_due() const override;
  void run_due(TimePoint now) override;

  const Options& options_;
  core::Engine& engine_;
  Clock& clock_;
  FaultPlan& faults_;
  PortCounters counters_;
  Service service_;
  std::optional<ServerContext> tls_;

  // Connections that a fault leaves waiting as if they had not been accepted yet. Empty before the
  // workers go.
  struct Unaccepted {
    Worker* worker;
    base::FileDescriptor socket;
    std::uint64_t number;
  };
  std::mutex unaccepted_mutex_;
  std::deque<Unaccepted> unaccepted_;

  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<std::uint64_t> uncounted_requests_{0};  // those before the last reset
  // These live on the first worker.
  Acceptor acceptor_;
  SystemTimer accept_again_;
  SystemTimer engine_wake_;
  std::optional<asio::posix::stream_descriptor> watched_;  // somebody else's
  std::list<DelayedTask> delayed_;
  const std::uint64_t most_descriptors_;
  bool crowded_ = false;  // the last connection had one beyond those
  std::size_t next_worker_ = 0;
  bool stopping_ = false;

  asio::ip::tcp::endpoint endpoint_;
  std::mutex stop_mutex_;
  bool running_ = false;  // guarded by stop_mutex_
};

}  // namespace hyperpod::emulator::http
