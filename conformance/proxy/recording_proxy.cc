// SPDX-License-Identifier: Apache-2.0
#include "proxy/recording_proxy.h"

#include <algorithm>

namespace hyperpod::conformance::proxy {
namespace {

template <class Predicate>
std::vector<RecordingProxy::Seen> those(std::vector<RecordingProxy::Seen> requests,
                                        Predicate wanted) {
  std::erase_if(requests, [&](const RecordingProxy::Seen& seen) { return !wanted(seen.head); });
  return requests;
}

}  // namespace

RecordingProxy::RecordingProxy(std::uint16_t port)
    : log_(std::make_shared<Log>()), proxy_(port, [log = log_] {
        Mutation listener;
        listener.request = [log](RequestHead& head,
                                 const ReceivedRequest& request) -> std::optional<ResponseMessage> {
          const std::lock_guard lock(log->mutex);
          log->requests.push_back({request.connection, {head, {}}});
          return std::nullopt;
        };
        listener.body = [log](const ReceivedRequest& request, std::uint64_t,
                              std::span<char> bytes) {
          const std::lock_guard lock(log->mutex);
          const auto last =
              std::ranges::find(log->requests.rbegin(), log->requests.rend(), request.connection,
                                [](const auto& seen) { return seen.first; });
          if (last != log->requests.rend()) last->second.body.append(bytes.data(), bytes.size());
        };
        return listener;
      }()) {}

std::string RecordingProxy::url() const {
  return "http://127.0.0.1:" + std::to_string(proxy_.port());
}

std::vector<RecordingProxy::Seen> RecordingProxy::requests() const {
  const std::lock_guard lock(log_->mutex);
  std::vector<Seen> all;
  for (const auto& [connection, seen] : log_->requests) all.push_back(seen);
  return all;
}

std::vector<RecordingProxy::Seen> RecordingProxy::puts() const {
  return those(requests(), [](const RequestHead& head) { return head.is_put(); });
}

std::vector<RecordingProxy::Seen> RecordingProxy::acquires() const {
  return those(requests(), [](const RequestHead& head) { return head.is_acquire(); });
}

}  // namespace hyperpod::conformance::proxy
