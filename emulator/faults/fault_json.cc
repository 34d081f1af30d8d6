// SPDX-License-Identifier: Apache-2.0
// Faults as JSON. What a struct's members are called and how they are written stands in one table
// for each struct; reading and writing both walk it.
#include "faults/fault_json.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "faults/document.h"
#include "faults/fault_rules.h"
#include "text/printable.h"
#include "text/units.h"

namespace hyperpod::emulator::faults {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A path within the document, and what to say of it.
tl::unexpected<Error> refuse(std::string_view path, std::string_view what) {
  return tl::unexpected(
      Error{ErrorCode::invalid_option, fmt::format("{} {}", text::printable(path), what)});
}

tl::unexpected<Error> refuse_form(std::string_view path, std::string_view form, const json& value) {
  const std::string shown = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return refuse(path, fmt::format("must be {}, not {}", form,
                                  value.is_structured() ? std::string("an ") + value.type_name()
                                                        : text::quoted(shown)));
}

std::string member_of(const std::string& path, std::string_view name) {
  return fmt::format("{}.{}", path, name);
}

// --- Forms of values ----------------------------------------------------------------------------
// read(value, path, out) and write(value), for each type that a member can have.

struct Flag {
  static Result<void> read(const json& value, const std::string& path, bool& out) {
    if (!value.is_boolean()) return refuse_form(path, "true or false", value);
    out = value.get<bool>();
    return {};
  }
  static json write(bool value) { return value; }
};

struct Number {
  template <class T>
  static Result<void> read(const json& value, const std::string& path, T& out) {
    if constexpr (std::is_floating_point_v<T>) {
      if (!value.is_number()) return refuse_form(path, "a number", value);
    } else {
      constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
        return refuse_form(path, fmt::format("a whole number from 0 to {}", most), value);
      }
    }
    out = value.get<T>();
    return {};
  }
  template <class T>
  static json write(T value) {
    return value;
  }
};

struct Text {
  static Result<void> read(const json& value, const std::string& path, std::string& out) {
    if (!value.is_string()) return refuse_form(path, "a string", value);
    out = value.get<std::string>();
    return {};
  }
  static json write(const std::string& value) { return value; }
};

struct Octal {
  static Result<void> read(const json& value, const std::string& path, unsigned& out) {
    const auto* text = value.get_ptr<const std::string*>();
    if (text != nullptr) {
      const char* const end = text->data() + text->size();
      const auto [rest, failure] = std::from_chars(text->data(), end, out, 8);
      if (failure == std::errc{} && rest == end) return {};
    }
    return refuse_form(path, R"(a string of octal digits such as "0600")", value);
  }
  static json write(unsigned value) { return fmt::format("{:04o}", value); }
};

struct Period {
  static Result<void> read(const json& value, const std::string& path, milliseconds& out) {
    if (!value.is_string())
      return refuse_form(path, R"(a duration such as "250ms" or "2s")", value);
    const auto parsed = text::parse_duration(value.get_ref<const std::string&>());
    if (!parsed) return refuse(path, "is not a duration: " + parsed.error().message);
    out = *parsed;
    return {};
  }
  static Result<void> read(const json& value, const std::string& path, seconds& out) {
    milliseconds exact{};
    if (auto done = read(value, path, exact); !done) return done;
    out = std::chrono::floor<seconds>(exact);
    if (out != exact) return refuse_form(path, "a duration of whole seconds", value);
    return {};
  }
  static json write(milliseconds value) { return text::format_duration(value); }
};

template <class Enum>
using Name = std::pair<std::string_view, Enum>;

/// An enumerator, by its name.
template <class Enum>
struct Choice {
  std::span<const Name<Enum>> names;

  Result<void> read(const json& value, const std::string& path, Enum& out) const {
    std::string known;
    for (const auto& [name, enumerator] : names) {
      if (value == name) {
        out = enumerator;
        return {};
      }
      known += known.empty() ? "" : ", ";
      known += name;
    }
    return refuse_form(path, "one of " + known, value);
  }
  json write(Enum value) const {
    for (const auto& [name, enumerator] : names) {
      if (enumerator == value) return name;
    }
    return nullptr;
  }
};

// --- Tables of members --------------------------------------------------------------------------

template <class Struct, class Member, class Form>
struct Field {
  std::string_view name;
  Member Struct::*member;
  Form form;
};

template <class Struct, class Member, class Form>
Field(const char*, Member Struct::*, Form) -> Field<Struct, Member, Form>;

template <class T>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;

template <class Struct, class Member, class Form>
Result<void> read_field(const Field<Struct, Member, Form>& field, const json& value,
                        const std::string& path, Struct& out) {
  if constexpr (is_optional<Member>) {
    return field.form.read(value, path, (out.*field.member).emplace());
  } else {
    return field.form.read(value, path, out.*field.member);
  }
}

template <class Struct, class Member, class Form>
void write_field(const Field<Struct, Member, Form>& field, const Struct& value, json& out) {
  const Member& member = value.*field.member;
  if (member == Struct{}.*field.member) return;
  if constexpr (is_optional<Member>) {
    out[std::string(field.name)] = field.form.write(*member);
  } else {
    out[std::string(field.name)] = field.form.write(member);
  }
}

template <class... Fields>
std::string names_in(const std::tuple<Fields...>& table) {
  return std::apply(
      [](const auto&... field) {
        return fmt::format("{}", fmt::join(std::array{field.name...}, ", "));
      },
      table);
}

template <class Struct, class... Fields>
Result<void> read_member(const std::tuple<Fields...>& table, const std::string& name,
                         const json& value, const std::string& path, Struct& out) {
  Result<void> done = refuse(path, fmt::format("is unknown; known are {}", names_in(table)));
  const auto try_field = [&](const auto& field) {
    if (field.name != name) return false;
    done = read_field(field, value, path, out);
    return true;
  };
  std::apply([&](const auto&... field) { (try_field(field) || ...); }, table);
  return done;
}

template <class Struct, class... Fields>
Result<void> read_members(const std::tuple<Fields...>& table, const json& value,
                          const std::string& path, Struct& out) {
  if (!value.is_object()) return refuse_form(path, "an object", value);
  for (const auto& [name, member] : value.items()) {
    if (auto done = read_member(table, name, member, member_of(path, name), out); !done)
      return done;
  }
  return {};
}

template <class Struct, class... Fields>
json write_members(const std::tuple<Fields...>& table, const Struct& value) {
  json out = json::object();
  std::apply([&](const auto&... field) { (write_field(field, value, out), ...); }, table);
  return out;
}

/// A struct in a struct.
template <class Table>
struct Group {
  const Table& table;

  template <class Struct>
  Result<void> read(const json& value, const std::string& path, Struct& out) const {
    return read_members(table, value, path, out);
  }
  template <class Struct>
  json write(const Struct& value) const {
    return write_members(table, value);
  }
};

template <class Table>
Group(const Table&) -> Group<Table>;

// --- The structs --------------------------------------------------------------------------------

const std::tuple uniform_fields{Field{"low", &Delay::low, Period{}},
                                Field{"high", &Delay::high, Period{}}};
const std::tuple lognormal_fields{Field{"median", &Delay::low, Period{}},
                                  Field{"sigma", &Delay::sigma, Number{}}};

/// The members that are there tell the kind.
struct DelayForm {
  static Result<void> read(const json& value, const std::string& path, Delay& out) {
    if (!value.is_object()) {
      out.kind = Delay::Kind::fixed;
      return Period::read(value, path, out.low);
    }
    if (value.contains("median") || value.contains("sigma")) {
      out.kind = Delay::Kind::lognormal;
      return read_members(lognormal_fields, value, path, out);
    }
    out.kind = Delay::Kind::uniform;
    return read_members(uniform_fields, value, path, out);
  }
  static json write(const Delay& delay) {
    switch (delay.kind) {
      case Delay::Kind::uniform:
        return write_members(uniform_fields, delay);
      case Delay::Kind::lognormal:
        return write_members(lognormal_fields, delay);
      default:
        return Period::write(delay.low);
    }
  }
};

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

constexpr std::array<Name<Incident>, 6> incident_names{
    {{"unlink_segment", Incident::unlink_segment},
     {"recreate_segment", Incident::recreate_segment},
     {"empty_segment", Incident::empty_segment},
     {"change_mode", Incident::change_mode},
     {"drop_objects", Incident::drop_objects},
     {"restart", Incident::restart}}};

constexpr std::array<Name<GrantDefect>, 9> defect_names{
    {{"truncated_json", GrantDefect::truncated_json},
     {"wrong_content_type", GrantDefect::wrong_content_type},
     {"missing_id", GrantDefect::missing_id},
     {"missing_offsets", GrantDefect::missing_offsets},
     {"negative_offset", GrantDefect::negative_offset},
     {"out_of_range_offset", GrantDefect::out_of_range_offset},
     {"overlapping_fragments", GrantDefect::overlapping_fragments},
     {"zero_length_fragment", GrantDefect::zero_length_fragment},
     {"wrong_total", GrantDefect::wrong_total}}};

const std::tuple match_fields{
    Field{"operation", &FaultMatch::operation, Choice<FaultOperation>{operation_names}},
    Field{"bucket", &FaultMatch::bucket, Text{}},
    Field{"key", &FaultMatch::key, Text{}},
    Field{"connection", &FaultMatch::connection, Number{}},
    Field{"nth", &FaultMatch::nth, Number{}},
    Field{"every", &FaultMatch::every, Number{}},
    Field{"first", &FaultMatch::first, Number{}},
    Field{"probability", &FaultMatch::probability, Number{}},
    Field{"seed", &FaultMatch::seed, Number{}},
};

const std::tuple effects_fields{
    Field{"incident", &Effects::incident, Choice<Incident>{incident_names}},
    Field{"lasting", &Effects::lasting, Period{}},
    Field{"mode", &Effects::mode, Octal{}},
    Field{"delay", &Effects::delay, DelayForm{}},
    Field{"status", &Effects::status, Number{}},
    Field{"body", &Effects::body, Text{}},
    Field{"retry_after", &Effects::retry_after, Period{}},
    Field{"reset", &Effects::reset, Flag{}},
    Field{"never_answer", &Effects::never_answer, Flag{}},
    Field{"close_after_bytes", &Effects::close_after_bytes, Number{}},
    Field{"dribble", &Effects::dribble, Period{}},
    Field{"stop_reading_after", &Effects::stop_reading_after, Number{}},
    Field{"bytes_per_second", &Effects::bytes_per_second, Number{}},
    Field{"grant_defect", &Effects::grant_defect, Choice<GrantDefect>{defect_names}},
    Field{"real_ttl", &Effects::real_ttl, Period{}},
    Field{"forget_lease", &Effects::forget_lease, Flag{}},
    Field{"evict_under_lease", &Effects::evict_under_lease, Flag{}},
    Field{"poison", &Effects::poison, Text{}},
    Field{"hold_longer", &Effects::hold_longer, Period{}},
    Field{"connections_above", &Effects::connections_above, Number{}},
    Field{"leave_unaccepted", &Effects::leave_unaccepted, Flag{}},
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
      if (auto done = read_members(effects_fields, element, inner, out.emplace_back()); !done) {
        return done;
      }
    }
    return {};
  }
  static json write(const std::vector<Effects>& script) {
    json out = json::array();
    for (const Effects& effects : script) out.push_back(write_members(effects_fields, effects));
    return out;
  }
};

const std::tuple fault_fields{
    Field{"name", &FaultForm::name, Text{}},
    Field{"match", &FaultForm::match, Group{match_fields}},
    Field{"effects", &FaultForm::effects, Group{effects_fields}},
    Field{"script", &FaultForm::script, ScriptForm{}},
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
  for (const json& element : value) {
    auto fault = read_fault(element, fmt::format("faults[{}]", faults.size()));
    if (!fault) return tl::unexpected(fault.error());
    faults.push_back(*std::move(fault));
  }
  return faults;
}

}  // namespace

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
