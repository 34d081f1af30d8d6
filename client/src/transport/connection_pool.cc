// SPDX-License-Identifier: Apache-2.0
#include "transport/connection_pool.h"

#include <algorithm>
#include <new>

#include "points.h"

namespace hyperpod::client::transport {

ConnectionPool::ConnectionPool(Loop& loop, std::size_t hosts, std::uint64_t max_connections,
                               Connect connect)
    : loop_(loop),
      max_connections_(max_connections),
      connect_(std::move(connect)),
      idle_(hosts),
      expiry_(loop, [this] { close_expired(); }) {}

std::shared_ptr<Connection> ConnectionPool::take(std::size_t host, bool fresh) {
  auto& idle = idle_[host];
  if (!fresh && !idle.empty()) {
    auto connection = std::move(idle.back().connection);
    idle.pop_back();
    return connection;
  }
  if (open_ >= max_connections_) make_room();
  auto connection = connect_(host);
  peak_ = std::max(peak_.load(), ++open_);
  return connection;
}

// Closes the connection that has been idle longest, if any is.
void ConnectionPool::make_room() {
  std::deque<Idle>* oldest = nullptr;
  for (auto& idle : idle_) {
    if (!idle.empty() && (oldest == nullptr || idle.front().since < oldest->front().since)) {
      oldest = &idle;
    }
  }
  if (oldest == nullptr) return;
  oldest->front().connection->close();
  oldest->pop_front();
  --open_;
}

void ConnectionPool::give_back(std::size_t host, const std::shared_ptr<Connection>& connection) {
  if (closed_) connection->close();
  if (connection->is_closed()) {
    --open_;
    return;
  }
  const TimePoint now = loop_.now();
  try {
    idle_[host].push_back({connection, now});
  } catch (const std::bad_alloc&) {
    connection->close();
    --open_;
    return;
  }
  if (!expiry_.is_armed()) expiry_.arm(now + idle_limit);
}

void ConnectionPool::forget(const Connection& connection) {
  for (auto& idle : idle_) {
    open_ -= std::erase_if(idle, [&](const Idle& i) { return i.connection.get() == &connection; });
  }
}

void ConnectionPool::close_expired() {
  Duration limit = idle_limit;
  HYPERPOD_POINT("pool.idle_limit", limit);
  const TimePoint now = loop_.now();
  TimePoint next = TimePoint::max();
  for (auto& idle : idle_) {
    while (!idle.empty() && now - idle.front().since >= limit) {
      idle.front().connection->close();
      idle.pop_front();
      --open_;
    }
    if (!idle.empty()) next = std::min(next, idle.front().since + limit);
  }
  if (next != TimePoint::max()) expiry_.arm(next);
}

void ConnectionPool::close() {
  closed_ = true;
  expiry_.cancel();
  for (auto& idle : idle_) {
    for (const Idle& i : idle) i.connection->close();
    open_ -= idle.size();
    idle.clear();
  }
}

}  // namespace hyperpod::client::transport
