// SPDX-License-Identifier: Apache-2.0
#include "transport/host_resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "fork.h"
#include "points.h"

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
  Resolution resolution;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      resolution.addresses.emplace_back(text.data());
    }
  }
  freeaddrinfo(found);
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

  // The callbacks that wait for `host`, of whom nobody else knows any more.
  std::vector<Callback> take(const std::string& host) {
    std::lock_guard lock(mutex);
    auto entry = under_way.extract(host);
    return entry ? std::move(entry.mapped()) : std::vector<Callback>{};
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
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::string problem;
  try {
    std::thread([state = state_, host] {
      Resolution resolution;
      try {
        resolution = state->look_up(host);
      } catch (const std::exception& error) {
        resolution = {{}, error.what(), true};
      }
      for (const Callback& call : state->take(host)) call(resolution);
    }).detach();
  } catch (const std::system_error& error) {
    problem = error.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (problem.empty()) return;
  for (const Callback& call : state_->take(host)) call({{}, problem, true});
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
