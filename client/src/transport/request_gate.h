// SPDX-License-Identifier: Apache-2.0
// Bounds the requests that one client has in flight, and orders those that wait.
//
// A request needs a place of the client and a place of its host (a connection, for one request
// occupies one connection). Waiting requests go by the time they came, counted as if a prefetch had
// come half a second later than it did and a put a whole second: so leases overtake prefetches and
// those overtake puts, and yet each moves to the front within a bounded time. A request whose host
// is full lets those for other hosts pass.
//
// Belongs to the loop's thread, except begin(), end() and counts().
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "hyperpod/client/clock.h"

namespace hyperpod::client::transport {

enum class RequestClass {
  lease,
  prefetch,
  put,
  release,  ///< Ordered as a lease, and let in even when the client is closed.
};

class RequestGate {
 public:
  struct Limits {
    std::uint32_t in_flight;
    std::uint32_t per_host;
    std::size_t hosts;
  };

  struct Counts {
    std::uint64_t in_flight = 0;
    std::uint64_t peak_in_flight = 0;
    std::uint64_t queued = 0;
    std::uint64_t peak_queued = 0;
  };

  /// A request that may wait. It must leave the gate before it goes.
  class Waiter {
   public:
    Waiter(std::size_t host, RequestClass request) : host_(host), request_(request) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    std::size_t host() const { return host_; }
    RequestClass request_class() const { return request_; }
    bool is_queued() const { return queued_; }

   private:
    friend class RequestGate;
    using Order = std::pair<TimePoint, std::uint64_t>;  // when it is due, and its number
    const std::size_t host_;
    const RequestClass request_;
    bool queued_ = false;
    Order order_;
  };

  explicit RequestGate(const Limits& limits);

  /// Takes a place, and true; or queues the waiter if there is none.
  bool enter(Waiter& waiter, TimePoint now);
  /// Whether enter() would find one.
  bool has_place(const Waiter& waiter) const;
  /// The waiter's request has ended, and gives its place back.
  void leave(std::size_t host) {
    end();
    give_back(host);
  }

  /// For a place that stays taken from one request to the next: the request in it ends, or another
  /// begins, and nothing changes but what is counted. Any thread.
  void end() { --in_flight_; }
  void begin();
  /// Gives back a place that no request is in.
  void give_back(std::size_t host);

  /// Takes a queued waiter out.
  void withdraw(Waiter& waiter);
  /// The waiter whose turn it is, with its place taken; null if nobody can have one.
  Waiter* next();
  /// Any waiter that is queued and not of class release; null if there is none.
  Waiter* any_refusable();

  /// Any thread.
  Counts counts() const;

 private:
  using Queue = std::map<Waiter::Order, Waiter*>;

  void take_place(std::size_t host);
  void set_queued(std::uint64_t queued);

  const Limits limits_;
  std::vector<Queue> waiting_;           // by host
  std::uint64_t taken_ = 0;              // places
  std::vector<std::uint32_t> taken_of_;  // by host
  std::atomic<std::uint64_t> in_flight_{0}, peak_in_flight_{0}, queued_{0}, peak_queued_{0};
  std::uint64_t next_number_ = 0;
};

}  // namespace hyperpod::client::transport
