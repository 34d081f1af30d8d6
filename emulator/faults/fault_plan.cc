// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <utility>

#include "faults/fault_rules.h"
#include "faults/glob.h"
#include "hyperpod/emulator/faults.h"
#include "text/printable.h"

namespace hyperpod::emulator {
namespace {

using Generator = std::mt19937_64;
using std::chrono::milliseconds;

// The distributions of the standard library differ from one library to the next; these do not.

/// In [0, 1).
double draw(Generator& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

double draw_normal(Generator& random) {
  const double radius = std::sqrt(-2 * std::log(1 - draw(random)));
  return radius * std::cos(2 * std::numbers::pi * draw(random));
}

milliseconds draw_delay(const Delay& delay, Generator& random) {
  const auto low = static_cast<double>(delay.low.count());
  double drawn = low;
  switch (delay.kind) {
    case Delay::Kind::fixed:
      break;
    case Delay::Kind::uniform:
      drawn += std::floor(draw(random) * static_cast<double>((delay.high - delay.low).count() + 1));
      break;
    case Delay::Kind::lognormal:
      drawn = std::round(low * std::exp(delay.sigma * draw_normal(random)));
      break;
  }
  const auto longest = static_cast<double>(longest_fault.count());
  return milliseconds(static_cast<milliseconds::rep>(std::min(drawn, longest)));
}

}  // namespace

/// A fault in force.
struct FaultPlan::Armed {
  explicit Armed(Fault valid)
      : fault(std::move(valid)),
        operations(faults::operations_met(fault)),
        random(fault.match.seed) {}

  bool matches(const FaultSubject& subject) const {
    const FaultMatch& match = fault.match;
    return (operations & faults::just(subject.operation)) != 0 &&
           (!match.connection || *match.connection == subject.connection) &&
           faults::glob_matches(match.bucket, subject.bucket) &&
           faults::glob_matches(match.key, subject.key);
  }

  bool is_turn() const {
    const FaultMatch& match = fault.match;
    return (!match.nth || counts.matched == *match.nth) &&
           (!match.every || counts.matched % *match.every == 0) &&
           (!match.first || counts.matched <= *match.first);
  }

  /// What is to be done the next time; null when the script is at its end.
  const Effects* next() const {
    if (fault.script.size() == 1) return &fault.script.front();
    return counts.fired < fault.script.size() ? &fault.script[counts.fired] : nullptr;
  }

  /// What is done to `subject`, which matches.
  const Effects* fire(const FaultSubject& subject) {
    ++counts.matched;
    const Effects* const effects = next();
    if (effects == nullptr || !is_turn()) return nullptr;
    if (effects->connections_above && subject.open_connections <= *effects->connections_above) {
      return nullptr;
    }
    if (fault.match.probability < 1 && draw(random) >= fault.match.probability) return nullptr;
    ++counts.fired;
    return effects;
  }

  const Fault fault;
  const faults::OperationSet operations;
  Generator random;
  FaultCounts counts;
};

FaultPlan::FaultPlan() = default;
FaultPlan::~FaultPlan() = default;

Result<void> FaultPlan::append(Fault fault, std::vector<std::unique_ptr<Armed>>& armed) {
  if (auto valid = validate_fault(fault); !valid) return valid;
  const auto is_taken = [&](std::string_view name) {
    return std::ranges::any_of(armed, [&](const auto& other) { return other->fault.name == name; });
  };
  if (fault.name.empty()) {
    auto place = armed.size();
    do {
      fault.name = fmt::format("fault-{}", ++place);
    } while (is_taken(fault.name));
  } else if (is_taken(fault.name)) {
    return tl::unexpected(
        Error{ErrorCode::invalid_option,
              fmt::format("fault {}: name is taken by another fault of the plan; choose another",
                          text::quoted(fault.name))});
  }
  armed.push_back(std::make_unique<Armed>(std::move(fault)));
  return {};
}

Result<void> FaultPlan::add(Fault fault) {
  std::lock_guard lock(mutex_);
  return append(std::move(fault), armed_).map([this] { any_ = true; });
}

Result<void> FaultPlan::replace(std::vector<Fault> faults) {
  std::vector<std::unique_ptr<Armed>> armed;
  for (Fault& fault : faults) {
    if (auto done = append(std::move(fault), armed); !done) return done;
  }
  std::lock_guard lock(mutex_);
  armed_ = std::move(armed);
  any_ = !armed_.empty();
  return {};
}

bool FaultPlan::remove(std::string_view name) {
  std::lock_guard lock(mutex_);
  const bool removed =
      std::erase_if(armed_, [&](const auto& armed) { return armed->fault.name == name; }) != 0;
  any_ = !armed_.empty();
  return removed;
}

void FaultPlan::clear() {
  std::lock_guard lock(mutex_);
  armed_.clear();
  any_ = false;
}

std::vector<FaultPlan::Listed> FaultPlan::list() const {
  std::lock_guard lock(mutex_);
  std::vector<Listed> listed;
  for (const auto& armed : armed_) listed.push_back({armed->fault, armed->counts});
  return listed;
}

FaultCounts FaultPlan::counts(std::string_view name) const {
  std::lock_guard lock(mutex_);
  for (const auto& armed : armed_) {
    if (armed->fault.name == name) return armed->counts;
  }
  return {};
}

std::optional<FiredFault> FaultPlan::decide(const FaultSubject& subject) {
  if (empty()) return std::nullopt;
  std::lock_guard lock(mutex_);
  for (const auto& armed : armed_) {
    if (!armed->matches(subject)) continue;
    const Effects* const effects = armed->fire(subject);
    if (effects == nullptr) continue;
    const auto delay = effects->delay ? draw_delay(*effects->delay, armed->random) : milliseconds{};
    return FiredFault{armed->fault.name, *effects, delay};
  }
  return std::nullopt;
}

}  // namespace hyperpod::emulator
