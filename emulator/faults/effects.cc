// SPDX-License-Identifier: Apache-2.0
#include "faults/effects.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "faults/findings.h"
#include "faults/forms.h"

namespace hyperpod::emulator::faults {
namespace {

using std::chrono::milliseconds;

constexpr OperationSet put = operation_bit(FaultOperation::put);
constexpr OperationSet lease = operation_bit(FaultOperation::lease);
constexpr OperationSet release = operation_bit(FaultOperation::release);
constexpr OperationSet connect = operation_bit(FaultOperation::connect);
constexpr OperationSet checkpoint_put = operation_bit(FaultOperation::checkpoint_put);
constexpr OperationSet checkpoint_get = operation_bit(FaultOperation::checkpoint_get);
constexpr OperationSet checkpoint_delete = operation_bit(FaultOperation::checkpoint_delete);
constexpr OperationSet checkpoint_namespace = operation_bit(FaultOperation::checkpoint_namespace);
constexpr OperationSet all = all_requests | connect;

// --- Names --------------------------------------------------------------------------------------

constexpr std::array<Name<Incident>, 6> incident_names{
    {{"unlink_segment", Incident::unlink_segment},
     {"recreate_segment", Incident::recreate_segment},
     {"empty_segment", Incident::empty_segment},
     {"change_mode", Incident::change_mode},
     {"drop_objects", Incident::drop_objects},
     {"restart", Incident::restart}}};
constexpr Choice<Incident> incident_form{incident_names};

constexpr std::array<Name<GrantDefect>, 10> defect_names{
    {{"truncated_json", GrantDefect::truncated_json},
     {"wrong_content_type", GrantDefect::wrong_content_type},
     {"missing_id", GrantDefect::missing_id},
     {"missing_offsets", GrantDefect::missing_offsets},
     {"negative_offset", GrantDefect::negative_offset},
     {"out_of_range_offset", GrantDefect::out_of_range_offset},
     {"overlapping_fragments", GrantDefect::overlapping_fragments},
     {"oversized_total", GrantDefect::oversized_total},
     {"zero_length_fragment", GrantDefect::zero_length_fragment},
     {"wrong_total", GrantDefect::wrong_total}}};

// --- Delays -------------------------------------------------------------------------------------

const std::tuple uniform_fields{Field{"low", &Delay::low, Period{}, "Lower end"},
                                Field{"high", &Delay::high, Period{}, "Upper end, included"}};
const std::tuple lognormal_fields{
    Field{"median", &Delay::low, Period{}, "Of a lognormal distribution"},
    Field{"sigma", &Delay::sigma, Fraction{}, "Standard deviation of its logarithm"}};

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
  static Schema schema(std::string_view help) {
    return {{"description", help},
            {"oneOf",
             Schema::array({Period::schema("Always the same"), schema_of_members(uniform_fields),
                            schema_of_members(lognormal_fields)})}};
  }
};

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

// --- The table ----------------------------------------------------------------------------------

// What an effect needs to be seen at all, and what another takes away.
enum Part : unsigned {
  nothing = 0,
  service = 1,     // the request is served
  response = 2,    // bytes of a response are sent
  ending = 4,      // the peer sees an end of the request
  connection = 8,  // the connection is opened
  live_lease = 16,
};

std::string_view why_missing(unsigned parts) {
  if ((parts & service) != 0) return "the request is not served";
  if ((parts & connection) != 0) return "the connection is not opened";
  if ((parts & live_lease) != 0) return "the lease is over at once";
  return "no response is sent";
}

struct Row {
  std::string_view name;
  OperationSet operations;  // to which it can be done
  unsigned needs;
  unsigned takes;
  Schema schema;
  std::function<bool(const Effects&)> given;
  std::function<Result<void>(const json&, const std::string& path, Effects&)> read;
  std::function<json(const Effects&)> write;
};

/// What is the same for every way to make a row.
struct Rule {
  OperationSet operations;
  unsigned needs = nothing;
  unsigned takes = nothing;
};

/// A field of Effects.
template <class Member, class Form>
Row field(std::string_view name, Member Effects::*member, Form form, Rule rule,
          std::string_view help) {
  return {name,
          rule.operations,
          rule.needs,
          rule.takes,
          form.schema(help),
          [member](const Effects& effects) { return effects.*member != Effects{}.*member; },
          [member, form](const json& value, const std::string& path, Effects& out) {
            return read_into(form, value, path, out.*member);
          },
          [member, form](const Effects& effects) { return write_from(form, effects.*member); }};
}

/// The member that stands for the ending in JSON.
std::string_view name_of(const Ending& ending) {
  constexpr std::array<std::string_view, 6> names{
      "", "status", "reset", "never_answer", "stop_reading_after", "reset_after"};
  return names[ending.index()];
}

/// Makes the ending a `Wanted`, unless it is another one already.
template <class Wanted>
Result<void> choose(const std::string& path, Effects& out) {
  if (std::holds_alternative<Wanted>(out.ending)) return {};
  if (!std::holds_alternative<Served>(out.ending)) {
    return refuse(path,
                  fmt::format("cannot go with {}: a request ends in one way", name_of(out.ending)));
  }
  out.ending = Wanted{};
  return {};
}

/// An ending that has nothing else to say.
template <class Wanted>
Row ending_flag(std::string_view name, Rule rule, std::string_view help) {
  return {name,
          rule.operations,
          rule.needs,
          rule.takes,
          Flag::schema(help),
          [](const Effects& effects) { return std::holds_alternative<Wanted>(effects.ending); },
          [](const json& value, const std::string& path, Effects& out) -> Result<void> {
            bool wanted = false;
            if (auto done = Flag::read(value, path, wanted); !done || !wanted) return done;
            return choose<Wanted>(path, out);
          },
          [](const Effects&) { return Flag::write(true); }};
}

/// A field of an ending.
template <class Wanted, class Member, class Form>
Row ending_field(std::string_view name, Member Wanted::*member, Form form, Rule rule,
                 std::string_view help) {
  return {name,
          rule.operations,
          rule.needs,
          rule.takes,
          form.schema(help),
          [member](const Effects& effects) {
            const auto* chosen = std::get_if<Wanted>(&effects.ending);
            if constexpr (is_optional<Member>) {
              return chosen != nullptr && (chosen->*member).has_value();
            } else {
              static_cast<void>(member);
              return chosen != nullptr;
            }
          },
          [member, form](const json& value, const std::string& path, Effects& out) -> Result<void> {
            if (auto chosen = choose<Wanted>(path, out); !chosen) return chosen;
            return read_into(form, value, path, std::get<Wanted>(out.ending).*member);
          },
          [member, form](const Effects& effects) {
            return write_from(form, std::get<Wanted>(effects.ending).*member);
          }};
}

const std::vector<Row>& rows() {
  static const std::vector<Row> table{
      field("incident", &Effects::incident, incident_form, {all_requests},
            "What happens to the segment or the daemon before the request is served"),
      field("lasting", &Effects::lasting, Period{}, {all_requests}, "How long empty_segment lasts"),
      field("mode", &Effects::mode, Octal{}, {all_requests}, "Of change_mode, as \"0600\""),
      field("delay", &Effects::delay, DelayForm{}, {all, ending | connection},
            "Before the response, or before a new connection is served"),
      ending_field("status", &RespondWith::status, Number{}, {all_requests, nothing, service},
                   "Instead of serving the request, 200 to 599"),
      ending_field("body", &RespondWith::body, Text{}, {all_requests},
                   "With status, sent as application/json"),
      ending_field("retry_after", &RespondWith::retry_after, Period{}, {all_requests},
                   "With status, whole seconds"),
      ending_flag<ResetConnection>("reset", {all, connection, response},
                                   "RST instead of a response"),
      ending_flag<NeverRespond>("never_answer", {all, connection, response | ending},
                                "The request is served, and no response is sent"),
      field("close_after_bytes", &Effects::close_after_bytes, Number{}, {all_requests, response},
            "Of the response, its head included"),
      field("dribble", &Effects::dribble, Period{}, {all_requests, response},
            "Pause after each byte of the response"),
      ending_field("stop_reading_after", &StopReading::after, Number{},
                   {put | checkpoint_put, nothing, response | ending},
                   "Bytes of a body; the rest is never read"),
      ending_field("reset_after", &ResetReading::after, Number{},
                   {put | checkpoint_put, nothing, response | ending},
                   "Bytes of a body; then RST, and nothing is stored"),
      field("bytes_per_second", &Effects::bytes_per_second, Number{}, {all_requests},
            "Of a PUT's body and of any response"),
      field("grant_defect", &Effects::grant_defect, Choice<GrantDefect>{defect_names},
            {lease, service | response}, "What is wrong with the body of a grant"),
      field("real_ttl", &Effects::real_ttl, Period{}, {lease, service | live_lease},
            "Of a lease, instead of what was granted"),
      field("forget_lease", &Effects::forget_lease, Flag{},
            {lease, service | live_lease, live_lease},
            "The pin ends, and release knows nothing of it"),
      field("evict_under_lease", &Effects::evict_under_lease, Flag{},
            {lease, service | live_lease, live_lease}, "The object goes, with all leases on it"),
      field("poison", &Effects::poison, Text{}, {lease, service},
            "Overwrites the leased object's bytes when they are freed or expire"),
      field("hold_longer", &Effects::hold_longer, Period{}, {lease, service}, "Past timeout_ms"),
      field("connections_above", &Effects::connections_above, Number{},
            {connect, nothing, connection}, "With operation connect: fires above so many"),
      field("leave_unaccepted", &Effects::leave_unaccepted, Flag{}, {connect, nothing, connection},
            "With operation connect: instead of closing at once"),
  };
  return table;
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

// --- Checks -------------------------------------------------------------------------------------

void check_ending(const Effects& effects, Findings& findings) {
  const auto* respond = std::get_if<RespondWith>(&effects.ending);
  if (respond == nullptr) return;
  findings.require(respond->status >= 200 && respond->status <= 599, "status",
                   fmt::format("must be from 200 to 599, not {}", respond->status));
  findings.require(!respond->body || (respond->status != 204 && respond->status != 304), "body",
                   fmt::format("cannot go with status {}, which has none", respond->status));
  if (respond->retry_after) {
    constexpr auto longest = std::chrono::floor<std::chrono::seconds>(longest_fault);
    findings.require(respond->retry_after->count() >= 0 && *respond->retry_after <= longest,
                     "retry_after",
                     fmt::format("must be from 0s to {}", text::format_duration(longest)));
  }
}

void check_ranges(const Effects& effects, Findings& findings) {
  check_ending(effects, findings);
  findings.require(effects.mode.value_or(0) <= 0777, "mode", "must be from 0000 to 0777");
  findings.duration(effects.lasting, "lasting", any_time);
  if (effects.dribble) findings.duration(*effects.dribble, "dribble", some_time);
  if (effects.real_ttl) findings.duration(*effects.real_ttl, "real_ttl", some_time);
  if (effects.hold_longer) findings.duration(*effects.hold_longer, "hold_longer", some_time);
  findings.require(effects.bytes_per_second != 0, "bytes_per_second", "must be at least 1");
  findings.require(effects.poison != "", "poison", "must not be empty");
}

void check_incident(const Effects& effects, Findings& findings) {
  const bool empties = effects.incident == Incident::empty_segment;
  const bool changes_mode = effects.incident == Incident::change_mode;
  findings.require(
      (effects.lasting != milliseconds{}) == empties, "lasting",
      empties ? "is missing; incident empty_segment needs it" : "needs incident empty_segment");
  findings.require(
      effects.mode.has_value() == changes_mode, "mode",
      changes_mode ? "is missing; incident change_mode needs it" : "needs incident change_mode");
  if (effects.incident != Incident::restart) return;
  for (const Row& row : rows()) {
    findings.require(row.name == "incident" || !row.given(effects), row.name,
                     "cannot go with incident restart, which cuts the connection");
  }
}

/// No effect needs what another takes away.
void check_together(const Effects& effects, Findings& findings) {
  for (const Row& taker : rows()) {
    if (taker.takes == nothing || !taker.given(effects)) continue;
    for (const Row& other : rows()) {
      const unsigned missing = other.needs & taker.takes;
      if (&other == &taker || missing == 0 || !other.given(effects)) continue;
      findings.require(false, other.name,
                       fmt::format("cannot go with {}: {}", taker.name, why_missing(missing)));
    }
  }
}

/// Narrows `operations` to those that all of `effects` can be done to.
void check_operations(const Effects& effects, OperationSet& operations, Findings& findings) {
  for (const Row& row : rows()) {
    if (!row.given(effects)) continue;
    findings.require((operations & row.operations) != 0, row.name,
                     fmt::format("can be done to {} only, and this fault meets {}",
                                 names_of(row.operations), names_of(operations)));
    operations &= row.operations;
  }
}

}  // namespace

Problem find_problem(const Effects& effects, const std::string& path, OperationSet& operations) {
  Findings findings(path + ".");
  check_operations(effects, operations, findings);
  check_ranges(effects, findings);
  check_incident(effects, findings);
  check_together(effects, findings);
  auto problem = std::move(findings).problem();
  if (!problem && effects.delay) problem = check_delay(*effects.delay, path + ".delay");
  return problem;
}

OperationSet operations_met(const Effects& effects, OperationSet operations) {
  for (const Row& row : rows()) {
    if (row.given(effects)) operations &= row.operations;
  }
  return operations;
}

Result<void> read_effects(const json& value, const std::string& path, Effects& out) {
  if (!value.is_object()) return refuse_form(path, "an object", value);
  for (const auto& [name, member] : value.items()) {
    const auto inner = member_of(path, name);
    const auto row = std::ranges::find(rows(), std::string_view(name), &Row::name);
    if (row == rows().end()) {
      std::string known;
      for (const Row& each : rows()) known.append(known.empty() ? "" : ", ").append(each.name);
      return refuse(inner, fmt::format("is unknown; known are {}", known));
    }
    if (auto done = row->read(member, inner, out); !done) return done;
  }
  if (std::holds_alternative<RespondWith>(out.ending) && !value.contains("status")) {
    return refuse(member_of(path, value.contains("body") ? "body" : "retry_after"),
                  "needs a status to go with");
  }
  return {};
}

json write_effects(const Effects& effects) {
  json out = json::object();
  for (const Row& row : rows()) {
    if (row.given(effects)) out[std::string(row.name)] = row.write(effects);
  }
  return out;
}

nlohmann::ordered_json effects_schema() {
  Schema properties = Schema::object();
  for (const Row& row : rows()) properties[std::string(row.name)] = row.schema;
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

nlohmann::ordered_json incident_schema() { return incident_form.schema(""); }

}  // namespace hyperpod::emulator::faults
