// SPDX-License-Identifier: Apache-2.0
#include "points.h"

#include <map>
#include <memory>
#include <mutex>

namespace hyperpod::client::points {
namespace {

using Action = std::function<void(Values)>;

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Action>, std::less<>> actions;
};

Registry& registry() {
  static auto* const instance = new Registry;  // outlives every thread
  return *instance;
}

}  // namespace

void reach(std::string_view name, Values values) {
  std::shared_ptr<Action> action;
  {
    std::lock_guard lock(registry().mutex);
    const auto found = registry().actions.find(name);
    if (found == registry().actions.end()) return;
    action = found->second;
  }
  (*action)(values);
}

void set(const std::string& name, Action action) {
  std::lock_guard lock(registry().mutex);
  if (action) {
    registry().actions[name] = std::make_shared<Action>(std::move(action));
  } else {
    registry().actions.erase(name);
  }
}

void clear() {
  std::lock_guard lock(registry().mutex);
  registry().actions.clear();
}

}  // namespace hyperpod::client::points
