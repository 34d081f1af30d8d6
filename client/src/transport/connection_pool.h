// SPDX-License-Identifier: Apache-2.0
// The keep-alive connections of one client, to all of its daemons.
//
// The request gate lets in no more requests than there may be connections, in all and to each host,
// and each holds one connection. So a request always finds one: an idle one of its host, or room
// for another, or an idle one of another host that is closed to make room.
//
// Belongs to the loop's thread, except open() and peak().
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "transport/connection.h"
#include "transport/loop.h"

namespace hyperpod::client::transport {

class ConnectionPool {
 public:
  static constexpr std::chrono::seconds idle_limit{30};  // C-CONN-06

  /// Makes a connection to the host of that index.
  using Connect = std::function<std::shared_ptr<Connection>(std::size_t host)>;

  ConnectionPool(Loop& loop, std::size_t hosts, std::uint64_t max_connections, Connect connect);

  /// The connection to that host that was used last, or a new one; with `fresh` a new one.
  /// REQUIRES: a place of the gate for it, held until after give_back().
  std::shared_ptr<Connection> take(std::size_t host, bool fresh);

  /// Whether take() would find one that is idle.
  bool has_idle(std::size_t host) const { return !idle_[host].empty(); }

  /// Keeps the connection for the next request, unless it is closed.
  void give_back(std::size_t host, const std::shared_ptr<Connection>& connection);

  /// Lets go of an idle connection that has been closed.
  void forget(const Connection& connection);

  /// Closes what is idle, and from now on whatever is given back.
  void close();

  /// Any thread.
  std::uint64_t open() const { return open_; }
  std::uint64_t peak() const { return peak_; }

 private:
  struct Idle {
    std::shared_ptr<Connection> connection;
    TimePoint since;
  };

  void make_room();
  void close_expired();

  Loop& loop_;
  const std::uint64_t max_connections_;
  const Connect connect_;
  std::vector<std::deque<Idle>> idle_;  // by host; the longest idle first
  std::atomic<std::uint64_t> open_{0};  // idle and lent
  std::atomic<std::uint64_t> peak_{0};
  bool closed_ = false;
  Timer expiry_;
};

}  // namespace hyperpod::client::transport
