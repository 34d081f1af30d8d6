// SPDX-License-Identifier: Apache-2.0
#include "admin/endpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

#include "admin/embedded.h"
#include "admin/info.h"
#include "admin/journal_bodies.h"
#include "admin/metrics.h"
#include "admin/openapi.h"
#include "admin/scenarios.h"
#include "admin/state_bodies.h"
#include "admin/views.h"
#include "faults/document.h"
#include "faults/fault_json.h"
#include "hyperpod/base/text.h"
#include "text/percent.h"

namespace hyperpod::emulator::admin {
namespace {

using std::chrono::milliseconds;
using Call = Route::Call;

constexpr std::uint64_t entries_unless_asked = 1000;
constexpr milliseconds longest_wait = std::chrono::minutes{1};
constexpr std::uint64_t most_last = 10'000;
constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();
constexpr std::uint64_t longest_step = 366ull * 24 * 3600 * 1000;

using Resettable = std::pair<std::string_view, bool ResetSelection::*>;
constexpr std::array<Resettable, 5> resettable{{{"objects", &ResetSelection::objects},
                                                {"leases", &ResetSelection::leases},
                                                {"faults", &ResetSelection::faults},
                                                {"journal", &ResetSelection::journal},
                                                {"counters", &ResetSelection::counters}}};

// --- Requests -----------------------------------------------------------------------------------

tl::unexpected<Refusal> refuse(std::string field, std::string message) {
  return tl::make_unexpected(Refusal{400, std::move(message), std::move(field)});
}

// Errors of faults begin with the path of the field, or with "fault 'NAME': " and the path.
Refusal of_fault(const Error& error) {
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
std::optional<Number> whole_number(std::string_view text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, value);
  if (failure == std::errc{} && rest == end && value >= 0) return value;
  return std::nullopt;
}

template <class Number>
tl::expected<std::optional<Number>, Refusal> number(const Call& call, const std::string& name) {
  const auto text = parameter(call, name);
  if (!text) return std::nullopt;
  if (const auto value = whole_number<Number>(*text)) return value;
  return refuse(name, fmt::format("{}={} is not a whole number in range; write digits", name,
                                  base::printable(*text)));
}

tl::expected<JournalFilter, Refusal> journal_filter(const Call& call) {
  JournalFilter filter;
  if (const auto name = parameter(call, "operation")) {
    const auto known = std::ranges::find(all_journal_operations, *name,
                                         [](JournalOperation each) { return name_of(each); });
    if (known == all_journal_operations.end()) {
      return refuse(
          "operation",
          fmt::format("operation={} is unknown; take put, lease, release, checkpoint_put, "
                      "checkpoint_get, checkpoint_delete, namespace, other or unreadable",
                      base::printable(*name)));
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

tl::expected<bool, Refusal> wants_lines(const Call& call) {
  const auto format = parameter(call, "format");
  if (!format) {
    const std::string& accept = call.request.accept;
    return accept.find("ndjson") != accept.npos || accept.find("jsonl") != accept.npos;
  }
  if (*format == "jsonl") return true;
  if (*format == "json") return false;
  return refuse("format",
                fmt::format("format={} is unknown; take json or jsonl", base::printable(*format)));
}

// An object, with members of `known` only.
tl::expected<nlohmann::json, Refusal> object_body(const Call& call,
                                                  std::initializer_list<std::string_view> known) {
  auto body = faults::parse_json(call.request.body);
  if (!body) return refuse("", fmt::format("the body is not JSON: {}", body.error().message));
  if (!body->is_object()) return refuse("", "the body must be a JSON object");
  for (const auto& [name, value] : body->items()) {
    if (std::ranges::find(known, name) == known.end()) {
      return refuse(name, fmt::format("{} is unknown; known are {}", base::printable(name),
                                      fmt::join(known, ", ")));
    }
  }
  return *std::move(body);
}

// A fault, an array of them or a scenario.
tl::expected<std::vector<Fault>, Refusal> faults_body(const Call& call) {
  auto body = faults::parse_json(call.request.body);
  if (!body) return refuse("", fmt::format("the body is not JSON: {}", body.error().message));
  const bool single = body->is_object() && !body->contains("faults");
  auto faults = faults::read_scenario(single ? nlohmann::json::array({*body}) : *body);
  if (!faults) return tl::make_unexpected(of_fault(faults.error()));
  return *std::move(faults);
}

// --- Responses
// ------------------------------------------------------------------------------------

Response json_response(const Json& json, int status = 200) {
  return {.status = status, .body = to_text(json) + "\n"};
}

Response faults_response(const FaultPlan& faults, int status = 200) {
  std::string body;
  for (const auto& [fault, counts] : faults.list()) {
    body += body.empty() ? "" : ",";
    body += fault_to_json(fault, counts);
  }
  return {.status = status, .body = fmt::format("{{\"faults\":[{}]}}\n", body)};
}

tl::unexpected<Refusal> no_such_fault(const std::string& name) {
  return tl::make_unexpected(Refusal{
      404, fmt::format("there is no fault {}; GET /v1/faults lists them", base::quoted(name)),
      "name"});
}

std::string_view error_name(int status) {
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
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
    case 415:
      return "not_json";
    case 431:
      return "head_too_large";
    case 503:
      return "not_ready";
    default:
      return status < 500 ? "invalid_request" : "failed";
  }
}

// --- Dispatch -----------------------------------------------------------------------------------

// What stands for {…}, which only the end of a path can be; "" where the path has none.
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

std::optional<Refusal> check_query(const Route& route, const Request& request) {
  for (const auto& [name, value] : request.query) {
    if (std::ranges::find(route.query, name, &QueryParameter::name) == route.query.end()) {
      return Refusal{400,
                     fmt::format("the parameter {} is unknown; {} takes {}", base::quoted(name),
                                 route.path, names_of(route.query)),
                     name};
    }
    if (request.query.count(name) > 1) {
      return Refusal{
          400, fmt::format("the parameter {} is given twice; leave one out", base::quoted(name)),
          name};
    }
  }
  return std::nullopt;
}

}  // namespace

Response refused(const Refusal& refusal) {
  Json json{{"error", error_name(refusal.status)}, {"message", refusal.message}};
  if (!refusal.field.empty()) json["field"] = refusal.field;
  Response response{.status = refusal.status, .body = to_text(json) + "\n"};
  if (refusal.status == 401) response.headers = "WWW-Authenticate: Bearer\r\n";
  if (refusal.status == 503) response.headers = "Retry-After: 1\r\n";
  return response;
}

Endpoints::Endpoints(Control& control, std::shared_ptr<Feed> feed)
    : control_(control), feed_(std::move(feed)) {}

Endpoints::Match Endpoints::find(const Request& request) const {
  std::set<std::string_view> allowed;
  for (const Route& route : admin_routes()) {
    auto name = match(route.path, request.path);
    if (!name) continue;
    allowed.insert(route.method);
    if (route.method == request.method) return {.route = &route, .name = *std::move(name)};
  }
  if (allowed.empty()) {
    return {.refusal = {404, fmt::format("there is no {}; GET /openapi.json lists what there is",
                                         base::quoted(request.path))}};
  }
  std::string methods = fmt::format("{}", fmt::join(allowed, ", "));
  return {.refusal = {405, fmt::format("{} is not for {}; take {}", base::quoted(request.path),
                                       base::printable(request.method), methods)},
          .allow = std::move(methods)};
}

Response Endpoints::respond(const Match& match, const Request& request) try {
  if (match.route == nullptr) {
    Response response = refused(match.refusal);
    if (!match.allow.empty()) response.headers = fmt::format("Allow: {}\r\n", match.allow);
    return response;
  }
  if (const auto wrong = check_query(*match.route, request)) return refused(*wrong);
  Reply reply = (this->*match.route->handler)({request, match.name});
  return reply ? std::move(*reply) : refused(reply.error());
} catch (const std::exception&) {
  return refused({500, "the request failed inside the emulator: it is out of memory"});
}

// --- The page -----------------------------------------------------------------------------------

// What the page may load and where it may send: its own files, its own port.
constexpr std::string_view page_policy =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n";

Reply Endpoints::page(const Call& /*call*/) {
  return Response{.content_type = "text/html; charset=utf-8",
                  .body = std::string(embedded::page),
                  .headers = std::string(page_policy)};
}

Reply Endpoints::page_style(const Call& /*call*/) {
  return Response{.content_type = "text/css; charset=utf-8",
                  .body = std::string(embedded::page_style)};
}

Reply Endpoints::page_script(const Call& /*call*/) {
  return Response{.content_type = "text/javascript; charset=utf-8",
                  .body = std::string(embedded::page_script)};
}

Reply Endpoints::events(const Call& /*call*/) {
  return Response{
      .content_type = "text/event-stream", .source = follow(feed_), .signal = Signal::tick};
}

// --- Health and figures -------------------------------------------------------------------------

Reply Endpoints::health(const Call& /*call*/) { return json_response({{"status", "ok"}}); }

Reply Endpoints::readiness(const Call& /*call*/) {
  const Readiness readiness = readiness_of(control_);
  if (readiness.ready) return json_response({{"status", "ready"}});
  return tl::make_unexpected(Refusal{503, readiness.reason});
}

Reply Endpoints::metrics(const Call& /*call*/) {
  return Response{.content_type = std::string(metrics_content_type),
                  .body = metrics_text(control_)};
}

Reply Endpoints::openapi(const Call& /*call*/) { return Response{.body = openapi_document()}; }

// --- State --------------------------------------------------------------------------------------

Reply Endpoints::info(const Call& /*call*/) {
  Json json = info_view(control_);
  json["uptime_ms"] = control_.uptime().count();
  return json_response(json);
}

Reply Endpoints::state(const Call& /*call*/) { return Response{.source = state_body(control_)}; }

Reply Endpoints::statistics(const Call& /*call*/) {
  return json_response(view(control_.statistics()));
}

Reply Endpoints::objects(const Call& call) {
  ObjectFilter filter{.bucket = parameter(call, "bucket"), .key = parameter(call, "key")};
  const auto first = number<std::uint64_t>(call, "first_block");
  if (!first) return tl::make_unexpected(first.error());
  const auto end = number<std::uint64_t>(call, "end_block");
  if (!end) return tl::make_unexpected(end.error());
  const auto limit = number<std::uint64_t>(call, "limit");
  if (!limit) return tl::make_unexpected(limit.error());
  filter.first_block = first->value_or(filter.first_block);
  filter.end_block = end->value_or(filter.end_block);
  return Response{.source = objects_body(control_, std::move(filter), limit->value_or(no_limit))};
}

Reply Endpoints::leases(const Call& call) {
  const auto bucket = parameter(call, "bucket");
  const auto key = parameter(call, "key");
  Json leases = Json::array();
  for (const LeaseState& lease : control_.live(everything).leases) {
    const bool wanted = (!bucket || lease.bucket == *bucket) && (!key || lease.key == *key);
    if (wanted) leases.push_back(view(lease));
  }
  return json_response({{"leases", std::move(leases)}});
}

// --- Journal ------------------------------------------------------------------------------------

Reply Endpoints::journal(const Call& call) {
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

  const auto last = number<std::uint64_t>(call, "last");
  if (!last) return tl::make_unexpected(last.error());
  if (*last && *limit) return refuse("last", "last and limit exclude each other; leave one out");
  if (last->value_or(0) > most_last) {
    return refuse("last", fmt::format("last={} is too many; take {} or less", **last, most_last));
  }

  const Journal& journal = control_.journal();
  const JournalSelection selection{
      .filter = *filter,
      .limit = limit->value_or(*lines ? no_limit : entries_unless_asked),
      .last = *last,
      .lines = *lines};
  if (!*wait) return journal_response(journal, selection, std::nullopt);
  return Response{.wait = std::make_unique<JournalWait>(journal, selection, count->value_or(1),
                                                        milliseconds{**wait}),
                  .signal = Signal::journal};
}

Reply Endpoints::journal_entry(const Call& call) {
  const Journal& journal = control_.journal();
  const auto wanted = whole_number<std::uint64_t>(call.name);
  if (!wanted) {
    return refuse("sequence", fmt::format("{} is not a sequence; write digits, as in the entries "
                                          "of /v1/journal",
                                          base::quoted(call.name)));
  }
  JournalFilter from;
  from.after_sequence = *wanted - std::min<std::uint64_t>(*wanted, 1);
  const auto found = journal.entries(from, 1);
  if (found.empty() || found[0].sequence != *wanted) {
    return tl::make_unexpected(Refusal{
        404, fmt::format("the journal does not have entry {}; GET /v1/journal lists what it has",
                         *wanted)});
  }
  Json json = Json::parse(entry_to_json(found[0]));
  if (auto heads = journal.heads(*wanted)) {
    json["request_head"] = std::move(heads->request);
    if (!heads->response.empty()) json["response_head"] = std::move(heads->response);
  }
  return json_response(json);
}

Reply Endpoints::totals(const Call& /*call*/) {
  return json_response(view_of_totals(control_.journal()));
}

// --- Faults -------------------------------------------------------------------------------------

Reply Endpoints::faults(const Call& /*call*/) { return faults_response(control_.faults()); }

Reply Endpoints::fault(const Call& call) {
  for (const auto& [fault, counts] : control_.faults().list()) {
    if (fault.name == call.name) return Response{.body = fault_to_json(fault, counts) + "\n"};
  }
  return no_such_fault(call.name);
}

Reply Endpoints::add_faults(const Call& call) {
  auto wanted = faults_body(call);
  if (!wanted) return tl::make_unexpected(wanted.error());
  FaultPlan& plan = control_.faults();
  if (const auto added = plan.add_all(*std::move(wanted)); !added) {
    return tl::make_unexpected(of_fault(added.error()));
  }
  return faults_response(plan, 201);
}

Reply Endpoints::replace_faults(const Call& call) {
  auto wanted = faults_body(call);
  if (!wanted) return tl::make_unexpected(wanted.error());
  const auto replaced = control_.faults().replace(*std::move(wanted));
  if (!replaced) return tl::make_unexpected(of_fault(replaced.error()));
  return faults_response(control_.faults());
}

Reply Endpoints::remove_faults(const Call& /*call*/) {
  control_.faults().clear();
  return faults_response(control_.faults());
}

Reply Endpoints::remove_fault(const Call& call) {
  if (!control_.faults().remove(call.name)) return no_such_fault(call.name);
  return faults_response(control_.faults());
}

Reply Endpoints::scenarios(const Call& /*call*/) { return Response{.body = scenarios_document()}; }

// --- Clock --------------------------------------------------------------------------------------

Reply Endpoints::clock(const Call& /*call*/) {
  Json json = clock_view(control_);
  json["now_us"] = emulator_time(control_);
  return json_response(json);
}

Reply Endpoints::advance_clock(const Call& call) {
  const auto body = object_body(call, {"advance_ms"});
  if (!body) return tl::make_unexpected(body.error());
  const auto step = body->value("advance_ms", nlohmann::json());
  if (!step.is_number_unsigned() || step.get<std::uint64_t>() > longest_step) {
    return refuse("advance_ms",
                  fmt::format("advance_ms must be a whole number from 0 to {}", longest_step));
  }
  if (!move_clock(control_.clock(), milliseconds{step.get<std::uint64_t>()})) {
    return tl::make_unexpected(
        Refusal{409,
                "the clock runs by itself; start the emulator with --clock manual or adjustable to "
                "move it",
                ""});
  }
  return this->clock(call);
}

// --- Segment and reset --------------------------------------------------------------------------

Reply Endpoints::segment(const Call& /*call*/) { return json_response(view(control_.segment())); }

Reply Endpoints::cause_incident(const Call& call) {
  const auto body = object_body(call, {"incident", "lasting", "mode"});
  if (!body) return tl::make_unexpected(body.error());
  if (!body->contains("incident")) {
    return refuse("incident", "incident is missing; name what is to happen");
  }
  // A fault of this effect knows what it needs.
  const auto faults = faults::read_scenario(nlohmann::json::array({{{"effects", *body}}}));
  if (!faults) {
    Refusal error = of_fault(faults.error());
    constexpr std::string_view path = "faults[0].effects.";
    if (error.message.starts_with(path)) error.message.erase(0, path.size());
    if (error.field.starts_with(path)) error.field.erase(0, path.size());
    return tl::make_unexpected(std::move(error));
  }
  if (const auto caused = control_.cause(faults->front().script.front()); !caused) {
    return tl::make_unexpected(Refusal{500, caused.error().message, ""});
  }
  return segment(call);
}

Reply Endpoints::reset(const Call& call) {
  ResetSelection selection;
  if (!call.request.body.empty()) {
    const auto body = object_body(call, {"only"});
    if (!body) return tl::make_unexpected(body.error());
    const auto only = body->find("only");
    if (only != body->end()) {
      selection = {false, false, false, false, false};
      if (!only->is_array()) return refuse("only", "only must be an array of what to reset");
      for (const auto& name : *only) {
        const auto known = name.is_string()
                               ? std::ranges::find(resettable, name.get_ref<const std::string&>(),
                                                   &Resettable::first)
                               : resettable.end();
        if (known == resettable.end()) {
          return refuse("only",
                        fmt::format("only does not take {}; it takes objects, leases, faults, "
                                    "journal or counters",
                                    to_text(name)));
        }
        selection.*known->second = true;
      }
    }
  }
  control_.reset(selection);
  return Response{.status = 204};
}

// --- The table ----------------------------------------------------------------------------------

std::span<const Route> admin_routes() {
  using enum QueryParameter::Type;
  using enum Route::Where;
  using E = Endpoints;
  static const std::vector<QueryParameter> of_objects{
      {"bucket", text, "Only of this bucket"},
      {"key", text, "Only of this key"},
      {"first_block", number, "Only those that begin at this block or behind it"},
      {"end_block", number, "Only those that begin before this block"},
      {"limit", number, "At most so many; all unless given"},
  };
  static const std::vector<QueryParameter> of_leases{
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
      {"last", number, "The newest so many, at most 10000, instead of the oldest"},
      {"format", text, "json, or jsonl for one JSON object a line"},
      {"wait_ms", number, "Wait, at most so long and a minute, until there are count entries"},
      {"count", number, "How many entries to wait for; 1 unless given"},
  };
  static const std::vector<Route> routes{
      {.method = "GET",
       .path = "/",
       .summary = "The page: the emulator to look at, in a browser",
       .handler = &E::page,
       .successes = {{200, "", "text/html; charset=utf-8"}},
       .where = at_once,
       .guard = Guard::host},
      {.method = "GET",
       .path = "/page.css",
       .summary = "How the page looks",
       .handler = &E::page_style,
       .successes = {{200, "", "text/css; charset=utf-8"}},
       .where = at_once,
       .guard = Guard::host},
      {.method = "GET",
       .path = "/page.js",
       .summary = "What the page does",
       .handler = &E::page_script,
       .successes = {{200, "", "text/javascript; charset=utf-8"}},
       .where = at_once,
       .guard = Guard::host},
      {.method = "GET",
       .path = "/healthz",
       .summary = "Whether the process lives",
       .handler = &E::health,
       .successes = {{200, "Status"}},
       .where = at_once,
       .guard = Guard::none},
      {.method = "GET",
       .path = "/readyz",
       .summary = "Whether requests are taken, the segment is in place and an object can be stored",
       .handler = &E::readiness,
       .successes = {{200, "Status"}},
       .failures = {503},
       .guard = Guard::none},
      {.method = "GET",
       .path = "/metrics",
       .summary = "Metrics for Prometheus",
       .handler = &E::metrics,
       .successes = {{200, "", metrics_content_type}},
       .guard = Guard::none},
      {.method = "GET",
       .path = "/openapi.json",
       .summary = "This description",
       .handler = &E::openapi,
       .successes = {{200, "", "application/json"}}},
      {.method = "GET",
       .path = "/v1/info",
       .summary = "What runs: version, uptime and the options in force",
       .handler = &E::info,
       .successes = {{200, "Info"}}},
      {.method = "GET",
       .path = "/v1/events",
       .summary = "The state once, then what changes, twice a second, as server-sent events",
       .handler = &E::events,
       .successes = {{200, "", "text/event-stream"}}},
      {.method = "GET",
       .path = "/v1/state",
       .summary = "All that the emulator holds",
       .handler = &E::state,
       .successes = {{200, "State"}}},
      {.method = "GET",
       .path = "/v1/statistics",
       .summary = "What there is and what has happened, in figures",
       .handler = &E::statistics,
       .successes = {{200, "Statistics"}}},
      {.method = "GET",
       .path = "/v1/objects",
       .summary = "Objects, in the order of their first blocks",
       .handler = &E::objects,
       .successes = {{200, "Objects"}},
       .query = of_objects},
      {.method = "GET",
       .path = "/v1/leases",
       .summary = "Live leases, the next to expire first",
       .handler = &E::leases,
       .successes = {{200, "Leases"}},
       .query = of_leases},
      {.method = "GET",
       .path = "/v1/journal",
       .summary = "Every request and how it went, the oldest first; can wait for more",
       .handler = &E::journal,
       .successes = {{200, "Journal"}, {200, "", "application/x-ndjson"}},
       .query = of_journal},
      {.method = "GET",
       .path = "/v1/journal/totals",
       .summary = "Figures over all requests, by operation, connection and bucket",
       .handler = &E::totals,
       .successes = {{200, "JournalTotals"}}},
      {.method = "GET",
       .path = "/v1/journal/{sequence}",
       .summary = "One request, with its head and that of its response",
       .handler = &E::journal_entry,
       .successes = {{200, "JournalEntryWithHeads"}}},
      {.method = "GET",
       .path = "/v1/faults",
       .summary = "The faults in force and how often they fired",
       .handler = &E::faults,
       .successes = {{200, "Faults"}}},
      {.method = "POST",
       .path = "/v1/faults",
       .summary = "Adds a fault or several: all of them or, on an error, none",
       .handler = &E::add_faults,
       .successes = {{201, "Faults"}},
       .body = "FaultInput",
       .body_required = true,
       .where = changes},
      {.method = "PUT",
       .path = "/v1/faults",
       .summary = "Replaces all faults",
       .handler = &E::replace_faults,
       .successes = {{200, "Faults"}},
       .body = "FaultInput",
       .body_required = true,
       .where = changes},
      {.method = "DELETE",
       .path = "/v1/faults",
       .summary = "Removes all faults",
       .handler = &E::remove_faults,
       .successes = {{200, "Faults"}},
       .where = changes},
      {.method = "GET",
       .path = "/v1/faults/{name}",
       .summary = "One fault and how often it fired",
       .handler = &E::fault,
       .successes = {{200, "Fault"}}},
      {.method = "DELETE",
       .path = "/v1/faults/{name}",
       .summary = "Removes a fault",
       .handler = &E::remove_fault,
       .successes = {{200, "Faults"}},
       .where = changes},
      {.method = "GET",
       .path = "/v1/scenarios",
       .summary = "Faults that were met on real nodes, to be added by name",
       .handler = &E::scenarios,
       .successes = {{200, "Scenarios"}},
       .where = at_once},
      {.method = "GET",
       .path = "/v1/clock",
       .summary = "The emulator's time",
       .handler = &E::clock,
       .successes = {{200, "Clock"}}},
      {.method = "POST",
       .path = "/v1/clock",
       .summary =
           "Moves a manual or adjustable clock; responds when all that fell due has happened",
       .handler = &E::advance_clock,
       .successes = {{200, "Clock"}},
       .failures = {409},
       .body = "Advance",
       .body_required = true,
       .where = changes},
      {.method = "GET",
       .path = "/v1/segment",
       .summary = "The shared-memory segment as it stands",
       .handler = &E::segment,
       .successes = {{200, "Segment"}}},
      {.method = "POST",
       .path = "/v1/segment",
       .summary = "Makes something happen to the segment or the daemon, at once",
       .handler = &E::cause_incident,
       .successes = {{200, "Segment"}},
       .failures = {500},
       .body = "Incident",
       .body_required = true,
       .where = changes},
      {.method = "POST",
       .path = "/v1/reset",
       .summary = "Back to empty, wholly or in part",
       .handler = &E::reset,
       .successes = {{204}},
       .body = "Reset",
       .where = changes},
  };
  return routes;
}

}  // namespace hyperpod::emulator::admin
