// SPDX-License-Identifier: Apache-2.0
#include "faults/fault_rules.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "faults/findings.h"
#include "hyperpod/base/text.h"

namespace hyperpod::emulator::faults {
namespace {

OperationSet operations_of(FaultOperation operation) {
  return operation == FaultOperation::any ? kv_requests : operation_bit(operation);
}

Problem check_name(const std::string& name) {
  constexpr std::size_t most = 100;
  Findings findings("");
  findings.require(name.size() <= most, "name", fmt::format("must have at most {} bytes", most));
  findings.require(base::printable(name) == name, "name", "must have no control characters");
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

Problem check_script(const Fault& fault) {
  const auto& script = fault.script;
  if (script.empty()) return FieldProblem{"script", "must have at least one element"};
  OperationSet operations = operations_of(fault.match.operation);
  for (std::size_t i = 0; i < script.size(); ++i) {
    const auto path = script.size() == 1 ? std::string("effects") : fmt::format("script[{}]", i);
    if (auto problem = find_problem(script[i], path, operations)) return problem;
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
  for (const Effects& effects : fault.script) operations = operations_met(effects, operations);
  return operations;
}

}  // namespace hyperpod::emulator::faults

namespace hyperpod::emulator {

Result<void> validate_fault(const Fault& fault) {
  if (const auto problem = faults::find_problem(fault)) {
    return tl::unexpected(Error{
        ErrorCode::invalid_option,
        fmt::format("fault {}: {} {}", base::quoted(fault.name), problem->field, problem->what)});
  }
  return {};
}

}  // namespace hyperpod::emulator
