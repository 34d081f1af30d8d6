// SPDX-License-Identifier: Apache-2.0
#include "faults/fault_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "text/printable.h"
#include "text/units.h"

namespace hyperpod::emulator::faults {
namespace {

using std::chrono::milliseconds;

constexpr OperationSet put = just(FaultOperation::put);
constexpr OperationSet lease = just(FaultOperation::lease);
constexpr OperationSet release = just(FaultOperation::release);
constexpr OperationSet connect = just(FaultOperation::connect);
constexpr OperationSet checkpoint_put = just(FaultOperation::checkpoint_put);
constexpr OperationSet checkpoint_get = just(FaultOperation::checkpoint_get);
constexpr OperationSet checkpoint_delete = just(FaultOperation::checkpoint_delete);
constexpr OperationSet checkpoint_namespace = just(FaultOperation::checkpoint_namespace);
constexpr OperationSet kv_requests = put | lease | release;
constexpr OperationSet requests =
    kv_requests | checkpoint_put | checkpoint_get | checkpoint_delete | checkpoint_namespace;
constexpr OperationSet all = requests | connect;

struct EffectRule {
  std::string_view field;
  bool (*given)(const Effects&);
  OperationSet operations;  // to which it can be done
};

template <auto member>
constexpr bool given(const Effects& effects) {
  return effects.*member != decltype(Effects{}.*member){};
}

constexpr std::array effect_rules{
    EffectRule{"incident", given<&Effects::incident>, requests},
    EffectRule{"lasting", given<&Effects::lasting>, requests},
    EffectRule{"mode", given<&Effects::mode>, requests},
    EffectRule{"delay", given<&Effects::delay>, all},
    EffectRule{"status", given<&Effects::status>, requests},
    EffectRule{"body", given<&Effects::body>, requests},
    EffectRule{"retry_after", given<&Effects::retry_after>, requests},
    EffectRule{"reset", given<&Effects::reset>, all},
    EffectRule{"never_answer", given<&Effects::never_answer>, all},
    EffectRule{"close_after_bytes", given<&Effects::close_after_bytes>, requests},
    EffectRule{"dribble", given<&Effects::dribble>, requests},
    EffectRule{"bytes_per_second", given<&Effects::bytes_per_second>, requests},
    EffectRule{"stop_reading_after", given<&Effects::stop_reading_after>, put | checkpoint_put},
    EffectRule{"grant_defect", given<&Effects::grant_defect>, lease},
    EffectRule{"real_ttl", given<&Effects::real_ttl>, lease},
    EffectRule{"forget_lease", given<&Effects::forget_lease>, lease},
    EffectRule{"evict_under_lease", given<&Effects::evict_under_lease>, lease},
    EffectRule{"poison", given<&Effects::poison>, lease},
    EffectRule{"hold_longer", given<&Effects::hold_longer>, lease},
    EffectRule{"connections_above", given<&Effects::connections_above>, connect},
    EffectRule{"leave_unaccepted", given<&Effects::leave_unaccepted>, connect},
};

struct Exclusion {
  std::string_view field;
  std::string_view other;
  std::string_view why;
};

constexpr std::string_view only_one_end = "a request ends in one way";
constexpr std::string_view no_answer = "no response is sent";
constexpr std::string_view not_served = "the request is not served";
constexpr std::string_view not_opened = "the connection is not opened";
constexpr std::string_view lease_is_over = "the lease is over at once";

constexpr std::array exclusions{
    Exclusion{"status", "reset", only_one_end},
    Exclusion{"status", "never_answer", only_one_end},
    Exclusion{"reset", "never_answer", only_one_end},
    Exclusion{"reset", "close_after_bytes", no_answer},
    Exclusion{"reset", "dribble", no_answer},
    Exclusion{"reset", "grant_defect", no_answer},
    Exclusion{"never_answer", "delay", no_answer},
    Exclusion{"never_answer", "close_after_bytes", no_answer},
    Exclusion{"never_answer", "dribble", no_answer},
    Exclusion{"never_answer", "grant_defect", no_answer},
    Exclusion{"stop_reading_after", "status", no_answer},
    Exclusion{"stop_reading_after", "reset", no_answer},
    Exclusion{"stop_reading_after", "never_answer", no_answer},
    Exclusion{"stop_reading_after", "delay", no_answer},
    Exclusion{"stop_reading_after", "close_after_bytes", no_answer},
    Exclusion{"stop_reading_after", "dribble", no_answer},
    Exclusion{"connections_above", "delay", not_opened},
    Exclusion{"connections_above", "reset", not_opened},
    Exclusion{"connections_above", "never_answer", not_opened},
    Exclusion{"leave_unaccepted", "delay", not_opened},
    Exclusion{"leave_unaccepted", "reset", not_opened},
    Exclusion{"leave_unaccepted", "never_answer", not_opened},
    Exclusion{"status", "grant_defect", not_served},
    Exclusion{"status", "real_ttl", not_served},
    Exclusion{"status", "forget_lease", not_served},
    Exclusion{"status", "evict_under_lease", not_served},
    Exclusion{"status", "poison", not_served},
    Exclusion{"status", "hold_longer", not_served},
    Exclusion{"forget_lease", "evict_under_lease", lease_is_over},
    Exclusion{"forget_lease", "real_ttl", lease_is_over},
    Exclusion{"evict_under_lease", "real_ttl", lease_is_over},
};

const EffectRule& rule_of(std::string_view field) {
  return *std::ranges::find(effect_rules, field, &EffectRule::field);
}

std::string names_of(OperationSet operations) {
  std::string names;
  for (const auto& [operation, name] :
       {std::pair{put, "put"}, std::pair{lease, "lease"}, std::pair{release, "release"},
        std::pair{connect, "connect"}, std::pair{checkpoint_put, "checkpoint_put"},
        std::pair{checkpoint_get, "checkpoint_get"},
        std::pair{checkpoint_delete, "checkpoint_delete"},
        std::pair{checkpoint_namespace, "namespace"}}) {
    if ((operations & operation) == 0) continue;
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

OperationSet operations_of(FaultOperation operation) {
  return operation == FaultOperation::any ? kv_requests : just(operation);
}

using Problem = std::optional<FieldProblem>;

/// Where the checks report; the first problem stays.
class Findings {
 public:
  explicit Findings(std::string prefix) : prefix_(std::move(prefix)) {}

  void require(bool holds, std::string_view field, std::string_view what) {
    if (holds || problem_) return;
    problem_ = FieldProblem{fmt::format("{}{}", prefix_, field), std::string(what)};
  }

  void duration(milliseconds value, std::string_view field, milliseconds least) {
    if (value >= least && value <= longest_fault) return;
    const std::string shown = value < milliseconds::zero() ? fmt::format("{}ms", value.count())
                                                           : text::format_duration(value);
    require(false, field,
            fmt::format("must be from {} to {}, not {}", text::format_duration(least),
                        text::format_duration(longest_fault), shown));
  }

  Problem problem() && { return std::move(problem_); }

 private:
  std::string prefix_;
  Problem problem_;
};

constexpr milliseconds any_time{0};
constexpr milliseconds some_time{1};

Problem check_name(const std::string& name) {
  constexpr std::size_t most = 100;
  Findings findings("");
  findings.require(name.size() <= most, "name", fmt::format("must have at most {} bytes", most));
  findings.require(text::printable(name) == name, "name", "must have no control characters");
  return std::move(findings).problem();
}

Problem check_match(const FaultMatch& match) {
  constexpr std::size_t longest_glob = 1024;
  Findings findings("match.");
  const bool connects = match.operation == FaultOperation::connect;
  for (const auto& [field, glob] : {std::pair{"bucket", &match.bucket}, {"key", &match.key}}) {
    findings.require(!glob->empty(), field, "must not be empty; * matches every name");
    findings.require(glob->size() <= longest_glob, field,
                     fmt::format("must have at most {} bytes", longest_glob));
    findings.require(!connects || *glob == "*", field,
                     "cannot be matched with operation connect; a connection has no names");
  }
  findings.require(match.connection != 0, "connection", "must be at least 1");
  std::string_view counted;
  for (const auto& [field, count] :
       {std::pair{"nth", &match.nth}, {"every", &match.every}, {"first", &match.first}}) {
    if (!*count) continue;
    findings.require(**count != 0, field, "must be at least 1");
    findings.require(
        counted.empty(), field,
        fmt::format("cannot be given beside {}; give one of nth, every and first", counted));
    counted = field;
  }
  // Written so that a NaN is refused.
  findings.require(match.probability > 0 && match.probability <= 1, "probability",
                   fmt::format("must be in (0, 1], not {}", match.probability));
  return std::move(findings).problem();
}

Problem check_delay(const Delay& delay, const std::string& path) {
  using Kind = Delay::Kind;
  if (delay.kind == Kind::fixed) {
    Findings findings(path);
    findings.duration(delay.low, "", any_time);
    findings.require(delay.high == any_time && delay.sigma == 0, "",
                     "is fixed and has neither high nor sigma");
    return std::move(findings).problem();
  }
  Findings findings(path + ".");
  if (delay.kind == Kind::uniform) {
    findings.duration(delay.low, "low", any_time);
    findings.duration(delay.high, "high", some_time);
    findings.require(delay.low <= delay.high, "low", "must not be above high");
    findings.require(delay.sigma == 0, "sigma", "goes with a median, not with low and high");
  } else {
    findings.duration(delay.low, "median", some_time);
    findings.require(delay.sigma > 0 && delay.sigma <= 10, "sigma",
                     fmt::format("must be in (0, 10], not {}", delay.sigma));
    findings.require(delay.high == any_time, "high", "goes with low, not with a median");
  }
  return std::move(findings).problem();
}

void check_ranges(const Effects& effects, Findings& findings) {
  if (effects.status) {
    findings.require(*effects.status >= 200 && *effects.status <= 599, "status",
                     fmt::format("must be from 200 to 599, not {}", *effects.status));
  }
  findings.require(effects.mode.value_or(0) <= 0777, "mode", "must be from 0000 to 0777");
  findings.duration(effects.lasting, "lasting", any_time);
  if (effects.retry_after) {
    constexpr auto longest = std::chrono::floor<std::chrono::seconds>(longest_fault);
    findings.require(effects.retry_after->count() >= 0 && *effects.retry_after <= longest,
                     "retry_after",
                     fmt::format("must be from 0s to {}", text::format_duration(longest)));
  }
  if (effects.dribble) findings.duration(*effects.dribble, "dribble", some_time);
  if (effects.real_ttl) findings.duration(*effects.real_ttl, "real_ttl", some_time);
  if (effects.hold_longer) findings.duration(*effects.hold_longer, "hold_longer", some_time);
  findings.require(effects.bytes_per_second != 0, "bytes_per_second", "must be at least 1");
  findings.require(effects.poison != "", "poison", "must not be empty");
}

void check_needs(const Effects& effects, Findings& findings) {
  const bool empties = effects.incident == Incident::empty_segment;
  const bool changes_mode = effects.incident == Incident::change_mode;
  findings.require(
      given<&Effects::lasting>(effects) == empties, "lasting",
      empties ? "is missing; incident empty_segment needs it" : "needs incident empty_segment");
  findings.require(
      effects.mode.has_value() == changes_mode, "mode",
      changes_mode ? "is missing; incident change_mode needs it" : "needs incident change_mode");
  findings.require(!effects.body || effects.status, "body", "needs a status to go with");
  findings.require(
      !effects.body || (effects.status != 204 && effects.status != 304), "body",
      fmt::format("cannot go with status {}, which has none", effects.status.value_or(0)));
  findings.require(!effects.retry_after || effects.status, "retry_after",
                   "needs a status to go with");
}

void check_exclusions(const Effects& effects, Findings& findings) {
  for (const auto& [field, other, why] : exclusions) {
    findings.require(!rule_of(field).given(effects) || !rule_of(other).given(effects), other,
                     fmt::format("cannot go with {}: {}", field, why));
  }
  if (effects.incident != Incident::restart) return;
  for (const EffectRule& rule : effect_rules) {
    findings.require(rule.field == "incident" || !rule.given(effects), rule.field,
                     "cannot go with incident restart, which cuts the connection");
  }
}

/// Narrows `operations` to those that all of `effects` can be done to.
void check_operations(const Effects& effects, OperationSet& operations, Findings& findings) {
  for (const EffectRule& rule : effect_rules) {
    if (!rule.given(effects)) continue;
    findings.require((operations & rule.operations) != 0, rule.field,
                     fmt::format("can be done to {} only, and this fault meets {}",
                                 names_of(rule.operations), names_of(operations)));
    operations &= rule.operations;
  }
}

Problem check_effects(const Effects& effects, const std::string& path, OperationSet& operations) {
  Findings findings(path + ".");
  check_operations(effects, operations, findings);
  check_ranges(effects, findings);
  check_needs(effects, findings);
  check_exclusions(effects, findings);
  auto problem = std::move(findings).problem();
  if (!problem && effects.delay) problem = check_delay(*effects.delay, path + ".delay");
  return problem;
}

Problem check_script(const Fault& fault) {
  const auto& script = fault.script;
  if (script.empty()) return FieldProblem{"script", "must have at least one element"};
  OperationSet operations = operations_of(fault.match.operation);
  for (std::size_t i = 0; i < script.size(); ++i) {
    const auto path = script.size() == 1 ? std::string("effects") : fmt::format("script[{}]", i);
    if (auto problem = check_effects(script[i], path, operations)) return problem;
  }
  return std::nullopt;
}

}  // namespace

Problem find_problem(const Fault& fault) {
  if (auto problem = check_name(fault.name)) return problem;
  if (auto problem = check_match(fault.match)) return problem;
  return check_script(fault);
}

OperationSet operations_met(const Fault& fault) {
  OperationSet operations = operations_of(fault.match.operation);
  for (const Effects& effects : fault.script) {
    for (const EffectRule& rule : effect_rules) {
      if (rule.given(effects)) operations &= rule.operations;
    }
  }
  return operations;
}

}  // namespace hyperpod::emulator::faults

namespace hyperpod::emulator {

Result<void> validate_fault(const Fault& fault) {
  if (const auto problem = faults::find_problem(fault)) {
    return tl::unexpected(Error{
        ErrorCode::invalid_option,
        fmt::format("fault {}: {} {}", text::quoted(fault.name), problem->field, problem->what)});
  }
  return {};
}

}  // namespace hyperpod::emulator
