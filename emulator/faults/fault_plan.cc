// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <optional>
#include <random>
#include <string>
#include <unordered_set>
#include <utility>

#include "faults/fault_rules.h"
#include "faults/glob.h"
#include "hyperpod/base/text.h"
#include "hyperpod/emulator/faults.h"

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
      : fault(std::move(valid)), operations(faults::operations_met(fault)) {}

  bool matches(const FaultSubject& subject) const {
    const FaultMatch& match = fault.match;
    return (operations & faults::operation_bit(subject.operation)) != 0 &&
           (!match.connection || *match.connection == subject.connection) &&
           faults::glob_matches(match.bucket, subject.bucket) &&
           faults::glob_matches(match.key, subject.key);
  }

  Generator& generator() { return random ? *random : random.emplace(fault.match.seed); }

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
    if (fault.match.probability < 1 && draw(generator()) >= fault.match.probability) return nullptr;
    ++counts.fired;
    return effects;
  }

  Fault fault;  // constant once it is in force
  faults::OperationSet operations;
  std::optional<Generator> random;  // made when it is first needed: it has 2.5 kB
  FaultCounts counts;
};

/// All faults in force, and their names.
struct FaultPlan::Plan {
  /// Adds all of `more` or, on an error, none.
  Result<void> append(std::vector<std::unique_ptr<Armed>> more);

  std::vector<std::unique_ptr<Armed>> armed;
  std::unordered_set<std::string> names;

 private:
  Result<void> take_name(Fault& fault, std::size_t& number);
};

Result<void> FaultPlan::Plan::take_name(Fault& fault, std::size_t& number) {
  if (fault.name.empty()) {
    do {
      fault.name = fmt::format("fault-{}", ++number);
    } while (!names.insert(fault.name).second);
  } else if (!names.insert(fault.name).second) {
    return tl::unexpected(
        Error{ErrorCode::invalid_option,
              fmt::format("fault {}: name is taken by another fault of the plan; choose another",
                          base::quoted(fault.name))});
  }
  return {};
}

Result<void> FaultPlan::Plan::append(std::vector<std::unique_ptr<Armed>> more) {
  std::size_t number = armed.size();
  for (std::size_t i = 0; i < more.size(); ++i) {
    number = std::max(number, armed.size() + i);
    if (auto taken = take_name(more[i]->fault, number); !taken) {
      for (std::size_t undone = 0; undone < i; ++undone) names.erase(more[undone]->fault.name);
      return taken;
    }
  }
  std::ranges::move(more, std::back_inserter(armed));
  return {};
}

FaultPlan::FaultPlan() : plan_(std::make_unique<Plan>()) {}
FaultPlan::~FaultPlan() = default;

Result<std::vector<std::unique_ptr<FaultPlan::Armed>>> FaultPlan::arm(std::vector<Fault> faults) {
  std::vector<std::unique_ptr<Armed>> armed;
  armed.reserve(faults.size());
  for (Fault& fault : faults) {
    if (auto valid = validate_fault(fault); !valid) return tl::unexpected(valid.error());
    armed.push_back(std::make_unique<Armed>(std::move(fault)));
  }
  return armed;
}

Result<void> FaultPlan::add(Fault fault) {
  std::vector<Fault> one;
  one.push_back(std::move(fault));
  return add_all(std::move(one));
}

Result<void> FaultPlan::add_all(std::vector<Fault> faults) {
  auto armed = arm(std::move(faults));
  if (!armed) return tl::unexpected(armed.error());
  std::lock_guard lock(mutex_);
  auto added = plan_->append(std::move(*armed));
  any_ = !plan_->armed.empty();
  return added;
}

Result<void> FaultPlan::replace(std::vector<Fault> faults) {
  auto armed = arm(std::move(faults));
  if (!armed) return tl::unexpected(armed.error());
  auto plan = std::make_unique<Plan>();
  if (auto added = plan->append(std::move(*armed)); !added) return added;
  std::lock_guard lock(mutex_);
  plan_.swap(plan);
  any_ = !plan_->armed.empty();
  return {};
}

bool FaultPlan::remove(std::string_view name) {
  std::lock_guard lock(mutex_);
  if (plan_->names.erase(std::string(name)) == 0) return false;
  std::erase_if(plan_->armed, [&](const auto& armed) { return armed->fault.name == name; });
  any_ = !plan_->armed.empty();
  return true;
}

void FaultPlan::clear() {
  auto nothing = std::make_unique<Plan>();
  std::lock_guard lock(mutex_);
  plan_.swap(nothing);
  any_ = false;
}

std::vector<FaultPlan::Listed> FaultPlan::list() const {
  std::lock_guard lock(mutex_);
  std::vector<Listed> listed;
  for (const auto& armed : plan_->armed) listed.push_back({armed->fault, armed->counts});
  return listed;
}

FaultCounts FaultPlan::counts(std::string_view name) const {
  std::lock_guard lock(mutex_);
  for (const auto& armed : plan_->armed) {
    if (armed->fault.name == name) return armed->counts;
  }
  return {};
}

std::optional<FiredFault> FaultPlan::decide(const FaultSubject& subject) {
  if (empty()) return std::nullopt;
  std::lock_guard lock(mutex_);
  for (const auto& armed : plan_->armed) {
    if (!armed->matches(subject)) continue;
    const Effects* const effects = armed->fire(subject);
    if (effects == nullptr) continue;
    auto delay = milliseconds{};
    if (effects->delay && effects->delay->kind == Delay::Kind::fixed) {
      delay = std::min(effects->delay->low, longest_fault);
    } else if (effects->delay) {
      delay = draw_delay(*effects->delay, armed->generator());
    }
    return FiredFault{armed->fault.name, *effects, delay};
  }
  return std::nullopt;
}

}  // namespace hyperpod::emulator
