// SPDX-License-Identifier: Apache-2.0
#include "admin/openapi.h"

#include <fmt/format.h>

#include <initializer_list>
#include <string_view>
#include <utility>

#include "admin/endpoints.h"
#include "admin/views.h"
#include "faults/effects.h"
#include "faults/fault_json.h"

namespace hyperpod::emulator::admin {
namespace {

// --- Schemas ------------------------------------------------------------------------------------

Json typed(std::string_view type, std::string_view help) {
  Json schema{{"type", type}};
  if (!help.empty()) schema["description"] = help;
  return schema;
}

Json number(std::string_view help = "") { return typed("integer", help); }
Json text(std::string_view help = "") { return typed("string", help); }
Json flag(std::string_view help = "") { return typed("boolean", help); }
Json duration(std::string_view help) {
  return typed("string", fmt::format("{}, as \"250ms\"", help));
}

Json one_of(std::initializer_list<std::string_view> values, std::string_view help = "") {
  Json schema = text(help);
  schema["enum"] = Json(values);
  return schema;
}

Json ref(std::string_view name) { return {{"$ref", fmt::format("#/components/schemas/{}", name)}}; }

Json list_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

using Members = std::initializer_list<std::pair<std::string_view, Json>>;

Json object(Members required, Members optional = {}) {
  Json schema{{"type", "object"},
              {"properties", Json::object()},
              {"required", Json::array()},
              {"additionalProperties", false}};
  for (const auto& [name, member] : required) {
    schema["properties"][name] = member;
    schema["required"].push_back(name);
  }
  for (const auto& [name, member] : optional) schema["properties"][name] = member;
  if (required.size() == 0) schema.erase("required");
  return schema;
}

template <class Struct>
Json figures(std::span<const Figure<Struct>> all, Members more = {}) {
  Json schema = object(more);
  for (const auto& figure : all) {
    schema["properties"][figure.name] = number(figure.help);
    schema["required"].push_back(figure.name);
  }
  return schema;
}

Json fault_schema(bool counted) {
  Json schema = object({}, {{"name", text("Unique; made up when left out")},
                            {"match", ref("Match")},
                            {"effects", ref("Effects")},
                            {"script", list_of(ref("Effects"))}});
  if (counted) {
    schema["properties"]["counts"] =
        object({{"matched", number("Requests that it matched")}, {"fired", number("That it hit")}});
    schema["required"] = {"name", "counts"};
  }
  return schema;
}

Json lease_schema() {
  return object({{"id", text()},
                 {"bucket", text()},
                 {"key", text()},
                 {"time_left_ms", number("Until it expires")}});
}

Json object_schema() {
  return object({{"bucket", text()},
                 {"key", text()},
                 {"bytes", number()},
                 {"fragments", list_of(object({{"offset", number("In the segment")},
                                               {"length", number("In bytes")}}))},
                 {"pins", number("Live leases on it")},
                 {"last_use", number("Rank: a greater one was used later")}});
}

Json state_schema() {
  return object(
      {{"capacity", number("Bytes of the segment")},
       {"block_size", number("Bytes of a block")},
       {"buckets", list_of(text())},
       {"objects", list_of(ref("Object"))},
       {"leases", list_of(ref("Lease"))},
       {"waiters",
        list_of(object(
            {{"bucket", text()}, {"key", text()}, {"time_left_ms", number("Of its hold")}}))},
       {"namespaces", list_of(object({{"name", text()},
                                      {"num_ranks", number()},
                                      {"steps_retained", number()},
                                      {"bytes", number("Of the bodies of its shards")},
                                      {"complete_steps", list_of(number("Newest first"))},
                                      {"incomplete_steps", list_of(number("Newest first"))}}))},
       {"blocks", list_of(object({{"first_block", number()},
                                  {"blocks", number("Neighbours with one owner")},
                                  {"owner", one_of({"free", "object", "put", "checkpoint"})},
                                  {"bucket", text("Of the owner, or empty")},
                                  {"key", text("Of the owner, or empty")}}))}});
}

Json entry_schema() {
  return object(
      {{"sequence", number("From 1, in the order in which requests ended")},
       {"time", text("When the head was complete, UTC, as \"2026-11-28T23:05:16.123456Z\"")},
       {"at_us", number("The same, by the emulator's clock")},
       {"connection", number("From 1, in the order of acceptance")},
       {"peer", text()},
       {"operation", ref("Operation")},
       {"bucket", text()},
       {"key", text()},
       {"lease_id", text("Granted, or to be released")},
       {"status", number("0: no answer was sent")},
       {"bytes_in", number("Of the body")},
       {"bytes_out", number("Of the answer, its head included")},
       {"held_us", number("Waiting for the key")},
       {"served_us", number("From head to answer, the hold included")},
       {"in_flight", number("Requests under way when it began, itself included; not those that "
                            "another thread served in one go")},
       {"fault", text("That hit it, or empty")},
       {"end", one_of({"kept", "closed_by_us", "closed_by_peer", "reset_by_fault"},
                      "Of its connection")}});
}

Json entry_with_heads_schema() {
  Json schema = entry_schema();
  schema["properties"]["request_head"] = text(
      "As it came, cut after 1,024 bytes and without credentials in fields and parameters whose "
      "names speak of them; left out where it is not kept any more");
  schema["properties"]["response_head"] =
      text("The same of the response; left out where none was sent as well");
  return schema;
}

Json totals_schema() {
  return object(
      {{"recorded", number("Requests")},
       {"dropped", number("Of which the journal remembers figures only")},
       {"all", figures(totals_figures())},
       {"by_operation",
        list_of(object({{"operation", ref("Operation")},
                        {"requests", number()},
                        {"held", number("Of which waited for their key")},
                        {"by_status", list_of(object({{"status", number("0: no answer was sent")},
                                                      {"requests", number()}}))}}))},
       {"by_connection",
        list_of(figures(totals_figures(), {{"connection", number("0: all older ones")}}))},
       {"by_bucket",
        list_of(figures(totals_figures(),
                        {{"bucket", text("Empty: none, and the surplus of many")}}))}});
}

Json schemas() {
  Json all;
  all["Error"] = object({{"error", text("What kind")}, {"message", text("What, and the way out")}},
                        {{"field", text("Of the body, or parameter, that is to blame")}});
  all["Status"] = object({{"status", text()}});
  all["State"] = state_schema();
  all["Info"] = object({{"version", text()},
                        {"pid", number()},
                        {"url", text("Of the data port")},
                        {"started", text("UTC")},
                        {"block_size", number("Bytes of a block")},
                        {"options",
                         {{"type", "object"},
                          {"description", "In force, by their keys in the configuration"},
                          {"properties", Json::object()},
                          {"additionalProperties", text()}}},
                        {"uptime_ms", number("In real time")}});
  all["Scenarios"] = object(
      {{"scenarios",
        list_of(object(
            {{"name", text()}, {"description", text()}, {"faults", list_of(ref("NewFault"))}}))}});
  all["Statistics"] = figures(statistics_figures());
  all["Object"] = object_schema();
  all["Objects"] = object({{"objects", list_of(ref("Object"))}});
  all["Lease"] = lease_schema();
  all["Leases"] = object({{"leases", list_of(ref("Lease"))}});
  all["Operation"] = one_of({"put", "lease", "release", "checkpoint_put", "checkpoint_get",
                             "checkpoint_delete", "namespace", "other", "unreadable"});
  all["JournalEntry"] = entry_schema();
  all["JournalEntryWithHeads"] = entry_with_heads_schema();
  all["Journal"] = object({{"recorded", number("Requests so far")},
                           {"dropped", number("Of which are no longer there")},
                           {"last_sequence", number("Of the newest")},
                           {"entries", list_of(ref("JournalEntry"))}},
                          {{"met", flag("After a wait: whether there were count entries")}});
  all["JournalTotals"] = totals_schema();
  all["Match"] = faults::match_schema();
  all["IncidentName"] = faults::incident_schema();
  all["Effects"] = faults::effects_schema();
  all["Fault"] = fault_schema(true);
  all["NewFault"] = fault_schema(false);
  all["Faults"] = object({{"faults", list_of(ref("Fault"))}});
  all["FaultInput"] = {
      {"oneOf",
       {ref("NewFault"), list_of(ref("NewFault")),
        object({{"faults", list_of(ref("NewFault"))}}, {{"description", text()}})}}};
  all["Clock"] = object({{"kind", one_of({"real", "manual", "adjustable"})},
                         {"movable", flag("Whether POST moves it")},
                         {"now_us", number()}});
  all["Advance"] = object({{"advance_ms", number("How far")}});
  all["Segment"] = object({{"name", text("It appears as /dev/shm/NAME")},
                           {"size", number("In bytes")},
                           {"inode", number("Of the one that is served")},
                           {"mode", text("As \"0600\"")},
                           {"linked", flag("Whether the name leads to the one that is served")},
                           {"intact", flag("Whether it has its full size")}});
  all["Incident"] = object({{"incident", ref("IncidentName")}},
                           {{"lasting", duration("How long empty_segment lasts")},
                            {"mode", text("Of change_mode, as \"0600\"")}});
  all["Reset"] = object(
      {}, {{"only", list_of(one_of({"objects", "leases", "faults", "journal", "counters"}))}});
  return all;
}

// --- Paths --------------------------------------------------------------------------------------

Json content(std::string_view type, Json schema) {
  return {{std::string(type), {{"schema", std::move(schema)}}}};
}

Json responses(const Route& route) {
  Json all = Json::object();
  for (const auto& success : route.successes) {
    Json& response = all[std::to_string(success.status)];
    response["description"] = route.summary;
    if (!success.schema.empty()) {
      response["content"].update(content("application/json", ref(success.schema)));
    } else if (!success.other_content_type.empty()) {
      response["content"].update(content(success.other_content_type, Json::object()));
    }
  }
  for (const int status : route.failures) {
    all[std::to_string(status)] = {{"description", "Cannot be done now"},
                                   {"content", content("application/json", ref("Error"))}};
  }
  all["default"] = {{"description", "The request is refused"},
                    {"content", content("application/json", ref("Error"))}};
  return all;
}

Json parameters(const Route& route) {
  Json all = Json::array();
  if (const auto begin = route.path.find('{'); begin != route.path.npos) {
    const auto name = route.path.substr(begin + 1, route.path.find('}') - begin - 1);
    all.push_back({{"name", name}, {"in", "path"}, {"required", true}, {"schema", text()}});
  }
  for (const QueryParameter& parameter : route.query) {
    const bool digits = parameter.type == QueryParameter::Type::number;
    all.push_back({{"name", parameter.name},
                   {"in", "query"},
                   {"description", parameter.help},
                   {"schema", digits ? number() : text()}});
  }
  return all;
}

Json operation(const Route& route) {
  Json described{{"summary", route.summary}};
  if (Json all = parameters(route); !all.empty()) described["parameters"] = std::move(all);
  if (!route.body.empty()) {
    described["requestBody"] = {{"required", route.body_required},
                                {"content", content("application/json", ref(route.body))}};
  }
  described["responses"] = responses(route);
  return described;
}

std::string lower(std::string_view method) {
  std::string out;
  for (const char c : method) out += static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

std::string openapi_document() {
  Json paths = Json::object();
  for (const Route& route : admin_routes()) {
    paths[route.path][lower(route.method)] = operation(route);
  }
  const Json document{
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "hyperpod-emulator, admin port"},
        {"version", "1"},
        {"description", "Control and observation of a running emulator; see docs/operations.md"}}},
      {"paths", std::move(paths)},
      {"components", {{"schemas", schemas()}}}};
  return to_text(document) + "\n";
}

}  // namespace hyperpod::emulator::admin
