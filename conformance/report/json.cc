// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <nlohmann/json.hpp>

#include "report/files.h"
#include "report/text.h"

namespace hyperpod::conformance::report {
namespace {

// Members stand in the order in which they are told.
using Json = nlohmann::ordered_json;

/// What is not UTF-8 in spite of printable() must not keep the report from being written.
std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json json_of(const Requirement& requirement) {
  return {{"id", requirement.id},
          {"chapter", title(requirement.chapter)},
          {"level", name(requirement.level())},
          {"mark", letter(requirement.mark)},
          {"source", requirement.source},
          {"statement", requirement.statement}};
}

Json json_of(const Event& event) {
  constexpr std::array kinds{"sent", "received", "trouble"};
  return {{"at_ms", std::chrono::duration<double, std::milli>(event.at).count()},
          {"connection", event.connection},
          {"kind", kinds[static_cast<std::size_t>(event.kind)]},
          {"head", event.head},
          {"body_bytes", event.body_bytes},
          {"body", event.body}};
}

Json json_of(const Plot& plot) {
  Json json{{"title", plot.title}, {"limit", plot.limit}, {"series", Json::array()}};
  for (const Plot::Series& series : plot.series)
    json["series"].push_back({{"name", series.name}, {"points", series.points}});
  return json;
}

Json json_of(const CheckResult& result) {
  Json json = json_of(*result.requirement);
  json["outcome"] = name(result.outcome);
  json["seconds"] = std::chrono::duration<double>(result.took).count();
  if (!result.cause.empty()) json["cause"] = result.cause;
  if (!result.expected.empty()) json["expected"] = result.expected;
  if (!result.seen.empty()) json["seen"] = result.seen;
  for (const auto& [figure, value] : result.figures) json["figures"].push_back({figure, value});
  for (const Plot& plot : result.plots) json["plots"].push_back(json_of(plot));
  for (const Event& event : result.events) json["exchange"].push_back(json_of(event));
  return json;
}

}  // namespace

std::string to_json(const Report& report, bool strict) {
  Json json{{"suite", "hyperpod-conformance"},
            {"version", HYPERPOD_VERSION},
            {"verdict", verdict(report, strict)},
            {"outcome", name(report.worst())},
            {"strict", strict},
            {"partial", report.partial()},
            {"subject", report.subject}};
  for (const Fact& fact : report.facts) {
    std::visit([&](const auto& value) { json[fact.key] = value; }, fact.value);
  }
  json.update({{"profile", report.profile},
               {"seed", report.seed},
               {"time_scale", report.time_scale},
               {"started", report.started},
               {"seconds", std::chrono::duration<double>(report.took).count()},
               {"reproduce", report.reproduce()}});
  for (const Outcome outcome :
       {Outcome::skip, Outcome::pass, Outcome::warn, Outcome::fail, Outcome::error}) {
    json["counts"][std::string(name(outcome))] = report.count(outcome);
  }
  json["results"] = Json::array();
  for (const CheckResult& result : report.results) json["results"].push_back(json_of(result));
  return text_of(json);
}

std::string catalogue_json(std::span<const Requirement> requirements) {
  Json json = Json::array();
  for (const Requirement& requirement : requirements) json.push_back(json_of(requirement));
  return text_of(json);
}

}  // namespace hyperpod::conformance::report
