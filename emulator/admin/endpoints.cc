// SPDX-License-Identifier: Apache-2.0
#include "admin/endpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <set>
#include <sstream>
#include <utility>

#include "admin/metrics.h"
#include "admin/openapi.h"
#include "admin/views.h"
#include "faults/document.h"
#include "faults/fault_json.h"
#include "text/percent.h"
#include "text/printable.h"

namespace hyperpod::emulator::admin {
namespace {

using std::chrono::milliseconds;
using Call = Route::Call;

constexpr std::uint64_t entries_unless_asked = 1000;
constexpr milliseconds longest_wait = std::chrono::minutes{1};
constexpr milliseconds wait_slice{100};  // how soon a wait sees that the server stops
constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();
constexpr std::uint64_t longest_step = 366ull * 24 * 3600 * 1000;

using Resettable = std::pair<std::string_view, bool ResetSelection::*>;
constexpr std::array<Resettable, 5> resettable{{{"objects", &ResetSelection::objects},
                                                {"leases", &ResetSelection::leases},
                                                {"faults", &ResetSelection::faults},
                                                {"journal", &ResetSelection::journal},
                                                {"counters", &ResetSelection::counters}}};

// --- Requests -----------------------------------------------------------------------------------

tl::unexpected<AdminError> refuse(std::string field, std::string message) {
  return tl::make_unexpected(AdminError{400, std::move(message), std::move(field)});
}

// Errors of faults begin with the path of the field, or with "fault 'NAME': " and the path.
AdminError of_fault(const Error& error) {
  std::string_view path = error.message;
  if (const auto name = path.find("': "); path.starts_with("fault '") && name != path.npos) {
    path.remove_prefix(name + 3);
  }
  return {400, error.message, std::string(path.substr(0, path.find(' ')))};
}

std::optional<std::string> parameter(const Call& call, const std::string& name) {
  const auto found = call.request.query.find(name);
  return found == call.request.query.end() ? std::nullopt : std::optional(found->second);
}

template <class Number>
tl::expected<std::optional<Number>, AdminError> number(const Call& call, const std::string& name) {
  const auto text = parameter(call, name);
  if (!text) return std::nullopt;
  Number value{};
  const char* const end = text->data() + text->size();
  const auto [rest, failure] = std::from_chars(text->data(), end, value);
  if (failure == std::errc{} && rest == end && value >= 0) return value;
  return refuse(name, fmt::format("{}={} is no whole number in range; write digits", name,
                                  text::printable(*text)));
}

tl::expected<JournalFilter, AdminError> journal_filter(const Call& call) {
  JournalFilter filter;
  if (const auto name = parameter(call, "operation")) {
    const auto known = std::ranges::find(all_journal_operations, *name,
                                         [](JournalOperation each) { return name_of(each); });
    if (known == all_journal_operations.end()) {
      return refuse(
          "operation",
          fmt::format("operation={} is unknown; take put, lease, release, checkpoint_put, "
                      "checkpoint_get, checkpoint_delete, namespace, other or unreadable",
                      text::printable(*name)));
    }
    filter.operation = *known;
  }
  filter.bucket = parameter(call, "bucket");
  filter.key = parameter(call, "key");
  filter.fault = parameter(call, "fault");
  const auto connection = number<std::uint64_t>(call, "connection");
  if (!connection) return tl::make_unexpected(connection.error());
  filter.connection = *connection;
  const auto status = number<int>(call, "status");
  if (!status) return tl::make_unexpected(status.error());
  filter.status = *status;
  const auto after = number<std::uint64_t>(call, "after");
  if (!after) return tl::make_unexpected(after.error());
  filter.after_sequence = after->value_or(0);
  return filter;
}

tl::expected<bool, AdminError> wants_lines(const Call& call) {
  const auto format = parameter(call, "format");
  if (!format) {
    const std::string& accept = call.request.accept;
    return accept.find("ndjson") != accept.npos || accept.find("jsonl") != accept.npos;
  }
  if (*format == "jsonl") return true;
  if (*format == "json") return false;
  return refuse("format",
                fmt::format("format={} is unknown; take json or jsonl", text::printable(*format)));
}

// An object, with members of `known` only.
tl::expected<nlohmann::json, AdminError> object_body(
    const Call& call, std::initializer_list<std::string_view> known) {
  auto body = faults::parse_json(call.request.body);
  if (!body) return refuse("", fmt::format("the body is no JSON: {}", body.error().message));
  if (!body->is_object()) return refuse("", "the body must be a JSON object");
  for (const auto& [name, value] : body->items()) {
    if (std::ranges::find(known, name) == known.end()) {
      return refuse(name, fmt::format("{} is unknown; known are {}", text::printable(name),
                                      fmt::join(known, ", ")));
    }
  }
  return *std::move(body);
}

// A fault, an array of them or a scenario.
tl::expected<std::vector<Fault>, AdminError> faults_body(const Call& call) {
  auto body = faults::parse_json(call.request.body);
  if (!body) return refuse("", fmt::format("the body is no JSON: {}", body.error().message));
  const bool single = body->is_object() && !body->contains("faults");
  auto faults = faults::read_scenario(single ? nlohmann::json::array({*body}) : *body);
  if (!faults) return tl::make_unexpected(of_fault(faults.error()));
  return *std::move(faults);
}

// --- Answers ------------------------------------------------------------------------------------

AdminResponse json_answer(const Json& json, int status = 200) {
  return {.status = status, .body = to_text(json) + "\n"};
}

AdminResponse answer_with_faults(const FaultPlan& faults, int status = 200) {
  std::string body;
  for (const auto& [fault, counts] : faults.list()) {
    body += body.empty() ? "" : ",";
    body += fault_to_json(fault, counts);
  }
  return {.status = status, .body = fmt::format("{{\"faults\":[{}]}}\n", body)};
}

// Those of the bucket and key that the query names.
template <class Named>
Json views_of_named(const std::vector<Named>& all, const Call& call) {
  const auto bucket = parameter(call, "bucket");
  const auto key = parameter(call, "key");
  Json views = Json::array();
  for (const Named& each : all) {
    const bool wanted = (!bucket || each.bucket == *bucket) && (!key || each.key == *key);
    if (wanted) views.push_back(view(each));
  }
  return views;
}

tl::unexpected<AdminError> no_such_fault(const std::string& name) {
  return tl::make_unexpected(AdminError{
      404, fmt::format("there is no fault {}; GET /v1/faults lists them", text::quoted(name)),
      "name"});
}

std::string_view error_name(int status) {
  switch (status) {
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 409:
      return "conflict";
    case 413:
      return "body_too_large";
    case 414:
      return "target_too_long";
    case 503:
      return "not_ready";
    default:
      return status < 500 ? "invalid_request" : "failed";
  }
}

// --- Dispatch -----------------------------------------------------------------------------------

// What stands for {name}, which only the end of a path can be; "" where the path has none.
std::optional<std::string> match(std::string_view route, std::string_view path) {
  const auto variable = route.find('{');
  if (variable == route.npos) return route == path ? std::optional<std::string>("") : std::nullopt;
  if (!path.starts_with(route.substr(0, variable))) return std::nullopt;
  path.remove_prefix(variable);
  if (path.empty() || path.find('/') != path.npos) return std::nullopt;
  return text::percent_decode(path).value_or(std::string(path));
}

std::string names_of(const std::vector<QueryParameter>& parameters) {
  std::string names;
  for (const QueryParameter& each : parameters) {
    names += names.empty() ? "" : ", ";
    names += each.name;
  }
  return names.empty() ? "none" : names;
}

std::optional<AdminError> check_query(const Route& route, const AdminRequest& request) {
  for (const auto& [name, value] : request.query) {
    if (std::ranges::find(route.query, name, &QueryParameter::name) == route.query.end()) {
      return AdminError{400,
                        fmt::format("the parameter {} is unknown; {} takes {}", text::quoted(name),
                                    route.path, names_of(route.query)),
                        name};
    }
    if (request.query.count(name) > 1) {
      return AdminError{
          400, fmt::format("the parameter {} is given twice; leave one out", text::quoted(name)),
          name};
    }
  }
  return std::nullopt;
}

AdminResponse error_answer(const AdminError& error) {
  return {.status = error.status, .body = error_to_json(error)};
}

}  // namespace

std::string error_to_json(const AdminError& error) {
  Json json{{"error", error_name(error.status)}, {"message", error.message}};
  if (!error.field.empty()) json["field"] = error.field;
  return to_text(json) + "\n";
}

AdminResponse Endpoints::answer(const AdminRequest& request) {
  std::set<std::string_view> allowed;
  for (const Route& route : admin_routes()) {
    auto name = match(route.path, request.path);
    if (!name) continue;
    allowed.insert(route.method);
    if (route.method != request.method) continue;
    if (const auto wrong = check_query(route, request)) return error_answer(*wrong);
    const AdminResult result = (this->*route.handler)({request, *std::move(name)});
    return result ? *result : error_answer(result.error());
  }
  if (allowed.empty()) {
    return error_answer({404,
                         fmt::format("there is no {}; GET /openapi.json lists what there is",
                                     text::quoted(request.path)),
                         ""});
  }
  const std::string methods = fmt::format("{}", fmt::join(allowed, ", "));
  AdminResponse refused =
      error_answer({405,
                    fmt::format("{} is not for {}; take {}", text::quoted(request.path),
                                request.method, methods),
                    ""});
  refused.allow = methods;
  return refused;
}

// --- Health and figures -------------------------------------------------------------------------

AdminResult Endpoints::health(const Call& /*call*/) { return json_answer({{"status", "ok"}}); }

AdminResult Endpoints::readiness(const Call& /*call*/) {
  if (control_.ready()) return json_answer({{"status", "ready"}});
  return tl::make_unexpected(AdminError{503, "the emulator is stopping; it takes no requests", ""});
}

AdminResult Endpoints::metrics(const Call& /*call*/) {
  return AdminResponse{.content_type = std::string(metrics_content_type),
                       .body = metrics_text(control_)};
}

AdminResult Endpoints::openapi(const Call& /*call*/) {
  return AdminResponse{.body = openapi_document()};
}

// --- State --------------------------------------------------------------------------------------

AdminResult Endpoints::state(const Call& /*call*/) { return json_answer(view(control_.state())); }

AdminResult Endpoints::statistics(const Call& /*call*/) {
  return json_answer(view(control_.statistics()));
}

AdminResult Endpoints::objects(const Call& call) {
  return json_answer({{"objects", views_of_named(control_.state().objects, call)}});
}

AdminResult Endpoints::leases(const Call& call) {
  return json_answer({{"leases", views_of_named(control_.state().leases, call)}});
}

// --- Journal ------------------------------------------------------------------------------------

AdminResult Endpoints::journal(const Call& call) {
  const auto filter = journal_filter(call);
  if (!filter) return tl::make_unexpected(filter.error());
  const auto lines = wants_lines(call);
  if (!lines) return tl::make_unexpected(lines.error());
  const auto limit = number<std::uint64_t>(call, "limit");
  if (!limit) return tl::make_unexpected(limit.error());
  const auto count = number<std::uint64_t>(call, "count");
  if (!count) return tl::make_unexpected(count.error());
  const auto wait = number<std::uint32_t>(call, "wait_ms");
  if (!wait) return tl::make_unexpected(wait.error());
  if (*count && !*wait) return refuse("count", "count is for a wait; give wait_ms as well");
  if (*wait && milliseconds{**wait} > longest_wait) {
    return refuse("wait_ms", fmt::format("wait_ms={} is too long; take {} or less, and ask again",
                                         **wait, longest_wait.count()));
  }

  std::optional<bool> met;
  if (*wait) met = wait_for_entries(*filter, count->value_or(1), milliseconds{**wait});

  const Journal& journal = control_.journal();
  if (*lines) {
    std::ostringstream out;
    for (const JournalEntry& entry : journal.entries(*filter, limit->value_or(everything))) {
      out << entry_to_json(entry) << '\n';
    }
    return AdminResponse{.content_type = "application/x-ndjson", .body = std::move(out).str()};
  }
  Json answer{{"recorded", journal.recorded()},
              {"dropped", journal.dropped()},
              {"last_sequence", journal.last_sequence()}};
  if (met) answer["met"] = *met;
  std::string entries;
  for (const JournalEntry& entry :
       journal.entries(*filter, limit->value_or(entries_unless_asked))) {
    entries += entries.empty() ? "" : ",";
    entries += entry_to_json(entry);
  }
  std::string body = to_text(answer);
  body.pop_back();
  return AdminResponse{.body = fmt::format("{},\"entries\":[{}]}}\n", body, entries)};
}

bool Endpoints::wait_for_entries(const JournalFilter& filter, std::uint64_t count,
                                 milliseconds most) const {
  JournalFilter unseen = filter;
  std::uint64_t found = 0;
  const auto enough = [&](const Journal& journal) {
    const std::uint64_t last = journal.last_sequence();
    const auto entries = journal.entries(unseen, count - found);
    found += entries.size();
    unseen.after_sequence = std::max(unseen.after_sequence, last);
    if (!entries.empty()) {
      unseen.after_sequence = std::max(unseen.after_sequence, entries.back().sequence);
    }
    return found >= count || stopping_;
  };
  const auto deadline = std::chrono::steady_clock::now() + most;
  while (true) {
    const auto now = std::chrono::steady_clock::now();
    if (control_.journal().wait_until(enough, std::min(deadline, now + wait_slice)))
      return found >= count;
    if (now >= deadline) return false;
  }
}

AdminResult Endpoints::totals(const Call& /*call*/) {
  return json_answer(view_of_totals(control_.journal()));
}

// --- Faults -------------------------------------------------------------------------------------

AdminResult Endpoints::faults(const Call& /*call*/) {
  return answer_with_faults(control_.faults());
}

AdminResult Endpoints::fault(const Call& call) {
  for (const auto& [fault, counts] : control_.faults().list()) {
    if (fault.name == call.name) return AdminResponse{.body = fault_to_json(fault, counts) + "\n"};
  }
  return no_such_fault(call.name);
}

AdminResult Endpoints::add_faults(const Call& call) {
  auto wanted = faults_body(call);
  if (!wanted) return tl::make_unexpected(wanted.error());
  FaultPlan& plan = control_.faults();
  const auto added = plan.add_all(*std::move(wanted));
  if (!added) return tl::make_unexpected(of_fault(added.error()));
  return answer_with_faults(plan, 201);
}

AdminResult Endpoints::replace_faults(const Call& call) {
  auto wanted = faults_body(call);
  if (!wanted) return tl::make_unexpected(wanted.error());
  const auto replaced = control_.faults().replace(*std::move(wanted));
  if (!replaced) return tl::make_unexpected(of_fault(replaced.error()));
  return answer_with_faults(control_.faults());
}

AdminResult Endpoints::remove_faults(const Call& /*call*/) {
  control_.faults().clear();
  return answer_with_faults(control_.faults());
}

AdminResult Endpoints::remove_fault(const Call& call) {
  if (!control_.faults().remove(call.name)) return no_such_fault(call.name);
  return answer_with_faults(control_.faults());
}

// --- Clock --------------------------------------------------------------------------------------

AdminResult Endpoints::clock(const Call& /*call*/) {
  const Clock& clock = control_.clock();
  const auto now = std::chrono::floor<std::chrono::microseconds>(clock.now().time_since_epoch());
  return json_answer(
      {{"kind", clock.runs_by_itself() ? "real" : "manual"}, {"now_us", now.count()}});
}

AdminResult Endpoints::advance_clock(const Call& call) {
  const auto body = object_body(call, {"advance_ms"});
  if (!body) return tl::make_unexpected(body.error());
  const auto step = body->value("advance_ms", nlohmann::json());
  if (!step.is_number_unsigned() || step.get<std::uint64_t>() > longest_step) {
    return refuse("advance_ms",
                  fmt::format("advance_ms must be a whole number from 0 to {}", longest_step));
  }
  auto* const manual = dynamic_cast<ManualClock*>(&control_.clock());
  if (manual == nullptr) {
    return tl::make_unexpected(AdminError{
        409, "the clock runs by itself; start the emulator with --clock manual to move it", ""});
  }
  manual->advance(milliseconds{step.get<std::uint64_t>()});
  return this->clock(call);
}

// --- Segment and reset --------------------------------------------------------------------------

AdminResult Endpoints::segment(const Call& /*call*/) {
  return json_answer(view(control_.segment()));
}

AdminResult Endpoints::cause_incident(const Call& call) {
  const auto body = object_body(call, {"incident", "lasting", "mode"});
  if (!body) return tl::make_unexpected(body.error());
  if (!body->contains("incident")) {
    return refuse("incident", "incident is missing; name what is to happen");
  }
  // A fault of this effect knows what it needs.
  const auto faults = faults::read_scenario(nlohmann::json::array({{{"effects", *body}}}));
  if (!faults) {
    AdminError error = of_fault(faults.error());
    constexpr std::string_view path = "faults[0].effects.";
    if (error.message.starts_with(path)) error.message.erase(0, path.size());
    if (error.field.starts_with(path)) error.field.erase(0, path.size());
    return tl::make_unexpected(std::move(error));
  }
  if (const auto caused = control_.cause(faults->front().script.front()); !caused) {
    return tl::make_unexpected(AdminError{500, caused.error().message, ""});
  }
  return segment(call);
}

AdminResult Endpoints::reset(const Call& call) {
  ResetSelection selection;
  if (!call.request.body.empty()) {
    const auto body = object_body(call, {"only"});
    if (!body) return tl::make_unexpected(body.error());
    const auto only = body->find("only");
    if (only != body->end()) {
      selection = {false, false, false, false, false};
      if (!only->is_array()) return refuse("only", "only must be an array of what to reset");
      for (const auto& name : *only) {
        const auto known = std::ranges::find(resettable, name, &Resettable::first);
        if (known == resettable.end()) {
          return refuse("only", fmt::format("only knows no {}; take objects, leases, faults, "
                                            "journal or counters",
                                            to_text(name)));
        }
        selection.*known->second = true;
      }
    }
  }
  control_.reset(selection);
  return AdminResponse{.status = 204, .body = ""};
}

// --- The table ----------------------------------------------------------------------------------

std::span<const Route> admin_routes() {
  using enum QueryParameter::Type;
  using E = Endpoints;
  static const std::vector<QueryParameter> by_name{
      {"bucket", text, "Only of this bucket"},
      {"key", text, "Only of this key"},
  };
  static const std::vector<QueryParameter> of_journal{
      {"operation", text, "Only of this operation, as put, lease, release or checkpoint_put"},
      {"bucket", text, "Only of this bucket"},
      {"key", text, "Only of this key"},
      {"connection", number, "Only of the connection with this number"},
      {"status", number, "Only answered with this status; 0: not answered"},
      {"fault", text, "Only hit by the fault of this name; empty: by none"},
      {"after", number, "Only with a greater sequence"},
      {"limit", number, "At most so many, the oldest; 1000 unless given, for jsonl all"},
      {"format", text, "json, or jsonl for one JSON object a line"},
      {"wait_ms", number, "Wait, at most so long and a minute, until there are count entries"},
      {"count", number, "How many entries to wait for; 1 unless given"},
  };
  static const std::vector<Route> routes{
      {"GET", "/healthz", "Whether the process lives", &E::health, {{200, "Status"}}},
      {"GET", "/readyz", "Whether requests are taken", &E::readiness, {{200, "Status"}}, {503}},
      {"GET", "/metrics", "Metrics for Prometheus", &E::metrics, {{200, "", metrics_content_type}}},
      {"GET", "/openapi.json", "This description", &E::openapi, {{200, "", "application/json"}}},
      {"GET", "/v1/state", "All that the emulator holds", &E::state, {{200, "State"}}},
      {"GET",
       "/v1/statistics",
       "What there is and what has happened, in figures",
       &E::statistics,
       {{200, "Statistics"}}},
      {"GET",
       "/v1/objects",
       "Objects, the least recently used first",
       &E::objects,
       {{200, "Objects"}},
       {},
       by_name},
      {"GET",
       "/v1/leases",
       "Live leases, the next to expire first",
       &E::leases,
       {{200, "Leases"}},
       {},
       by_name},
      {"GET",
       "/v1/journal",
       "Every request and how it went, the oldest first; can wait for more",
       &E::journal,
       {{200, "Journal"}, {200, "", "application/x-ndjson"}},
       {},
       of_journal},
      {"GET",
       "/v1/journal/totals",
       "Figures over all requests, by operation, connection and bucket",
       &E::totals,
       {{200, "JournalTotals"}}},
      {"GET",
       "/v1/faults",
       "The faults in force and how often they fired",
       &E::faults,
       {{200, "Faults"}}},
      {"POST",
       "/v1/faults",
       "Adds a fault or several",
       &E::add_faults,
       {{201, "Faults"}},
       {},
       {},
       "FaultInput",
       true},
      {"PUT",
       "/v1/faults",
       "Replaces all faults",
       &E::replace_faults,
       {{200, "Faults"}},
       {},
       {},
       "FaultInput",
       true},
      {"DELETE", "/v1/faults", "Removes all faults", &E::remove_faults, {{200, "Faults"}}},
      {"GET", "/v1/faults/{name}", "One fault and how often it fired", &E::fault, {{200, "Fault"}}},
      {"DELETE", "/v1/faults/{name}", "Removes a fault", &E::remove_fault, {{200, "Faults"}}},
      {"GET", "/v1/clock", "The emulator's time", &E::clock, {{200, "Clock"}}},
      {"POST",
       "/v1/clock",
       "Moves a manual clock, and answers when all that fell due has happened",
       &E::advance_clock,
       {{200, "Clock"}},
       {409},
       {},
       "Advance",
       true},
      {"GET",
       "/v1/segment",
       "The shared-memory segment as it stands",
       &E::segment,
       {{200, "Segment"}}},
      {"POST",
       "/v1/segment",
       "Makes something happen to the segment or the daemon, at once",
       &E::cause_incident,
       {{200, "Segment"}},
       {500},
       {},
       "Incident",
       true},
      {"POST",
       "/v1/reset",
       "Back to empty, wholly or in part",
       &E::reset,
       {{204}},
       {},
       {},
       "Reset"},
  };
  return routes;
}

}  // namespace hyperpod::emulator::admin
