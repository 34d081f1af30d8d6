// SPDX-License-Identifier: Apache-2.0
#include "transport/host_resolver.h"

#include <netdb.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "fork.h"
#include "points.h"
#include "thread.h"

namespace hyperpod::client::transport {
namespace {

Resolution look_up(const std::string& host, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return {{}, gai_strerror(error)};
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, &freeaddrinfo);
  Resolution resolution;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      resolution.addresses.emplace_back(text.data());
    }
  }
  if (resolution.addresses.empty()) resolution.problem = "it has no address";
  return resolution;
}

struct SharedResolver {
  std::uint32_t generation;
  HostResolver resolver;
};

}  // namespace

struct HostResolver::State {
  explicit State(LookUp function) : look_up(std::move(function)) {}

  // Tells all who wait for `host`. Whoever runs out of memory with it has a deadline.
  void tell(const std::string& host, const Resolution& resolution) {
    std::unique_lock lock(mutex);
    const auto entry = under_way.extract(host);
    lock.unlock();
    if (!entry) return;
    for (const Callback& call : entry.mapped()) {
      try {
        call(resolution);
      } catch (const std::bad_alloc&) {
      }
    }
  }

  const LookUp look_up;
  std::mutex mutex;
  std::map<std::string, std::vector<Callback>> under_way;
};

HostResolver::HostResolver(LookUp look_up) : state_(std::make_shared<State>(std::move(look_up))) {}

HostResolver& HostResolver::shared() {
  // The parent's may have been locked as it forked. Never freed: lookups outlive everything.
  static std::atomic<SharedResolver*> instance{nullptr};
  SharedResolver* current = instance.load();
  const auto generation = fork_generation();
  if (current != nullptr && current->generation == generation) return current->resolver;
  auto* const fresh = new SharedResolver{generation, HostResolver()};
  if (instance.compare_exchange_strong(current, fresh)) return fresh->resolver;
  delete fresh;
  return current->resolver;
}

Resolution HostResolver::system_look_up(const std::string& host) {
  HYPERPOD_POINT("resolver.look_up", host);
  return transport::look_up(host, 0);
}

std::optional<Resolution> HostResolver::numeric(const std::string& host) {
  auto resolution = transport::look_up(host, AI_NUMERICHOST);
  if (resolution.addresses.empty()) return std::nullopt;
  return resolution;
}

void HostResolver::resolve(const std::string& host, Callback callback) {
  {
    std::lock_guard lock(state_->mutex);
    auto& waiting = state_->under_way[host];
    waiting.push_back(std::move(callback));
    if (waiting.size() > 1) return;
  }
  try {
    start_without_signals([state = state_, host] {
      Resolution resolution;
      try {
        resolution = state->look_up(host);
      } catch (const std::exception& error) {
        resolution = {{}, error.what(), true};
      }
      state->tell(host, resolution);
    }).detach();
  } catch (const std::exception& error) {
    state_->tell(host, {{}, error.what(), true});
  }
}

std::optional<Resolution> HostResolver::resolve(const std::string& host,
                                                std::chrono::steady_clock::time_point deadline) {
  if (auto number = numeric(host)) return number;
  struct Response {
    std::mutex mutex;
    std::condition_variable came;
    std::optional<Resolution> resolution;
  };
  const auto response = std::make_shared<Response>();
  resolve(host, [response](const Resolution& resolution) {
    std::lock_guard lock(response->mutex);
    response->resolution = resolution;
    response->came.notify_all();
  });
  std::unique_lock lock(response->mutex);
  response->came.wait_until(lock, deadline, [&] { return response->resolution.has_value(); });
  return response->resolution;
}

}  // namespace hyperpod::client::transport
