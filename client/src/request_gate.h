// Bounds the requests that one client has in flight, and orders those that wait.
//
// A request needs a place of the client and a place of its host (a connection, for one request
// occupies one connection). Waiting requests go by the time they came, counted as if a prefetch had
// come half a second later than it did and a put a whole second: so leases overtake prefetches and
// those overtake puts, and yet each moves to the front within a bounded time. A request whose host
// is full lets those for other hosts pass.
//
// Every member may be called from any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <tl/expected.hpp>
#include <vector>

#include "hyperpod/client/clock.h"

namespace hyperpod::client {

enum class RequestClass {
  lease,
  prefetch,
  put,
  release,  ///< Ordered as a lease, and let in even when the gate is closed.
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

  enum class Refusal { timed_out, closed };

  /// The right to send one request; given back on destruction. Must not outlive the gate.
  class Pass {
   public:
    Pass(Pass&& other) noexcept : gate_(other.gate_), host_(other.host_) { other.gate_ = nullptr; }
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->leave(host_);
    }

   private:
    friend class RequestGate;
    Pass(RequestGate& gate, std::size_t host) : gate_(&gate), host_(host) {}
    RequestGate* gate_;
    std::size_t host_;
  };

  RequestGate(Limits limits, std::shared_ptr<const Clock> clock);

  /// Waits for a place until `deadline`; a free one is given even after it.
  tl::expected<Pass, Refusal> enter(std::size_t host, RequestClass request, TimePoint deadline);

  /// Refuses all that wait and all that come, but for releases. Idempotent.
  void close();

  /// Waits until nothing is in flight or `deadline` has come.
  void drain(TimePoint deadline);

  Counts counts() const;

 private:
  struct Waiter {
    std::size_t host;
    RequestClass request;
    TimePoint due;  // when it came, plus what its class is put back
    std::uint64_t number;
    bool granted = false;
    std::condition_variable changed;
  };
  struct ByDue {
    bool operator()(const Waiter* a, const Waiter* b) const {
      return a->due != b->due ? a->due < b->due : a->number < b->number;
    }
  };

  bool has_place(std::size_t host) const;
  void take_place(std::size_t host);
  void leave(std::size_t host);
  void grant();

  const Limits limits_;
  const std::shared_ptr<const Clock> clock_;
  mutable std::mutex mutex_;
  std::set<Waiter*, ByDue> waiting_;
  std::vector<std::uint32_t> in_flight_of_;  // by host
  Counts counts_;
  std::uint64_t next_number_ = 0;
  bool closed_ = false;
  std::condition_variable drained_;
};

}  // namespace hyperpod::client
