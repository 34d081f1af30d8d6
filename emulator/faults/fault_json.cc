// SPDX-License-Identifier: Apache-2.0
#include "faults/fault_json.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "faults/document.h"
#include "faults/effects.h"
#include "faults/fault_rules.h"
#include "faults/forms.h"
#include "hyperpod/base/text.h"

namespace hyperpod::emulator::faults {
namespace {

constexpr std::array<Name<FaultOperation>, 9> operation_names{
    {{"any", FaultOperation::any},
     {"put", FaultOperation::put},
     {"lease", FaultOperation::lease},
     {"release", FaultOperation::release},
     {"connect", FaultOperation::connect},
     {"checkpoint_put", FaultOperation::checkpoint_put},
     {"checkpoint_get", FaultOperation::checkpoint_get},
     {"checkpoint_delete", FaultOperation::checkpoint_delete},
     {"namespace", FaultOperation::checkpoint_namespace}}};

const std::tuple match_fields{
    Field{"operation", &FaultMatch::operation, Choice<FaultOperation>{operation_names}, ""},
    Field{"bucket", &FaultMatch::bucket, Text{}, "Glob with * and ?"},
    Field{"key", &FaultMatch::key, Text{}, "Glob with * and ?"},
    Field{"connection", &FaultMatch::connection, Number{}, "Number of the connection, from 1"},
    Field{"nth", &FaultMatch::nth, Number{}, "Only the n-th match"},
    Field{"every", &FaultMatch::every, Number{}, "Every n-th match"},
    Field{"first", &FaultMatch::first, Number{}, "The first n matches"},
    Field{"probability", &FaultMatch::probability, Fraction{}, "In (0, 1]"},
    Field{"seed", &FaultMatch::seed, Number{}, "Of chance and delays"},
};

/// "effects" holds a script of one, which is done each time; "script" a longer one.
struct FaultForm {
  std::string name;
  FaultMatch match;
  std::optional<Effects> effects;
  std::vector<Effects> script;
};

struct ScriptForm {
  static Result<void> read(const json& value, const std::string& path, std::vector<Effects>& out) {
    if (!value.is_array()) return refuse_form(path, "an array", value);
    if (value.size() < 2) {
      return refuse(path,
                    "must have at least two elements; for what is done each time the fault "
                    "fires give effects");
    }
    for (const json& element : value) {
      const auto inner = fmt::format("{}[{}]", path, out.size());
      if (auto done = read_effects(element, inner, out.emplace_back()); !done) return done;
    }
    return {};
  }
  static json write(const std::vector<Effects>& script) {
    json out = json::array();
    for (const Effects& effects : script) out.push_back(write_effects(effects));
    return out;
  }
};

struct EffectsForm {
  static Result<void> read(const json& value, const std::string& path, Effects& out) {
    return read_effects(value, path, out);
  }
  static json write(const Effects& effects) { return write_effects(effects); }
};

const std::tuple fault_fields{
    Field{"name", &FaultForm::name, Text{}, "Unique; made up when left out"},
    Field{"match", &FaultForm::match, Group{match_fields}, ""},
    Field{"effects", &FaultForm::effects, EffectsForm{}, ""},
    Field{"script", &FaultForm::script, ScriptForm{}, ""},
};

Result<Fault> read_fault(const json& value, const std::string& path) {
  FaultForm form;
  if (auto done = read_members(fault_fields, value, path, form); !done) {
    return tl::unexpected(done.error());
  }
  if (form.effects.has_value() != form.script.empty()) {
    return refuse(path, "must have either effects or a script");
  }
  if (form.effects) form.script.push_back(*std::move(form.effects));
  Fault fault{std::move(form.name), std::move(form.match), std::move(form.script)};
  if (const auto problem = find_problem(fault)) {
    return refuse(member_of(path, problem->field), problem->what);
  }
  return fault;
}

json write_fault(const Fault& fault) {
  FaultForm form{fault.name, fault.match, std::nullopt, {}};
  if (fault.script.size() == 1) {
    form.effects = fault.script.front();
  } else {
    form.script = fault.script;
  }
  return write_members(fault_fields, form);
}

Result<std::vector<Fault>> read_faults(const json& value) {
  if (!value.is_array()) return refuse_form("faults", "an array of faults", value);
  std::vector<Fault> faults;
  std::unordered_set<std::string> names;
  for (const json& element : value) {
    const auto path = fmt::format("faults[{}]", faults.size());
    auto fault = read_fault(element, path);
    if (!fault) return tl::unexpected(fault.error());
    if (!fault->name.empty() && !names.insert(fault->name).second) {
      return refuse(member_of(path, "name"),
                    base::quoted(fault->name) + " is taken by a fault before it; choose another");
    }
    faults.push_back(*std::move(fault));
  }
  return faults;
}

}  // namespace

nlohmann::ordered_json match_schema() { return schema_of_members(match_fields); }

Result<std::vector<Fault>> read_scenario(const json& document) {
  if (!document.is_object()) return read_faults(document);
  for (const auto& [name, value] : document.items()) {
    if (name == "description") {
      if (!value.is_string()) return refuse_form(name, "a string", value);
    } else if (name != "faults") {
      return refuse(name, "is unknown; known are description, faults");
    }
  }
  if (!document.contains("faults")) return refuse("faults", "is missing; give an array of faults");
  return read_faults(document["faults"]);
}

}  // namespace hyperpod::emulator::faults

namespace hyperpod::emulator {

Result<std::vector<Fault>> faults_from_json(std::string_view text) {
  return faults::parse_json(text).and_then(faults::read_scenario);
}

std::string fault_to_json(const Fault& fault, const FaultCounts& counts) {
  auto out = faults::write_fault(fault);
  out["counts"] = {{"matched", counts.matched}, {"fired", counts.fired}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace hyperpod::emulator
