#include "host_resolver.h"

#include <netdb.h>

#include <array>
#include <future>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

namespace hyperpod::client {
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

}  // namespace

struct HostResolver::State {
  explicit State(LookUp function) : look_up(std::move(function)) {}
  const LookUp look_up;
  std::mutex mutex;
  std::map<std::string, std::shared_future<Resolution>> under_way;
};

HostResolver::HostResolver(LookUp look_up) : state_(std::make_shared<State>(std::move(look_up))) {}

HostResolver& HostResolver::shared() {
  static HostResolver resolver;
  return resolver;
}

Resolution HostResolver::system_look_up(const std::string& host) {
  return client::look_up(host, 0);
}

std::optional<Resolution> HostResolver::resolve(const std::string& host,
                                                std::chrono::steady_clock::time_point deadline) {
  // Numbers need no resolver.
  if (auto numeric = client::look_up(host, AI_NUMERICHOST); !numeric.addresses.empty()) {
    return numeric;
  }
  std::shared_future<Resolution> answer;
  {
    std::lock_guard lock(state_->mutex);
    auto& under_way = state_->under_way[host];
    if (!under_way.valid()) {
      auto promise = std::make_shared<std::promise<Resolution>>();
      under_way = promise->get_future().share();
      try {
        std::thread([state = state_, promise, host] {
          promise->set_value(state->look_up(host));
          std::lock_guard state_lock(state->mutex);
          state->under_way.erase(host);
        }).detach();
      } catch (const std::system_error& error) {
        state_->under_way.erase(host);
        return Resolution{{}, error.what()};
      }
    }
    answer = under_way;
  }
  if (answer.wait_until(deadline) != std::future_status::ready) return std::nullopt;
  return answer.get();
}

}  // namespace hyperpod::client
