// What stands behind a Client and the leases that it granted: the way of each request through
// circuit breaker, gate, pool and connection, the reading of leases, and their release.
//
// Every member may be called from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "address.h"
#include "circuit_breaker.h"
#include "connection_pool.h"
#include "http_connection.h"
#include "hyperpod/client/client.h"
#include "lease_answer.h"
#include "release_queue.h"
#include "request_gate.h"
#include "segment.h"
#include "worker_pool.h"

namespace hyperpod::client {

class ClientCore : public std::enable_shared_from_this<ClientCore> {
 public:
  /// A lease as granted; `mapping` is the segment that it lies in.
  struct Grant {
    std::size_t host;
    std::string id;
    std::vector<FragmentRange> ranges;
    std::uint64_t size;
    TimePoint expires;
    std::shared_ptr<const SegmentMapping> mapping;
  };

  /// REQUIRES: options are normalised.
  ClientCore(ClientOptions options, std::vector<DaemonAddress> addresses,
             std::shared_ptr<spdlog::logger> logger);
  ClientCore(const ClientCore&) = delete;
  ClientCore& operator=(const ClientCore&) = delete;
  ~ClientCore();

  void close();

  const ClientOptions& options() const { return options_; }
  TimePoint now() const { return clock_->now(); }
  Statistics statistics() const;
  std::vector<DaemonState> daemons() const;
  WorkerPool& workers() { return workers_; }

  /// When a call that begins now has to be over.
  TimePoint put_deadline() const { return now() + options_.timeout; }
  TimePoint read_deadline(const ReadOptions& read) const;

  Result<PutOutcome> put(std::string_view key, std::span<const std::byte> header,
                         std::span<const std::byte> payload, TimePoint deadline);
  Result<std::optional<Lease>> acquire(std::string_view key, const ReadOptions& read,
                                       TimePoint deadline);
  Result<bool> exists(std::string_view key, const ReadOptions& read, TimePoint deadline);

  /// Counts the outcome of a get.
  void count_get(GetStatus status);
  void count_get_error();

  /// Whether the segment's name still stands for the one that the grant lies in.
  Result<bool> is_current(const Grant& grant) const;

  /// Releases, or sees to it that the lease is released later.
  Result<void> release(const Grant& grant, TimePoint deadline);
  void release(Lease& lease, TimePoint deadline);

 private:
  struct Daemon {
    Daemon(DaemonAddress daemon_address, std::shared_ptr<const Clock> clock);
    DaemonAddress address;
    std::string url;
    CircuitBreaker breaker;
    std::unique_ptr<Segment> segment;  // null: shared memory is disabled
  };

  struct Counters {
    std::atomic<std::uint64_t> get_success{0}, get_failure{0}, get_miss{0};
    std::atomic<std::uint64_t> put_success{0}, put_failure{0};
    std::atomic<std::uint64_t> lease_acquired{0}, lease_released{0}, lease_release_failed{0};
    std::atomic<std::uint64_t> lease_lost{0};
  };

  struct Failure {
    Error error;
    std::string body = {};  // as much of an answer's body as came
  };

  std::size_t host_of(std::string_view key) const;
  std::chrono::milliseconds wait_of(const ReadOptions& read) const;
  Result<RequestGate::Pass> admit(std::size_t host, RequestClass request_class, TimePoint deadline);
  tl::expected<HttpAnswer, Failure> transmit(std::size_t host, const HttpRequest& request,
                                             TimePoint deadline);

  Result<PutOutcome> store(std::string_view key, std::span<const std::byte> header,
                           std::span<const std::byte> payload, TimePoint deadline);
  Result<std::optional<Grant>> lease(std::string_view key, const ReadOptions& read,
                                     TimePoint deadline);
  tl::expected<HttpAnswer, Failure> ask_for_lease(std::size_t host, std::string_view key,
                                                  const ReadOptions& read, TimePoint deadline,
                                                  TimePoint& sent);
  Result<void> check_grant(const Grant& grant) const;

  bool is_replaced(std::size_t host, const std::optional<SegmentIdentity>& identity) const;
  Result<void> release(PendingRelease release, TimePoint deadline);
  Result<void> send_release(const PendingRelease& release, TimePoint deadline);
  bool put_off(PendingRelease release);
  void retry(const PendingRelease& release, TimePoint deadline);
  void count_failed_release(const PendingRelease& release, const std::string& reason);
  void keep_house();

  const ClientOptions options_;
  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<spdlog::logger> logger_;
  const std::vector<DaemonAddress> addresses_;
  std::vector<std::string> authorities_;
  std::vector<std::unique_ptr<Daemon>> daemons_;
  RequestGate gate_;
  ConnectionPool pool_;
  ReleaseQueue releases_;
  Counters counters_;
  WorkerPool workers_;

  std::mutex house_mutex_;  // guards closing_ and closed_
  std::condition_variable house_changed_;
  bool closing_ = false;  // the housekeeper is to end
  bool closed_ = false;   // nobody will look into releases_ any more
  std::thread housekeeper_;
};

}  // namespace hyperpod::client
