#include "connection_pool.h"

#include <algorithm>

namespace hyperpod::client {

ConnectionPool::ConnectionPool(const std::vector<DaemonAddress>& addresses, TlsOptions tls,
                               std::uint64_t max_connections, std::shared_ptr<const Clock> clock)
    : addresses_(addresses),
      tls_(std::move(tls)),
      max_connections_(max_connections),
      clock_(std::move(clock)),
      idle_(addresses.size()) {}

std::unique_ptr<HttpConnection> ConnectionPool::take(std::size_t host) {
  std::unique_ptr<HttpConnection> displaced;  // closed once the mutex is free
  {
    std::lock_guard lock(mutex_);
    auto& idle = idle_[host];
    if (!idle.empty()) {
      auto connection = std::move(idle.back().connection);
      idle.pop_back();
      return connection;
    }
    if (open_ == max_connections_) displaced = make_room();
    peak_ = std::max(peak_, ++open_);
  }
  displaced.reset();
  return std::make_unique<HttpConnection>(addresses_[host], tls_);
}

// Takes out the connection that has been idle longest.
std::unique_ptr<HttpConnection> ConnectionPool::make_room() {
  std::deque<Idle>* oldest = nullptr;
  for (auto& idle : idle_) {
    if (!idle.empty() && (oldest == nullptr || idle.front().since < oldest->front().since)) {
      oldest = &idle;
    }
  }
  if (oldest == nullptr) return nullptr;
  auto connection = std::move(oldest->front().connection);
  oldest->pop_front();
  --open_;
  return connection;
}

void ConnectionPool::give_back(std::size_t host, std::unique_ptr<HttpConnection> connection) {
  const bool keep = connection->is_reusable();
  if (!keep) connection.reset();
  std::lock_guard lock(mutex_);
  if (keep && !closed_) {
    idle_[host].push_back({std::move(connection), clock_->now()});
  } else {
    --open_;
  }
}

TimePoint ConnectionPool::close_idle() {
  std::vector<std::unique_ptr<HttpConnection>> expired;  // closed once the mutex is free
  std::lock_guard lock(mutex_);
  const TimePoint now = clock_->now();
  TimePoint next = now + idle_limit;
  for (auto& idle : idle_) {
    while (!idle.empty() && now - idle.front().since >= idle_limit) {
      expired.push_back(std::move(idle.front().connection));
      idle.pop_front();
      --open_;
    }
    if (!idle.empty()) next = std::min(next, idle.front().since + idle_limit);
  }
  return next;
}

void ConnectionPool::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (auto& idle : idle_) {
    open_ -= idle.size();
    idle.clear();
  }
}

std::uint64_t ConnectionPool::open() const {
  std::lock_guard lock(mutex_);
  return open_;
}

std::uint64_t ConnectionPool::peak() const {
  std::lock_guard lock(mutex_);
  return peak_;
}

}  // namespace hyperpod::client
