// The data port: a listener, its I/O threads, and what makes time pass for engine and connections.
//
// Every public member may be called from any thread but the server's own.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/engine.h"
#include "http/session.h"
#include "http/worker.h"
#include "hyperpod/emulator/error.h"
#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator {

class Server final : private Ticker {
 public:
  /// Binds and serves. `options`, `engine` and `clock` must outlive the server.
  static Result<std::unique_ptr<Server>> start(const Options& options, Engine& engine,
                                               Clock& clock);
  ~Server() override;  ///< Calls stop().

  std::uint16_t port() const { return endpoint_.port(); }
  /// "http://127.0.0.1:9200"; a wildcard address is shown as the loopback of its family.
  std::string url() const;

  /// Stops accepting and lets each connection finish what it is answering, for at most five seconds
  /// of real time. Idempotent.
  void stop();

  /// Fills in the data port's counters.
  void add_to(Statistics& statistics) const;

 private:
  using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;

  Server(const Options& options, Engine& engine, Clock& clock);
  Result<void> listen();
  void run();

  Awaitable<void> accept_connections();
  void open_session(Worker& worker, Socket socket);
  void engine_alarm();
  void schedule_engine();

  std::optional<TimePoint> next_due() const override;
  void run_due(TimePoint now) override;

  const Options& options_;
  Engine& engine_;
  Clock& clock_;
  PortCounters counters_;
  Service service_;
  std::optional<asio::ssl::context> tls_;
  std::vector<std::unique_ptr<Worker>> workers_;
  // These live on the first worker.
  Acceptor acceptor_;
  SystemTimer accept_again_;
  SystemTimer engine_wake_;
  bool stopping_ = false;

  asio::ip::tcp::endpoint endpoint_;
  std::mutex stop_mutex_;
  bool running_ = false;  // guarded by stop_mutex_
};

}  // namespace hyperpod::emulator
