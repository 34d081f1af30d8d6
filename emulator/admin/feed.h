// SPDX-License-Identifier: Apache-2.0
// What the page is told: the whole state once, then what has changed since, twice a second.
//
// One look at the emulator serves every page, and it looks at bins and at the newest, never at
// every object, so that a page costs the same with a hundred thousand objects. One thread uses it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "admin/control.h"
#include "admin/message.h"
#include "admin/views.h"

namespace hyperpod::emulator::admin {

class Feed {
 public:
  /// `control` must outlive this.
  explicit Feed(Control& control);

  /// Looks at the emulator.
  void take();
  /// Nobody listens any more: the next who does begins with a new look.
  void rest();

  /// The number of the last look; 0 when there is none or it is too old to go on from.
  std::uint64_t tick() const { return tick_; }
  /// All of the last look, and what changed since the one before, each as a server-sent event.
  const std::string& state();
  const std::string& change() const { return change_; }

 private:
  struct Look {
    Json members = Json::object();  // by name, whole
    Json latency = Json::object();
    MapState map;
    std::vector<std::string> requests;  // the newest, oldest first
  };

  Look look();
  std::vector<std::string> newest();

  Control& control_;
  Look last_;
  std::uint64_t tick_ = 0;
  std::uint64_t ticks_ = 0;
  std::uint64_t journalled_ = 0;  // sequence of the newest entry seen
  std::string state_;             // empty: not made yet
  std::string change_;
};

/// A body that tells of each look at the emulator as it is taken.
std::unique_ptr<Source> follow(std::shared_ptr<Feed> feed);

}  // namespace hyperpod::emulator::admin
