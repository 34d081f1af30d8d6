// SPDX-License-Identifier: Apache-2.0
// A Control without an emulator behind it, for tests of the admin port.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "admin/control.h"

namespace hyperpod::emulator::admin {

class FakeControl : public Control {
 public:
  explicit FakeControl(std::shared_ptr<Clock> clock = std::make_shared<ManualClock>()) {
    options_.clock = std::move(clock);
    segment_.linked = true;
    segment_.intact = true;
    statistics_.capacity_bytes = options_.capacity;
  }

  Statistics statistics() const override { return statistics_; }
  BlockPage blocks(std::uint64_t first, std::size_t /*most*/) const override {
    BlockPage page = blocks_;
    page.next_block = page.blocks;
    if (first > 0) page.runs.clear(), page.objects.clear();
    return page;
  }
  MapState map() const override { return map_; }
  LiveState live(std::size_t /*most*/) const override { return live_; }
  std::vector<NamespaceState> namespaces() const override { return namespaces_; }
  const std::string& url() const override { return url_; }
  std::chrono::system_clock::time_point started() const override { return {}; }
  std::chrono::milliseconds uptime() const override { return std::chrono::seconds{5}; }
  SegmentState segment() const override { return segment_; }
  FaultPlan& faults() override { return faults_; }
  Journal& journal() override { return journal_; }
  Clock& clock() override { return *options_.clock; }
  const Options& options() const override { return options_; }
  bool ready() const override { return ready_; }
  void reset(const ResetSelection& selection) override { resets_.push_back(selection); }
  Result<void> cause(const Effects& effects) override {
    if (trouble_) return tl::make_unexpected(*trouble_);
    caused_.push_back(effects);
    return {};
  }

  // What it shows, and what it was asked to do; set and read while no request is under way.
  Statistics statistics_;
  BlockPage blocks_;
  MapState map_;
  LiveState live_;
  std::vector<NamespaceState> namespaces_;
  std::string url_ = "http://127.0.0.1:9200";
  SegmentState segment_;
  FaultPlan faults_;
  Journal journal_{100};
  Options options_;
  std::atomic<bool> ready_{true};
  std::vector<ResetSelection> resets_;
  std::vector<Effects> caused_;
  std::optional<Error> trouble_;
};

}  // namespace hyperpod::emulator::admin
