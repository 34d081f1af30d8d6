// SPDX-License-Identifier: Apache-2.0
#include "admin/feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "admin/info.h"

namespace hyperpod::emulator::admin {
namespace {

constexpr std::size_t most_shown = 100;  // leases, waiters
constexpr std::size_t requests_shown = 50;

std::string event(std::string_view kind, const Json& members,
                  const std::vector<std::string>& requests) {
  std::string data = to_text(members);
  if (!requests.empty()) {
    data.pop_back();
    fmt::format_to(std::back_inserter(data), ",\"requests\":[{}]}}", fmt::join(requests, ","));
  }
  return fmt::format("event: {}\ndata: {}\n\n", kind, data);
}

// A cell as [index, objects, pinned, put, colour, evicted since, checkpoint].
Json cell_view(std::size_t index, const MapState::Cell& cell, std::uint64_t evicted_before) {
  return Json::array({index, cell.objects, cell.pinned, cell.put, cell.colour,
                      cell.evicted - std::min(evicted_before, cell.evicted), cell.checkpoint});
}

Json cells_since(const MapState& now, const MapState& before) {
  Json cells = Json::array();
  for (std::size_t i = 0; i < now.cells.size(); ++i) {
    const MapState::Cell& was = i < before.cells.size() ? before.cells[i] : MapState::Cell{};
    if (now.cells[i] != was) cells.push_back(cell_view(i, now.cells[i], was.evicted));
  }
  return cells;
}

Json buckets_view(const MapState& map) {
  Json buckets = Json::array();
  for (const auto& [name, colour] : map.buckets) {
    buckets.push_back({{"name", name}, {"colour", colour}});
  }
  return buckets;
}

template <class Item>
Json first_view(std::uint64_t all, const std::vector<Item>& first) {
  Json views = Json::array();
  for (const Item& item : first) views.push_back(view(item));
  return {{"all", all}, {"first", std::move(views)}};
}

// The newest steps and how many there are: a namespace may have thousands.
Json steps_view(const std::vector<std::uint64_t>& newest_first) {
  constexpr std::size_t steps_shown = 5;
  const auto shown = std::min(steps_shown, newest_first.size());
  return {{"all", newest_first.size()}, {"first", Json(std::span(newest_first).first(shown))}};
}

Json namespaces_view(const std::vector<NamespaceState>& namespaces) {
  Json views = Json::array();
  for (const NamespaceState& each :
       std::span(namespaces).first(std::min(most_shown, namespaces.size()))) {
    views.push_back({{"name", each.name},
                     {"num_ranks", each.num_ranks},
                     {"steps_retained", each.steps_retained},
                     {"bytes", each.bytes},
                     {"complete", steps_view(each.complete_steps)},
                     {"incomplete", steps_view(each.incomplete_steps)}});
  }
  return {{"all", namespaces.size()}, {"first", std::move(views)}};
}

Json faults_view(const FaultPlan& plan) {
  Json faults = Json::array();
  for (const auto& [fault, counts] : plan.list()) {
    faults.push_back(Json::parse(fault_to_json(fault, counts)));
    if (faults.size() == most_shown) break;
  }
  return faults;
}

Json latency_view(const Journal& journal) {
  Json latency = Json::object();
  for (const auto& [operation, totals] : journal.totals_by_operation()) {
    latency[name_of(operation)] = totals.served.counts;
  }
  return latency;
}

Json bounds_view() {
  Json bounds = Json::array();
  for (const Duration bound : Histogram::bounds) {
    bounds.push_back(std::chrono::duration_cast<std::chrono::microseconds>(bound).count());
  }
  return bounds;
}

// The members of `now` that `before` has otherwise.
Json changed_members(const Json& now, const Json& before) {
  Json changed = Json::object();
  for (const auto& [name, value] : now.items()) {
    const auto was = before.find(name);
    if (was == before.end() || *was != value) changed[name] = value;
  }
  return changed;
}

class Follower final : public Source {
 public:
  explicit Follower(std::shared_ptr<Feed> feed) : feed_(std::move(feed)) {}

  More next(std::string& out) override {
    if (feed_->tick() == 0) feed_->take();
    const std::uint64_t tick = feed_->tick();
    if (tick != seen_) {
      // Who has missed a look, being slow, is told everything again.
      out += seen_ != 0 && seen_ + 1 == tick ? feed_->change() : feed_->state();
      seen_ = tick;
    }
    return More::after_signal;
  }

 private:
  const std::shared_ptr<Feed> feed_;
  std::uint64_t seen_ = 0;
};

}  // namespace

Feed::Feed(Control& control) : control_(control) {}

Feed::Look Feed::look() {
  Look look;
  const Statistics statistics = control_.statistics();
  const LiveState live = control_.live(most_shown);
  look.map = control_.map();
  look.latency = latency_view(control_.journal());
  Json& members = look.members;
  members["info"] = info_view(control_);
  members["readiness"] = readiness_view(control_);
  members["segment"] = view(control_.segment());
  members["clock"] = clock_view(control_);
  members["statistics"] = view(statistics);
  members["buckets"] = buckets_view(look.map);
  members["leases"] = first_view(statistics.live_leases, live.leases);
  members["waiters"] = first_view(statistics.waiters, live.waiters);
  members["namespaces"] = namespaces_view(control_.namespaces());
  members["faults"] = faults_view(control_.faults());
  members["bounds_us"] = bounds_view();
  return look;
}

// The newest entries that have come since the last look.
std::vector<std::string> Feed::newest() {
  JournalFilter since;
  since.after_sequence = journalled_;
  std::vector<std::string> lines;
  for (const JournalEntry& entry : control_.journal().newest(since, requests_shown)) {
    lines.push_back(entry_to_json(entry));
    journalled_ = entry.sequence;
  }
  return lines;
}

void Feed::take() {
  Look now = look();
  const auto came = newest();
  now.requests = std::move(last_.requests);
  now.requests.insert(now.requests.end(), came.begin(), came.end());
  if (now.requests.size() > requests_shown) {
    now.requests.erase(now.requests.begin(), now.requests.end() - requests_shown);
  }

  Json changes = changed_members(now.members, last_.members);
  if (changes.contains("statistics")) {
    changes["statistics"] = changed_members(now.members["statistics"],
                                            last_.members.value("statistics", Json::object()));
  }
  if (Json latency = changed_members(now.latency, last_.latency); !latency.empty()) {
    changes["latency"] = std::move(latency);
  }
  if (Json cells = cells_since(now.map, last_.map); !cells.empty()) {
    changes["map"] = {{"cells", std::move(cells)}};
  }
  now.members["now_us"] = changes["now_us"] = emulator_time(control_);
  now.members["uptime_ms"] = changes["uptime_ms"] = control_.uptime().count();
  change_ = event("change", changes, came);
  state_.clear();
  last_ = std::move(now);
  tick_ = ++ticks_;
}

void Feed::rest() {
  tick_ = 0;
  last_ = {};
  journalled_ = 0;
}

const std::string& Feed::state() {
  if (state_.empty()) {
    Json all = last_.members;
    all["latency"] = last_.latency;
    all["map"] = {{"blocks", last_.map.blocks},
                  {"count", last_.map.cells.size()},
                  {"cells", cells_since(last_.map, {})}};
    state_ = event("state", all, last_.requests);
  }
  return state_;
}

std::unique_ptr<Source> follow(std::shared_ptr<Feed> feed) {
  return std::make_unique<Follower>(std::move(feed));
}

}  // namespace hyperpod::emulator::admin
