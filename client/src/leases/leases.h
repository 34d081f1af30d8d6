// SPDX-License-Identifier: Apache-2.0
// Who owns leases: asks for them, checks what is granted, and sees to it that each is released.
//
// Belongs to the loop's thread, except what says otherwise.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "counters.h"
#include "hyperpod/base/log.h"
#include "hyperpod/client/call.h"
#include "hyperpod/client/options.h"
#include "leases/lease_response.h"
#include "leases/release_queue.h"
#include "memory/segment.h"
#include "transport/transport.h"

namespace hyperpod::client::leases {

/// The client gives up this much later than the daemon, so that the daemon's miss arrives first
/// (C-TIME-08). If queueing has eaten more than half of it, the daemon is asked for less.
constexpr std::chrono::milliseconds wait_margin{500};

/// A lease as granted; `mapping` is the segment that it lies in, null if nobody is to read it.
struct Grant {
  std::size_t host = 0;
  std::string id = {};
  std::vector<memory::FragmentRange> ranges = {};
  std::uint64_t size = 0;
  TimePoint expires = {};
  std::shared_ptr<const memory::SegmentMapping> mapping = nullptr;
};

/// What is asked for.
struct Wanted {
  std::string key;
  std::size_t host = 0;  // that has it
  transport::RequestClass request_class{};
  std::chrono::milliseconds wait{};  // how long the daemon may hold the request
  /// The daemon's segment, mapped by now (step A of memory/segment.h); null if nobody is to read.
  std::shared_ptr<const memory::SegmentMapping> mapping;
  std::optional<Error> error;  // why it cannot be asked for
};

class Leases {
 public:
  /// None is a miss.
  using Granted = MoveOnlyFunction<void(Result<std::optional<Grant>>)>;
  using Released = MoveOnlyFunction<void(Result<void>)>;

  class Request;         // a transport::Exchange
  class ReleaseRequest;  // another

  /// REQUIRES: options are normalised. `segments` are those of the daemons, null where shared
  /// memory is disabled. All that is passed must outlive this.
  Leases(transport::Loop& loop, transport::Transport& transport, const ClientOptions& options,
         const std::vector<std::unique_ptr<memory::Segment>>& segments, Counters& counters,
         base::LogSink& logger);
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

  /// A request that start() sends. Keeps `keep_alive` until it is over. Any thread.
  std::shared_ptr<Request> make_request(Wanted wanted, TimePoint deadline, Granted granted,
                                        std::shared_ptr<void> keep_alive);
  /// What cannot be used of a grant is released, and told as an error. Where Wanted has an error,
  /// that is the outcome, and nothing is sent.
  void start(const std::shared_ptr<Request>& request);
  /// Has the calling thread do that, which is going to wait for the outcome; see
  /// transport::Transport::try_here(). Not before the loop has begun what was posted: a thread that
  /// ran ahead of its own releases would have them all sent at once, each over a connection.
  bool try_here(const std::shared_ptr<Request>& request, const std::shared_ptr<void>& owner);
  /// Ends it in `cancelled` now; what is granted all the same is released.
  void cancel(Request& request);

  /// A request that start() sends. Keeps `keep_alive` until it is over. Any thread. Throws
  /// std::bad_alloc, and has moved nothing then.
  std::shared_ptr<ReleaseRequest> make_release(const Grant& grant, TimePoint deadline,
                                               Released&& released,
                                               std::shared_ptr<void> keep_alive);
  /// Releases, and says how that went. If the daemon does not confirm it, that is repeated until
  /// the TTL has passed, with pauses and for each daemon by itself.
  void start(const std::shared_ptr<ReleaseRequest>& request);
  /// Has the loop's thread start() it. Throws std::bad_alloc, and has posted nothing then.
  void post(std::shared_ptr<ReleaseRequest> request, transport::Loop::Order order);
  /// As the other try_here().
  bool try_here(const std::shared_ptr<ReleaseRequest>& request, const std::shared_ptr<void>& owner);
  /// The same for a lease whose release nobody waits for. Where there is no memory for the request,
  /// the lease is left to its TTL. Any thread.
  void release(const Grant& grant, std::shared_ptr<void> keep_alive);

  /// Tries once more whatever is to be tried again, and nothing after that.
  void flush();

 private:
  /// Of retries to one daemon, so that one which hangs takes few of the places for requests.
  static constexpr std::size_t max_retries_in_flight = 4;

  struct Retries {
    Retries(Leases& leases, std::size_t host);
    ReleaseQueue queue;
    std::size_t in_flight = 0;
    transport::Timer timer;
  };

  TimePoint release_deadline() const { return loop_.now() + options_.timeout; }
  template <class Function>
  void post_release(Function function, transport::Loop::Order order);
  bool is_lost(ReleaseRequest& request) const;
  bool is_replaced(std::size_t host, const std::optional<memory::SegmentIdentity>& identity) const;
  Result<void> check(const Grant& grant) const;
  void give_up(const Grant& grant, std::shared_ptr<void> keep_alive);
  void retry(PendingRelease release, TimePoint deadline);
  void release_ended(PendingRelease release, const Result<void>& released, bool is_retry);
  bool put_off(const PendingRelease& release);
  void retry_due(std::size_t host);
  void set_timer(Retries& retries);

  transport::Loop& loop_;
  transport::Transport& transport_;
  const ClientOptions& options_;
  const std::vector<std::unique_ptr<memory::Segment>>& segments_;
  Counters& counters_;
  base::LogSink& logger_;
  std::vector<std::unique_ptr<Retries>> retries_;  // by host
  std::atomic<std::uint64_t> posted_{0};           // releases, and not begun
  bool flushed_ = false;
};

class Leases::Request final : public transport::Exchange, public Cancellable {
 public:
  Request(Leases& leases, Wanted wanted, TimePoint deadline, Granted granted,
          std::shared_ptr<void> keep_alive);

  /// Any thread: has the loop's thread cancel it.
  void cancel() override;

 private:
  friend class Leases;
  Result<transport::HttpRequest> request(TimePoint now) override;
  void complete(transport::Outcome outcome) override;
  bool completes_anywhere(const transport::HttpResponse&) const override { return true; }
  Result<std::optional<Grant>> judge(transport::Outcome outcome);
  Result<std::optional<Grant>> accept(Grant grant);

  Leases& leases_;
  const Wanted wanted_;
  Granted granted_;                   // empty once it has been called
  std::shared_ptr<void> keep_alive_;  // until it is over
  const std::weak_ptr<void> owner_;
  std::optional<TimePoint> sent_;  // for the first time
};

}  // namespace hyperpod::client::leases
