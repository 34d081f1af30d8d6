#include "client/wire_tap.h"

#include <algorithm>

namespace hyperpod::conformance {
namespace {

template <class Predicate>
std::vector<WireTap::Seen> those(std::vector<WireTap::Seen> requests, Predicate wanted) {
  std::erase_if(requests, [&](const WireTap::Seen& seen) { return !wanted(seen.head); });
  return requests;
}

}  // namespace

WireTap::WireTap(std::uint16_t port)
    : log_(std::make_shared<Log>()), proxy_(port, [log = log_] {
        Lie listener;
        listener.request = [log](RequestHead& head,
                                 const Asked& asked) -> std::optional<AnswerMessage> {
          const std::lock_guard lock(log->mutex);
          log->requests.push_back({asked.connection, {head, {}}});
          return std::nullopt;
        };
        listener.body = [log](const Asked& asked, std::uint64_t, std::span<char> bytes) {
          const std::lock_guard lock(log->mutex);
          const auto last =
              std::ranges::find(log->requests.rbegin(), log->requests.rend(), asked.connection,
                                [](const auto& request) { return request.first; });
          if (last != log->requests.rend()) last->second.body.append(bytes.data(), bytes.size());
        };
        return listener;
      }()) {}

std::string WireTap::url() const { return "http://127.0.0.1:" + std::to_string(proxy_.port()); }

std::vector<WireTap::Seen> WireTap::requests() const {
  const std::lock_guard lock(log_->mutex);
  std::vector<Seen> all;
  for (const auto& [connection, seen] : log_->requests) all.push_back(seen);
  return all;
}

std::vector<WireTap::Seen> WireTap::puts() const {
  return those(requests(), [](const RequestHead& head) { return head.is_put(); });
}

std::vector<WireTap::Seen> WireTap::acquires() const {
  return those(requests(), [](const RequestHead& head) { return head.is_acquire(); });
}

}  // namespace hyperpod::conformance
