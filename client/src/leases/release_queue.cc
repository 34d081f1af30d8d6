// SPDX-License-Identifier: Apache-2.0
#include "leases/release_queue.h"

#include <algorithm>
#include <utility>

namespace hyperpod::client::leases {
namespace {

constexpr Duration first_pause = std::chrono::milliseconds{100};
constexpr Duration longest_pause = std::chrono::seconds{5};

}  // namespace

bool ReleaseQueue::put_off(PendingRelease release, TimePoint now) {
  release.pause = std::clamp(release.pause * 2, first_pause, longest_pause);
  release.next_attempt = now + release.pause;
  if (release.next_attempt >= release.expires) return false;
  pending_.push_back(std::move(release));
  return true;
}

std::vector<PendingRelease> ReleaseQueue::take_due(TimePoint now, std::size_t limit) {
  const auto wait = [&](const PendingRelease& release) {
    if (release.next_attempt > now || limit == 0) return true;
    --limit;
    return false;
  };
  const auto due = std::stable_partition(pending_.begin(), pending_.end(), wait);
  std::vector<PendingRelease> taken(std::make_move_iterator(due),
                                    std::make_move_iterator(pending_.end()));
  pending_.erase(due, pending_.end());
  return taken;
}

std::vector<PendingRelease> ReleaseQueue::take_all() { return std::exchange(pending_, {}); }

std::optional<TimePoint> ReleaseQueue::next_due() const {
  const auto first = std::min_element(
      pending_.begin(), pending_.end(),
      [](const auto& a, const auto& b) { return a.next_attempt < b.next_attempt; });
  if (first == pending_.end()) return std::nullopt;
  return first->next_attempt;
}

}  // namespace hyperpod::client::leases
