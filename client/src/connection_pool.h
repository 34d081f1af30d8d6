// The keep-alive connections of one client, to all of its daemons.
//
// The request gate lets in no more requests than there may be connections, in all and to each host,
// and each holds one connection. So a request always finds one: an idle one of its host, or room
// for another, or an idle one of another host that is closed to make room.
//
// Every member may be called from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "address.h"
#include "http_connection.h"
#include "hyperpod/client/clock.h"

namespace hyperpod::client {

class ConnectionPool {
 public:
  static constexpr std::chrono::seconds idle_limit{30};  // protocol section 6

  ConnectionPool(const std::vector<DaemonAddress>& addresses, TlsOptions tls,
                 std::uint64_t max_connections, std::shared_ptr<const Clock> clock);

  /// A connection to the host of that index. REQUIRES: a pass of the gate for it, held until after
  /// give_back().
  std::unique_ptr<HttpConnection> take(std::size_t host);

  /// Keeps the connection for the next request, or closes it if it is not reusable.
  void give_back(std::size_t host, std::unique_ptr<HttpConnection> connection);

  /// Closes what has been idle for idle_limit, and tells when to call next.
  TimePoint close_idle();

  /// Closes what is idle, and from now on whatever is given back.
  void close();

  std::uint64_t open() const;
  std::uint64_t peak() const;

 private:
  struct Idle {
    std::unique_ptr<HttpConnection> connection;
    TimePoint since;
  };

  std::unique_ptr<HttpConnection> make_room();

  const std::vector<DaemonAddress>& addresses_;
  const TlsOptions tls_;
  const std::uint64_t max_connections_;
  const std::shared_ptr<const Clock> clock_;
  mutable std::mutex mutex_;
  std::vector<std::deque<Idle>> idle_;  // by host; the longest idle first
  std::uint64_t open_ = 0;              // idle and lent
  std::uint64_t peak_ = 0;
  bool closed_ = false;
};

}  // namespace hyperpod::client
