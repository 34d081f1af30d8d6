// SPDX-License-Identifier: Apache-2.0
#include "body_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hyperpod::client {
namespace {

using Json = nlohmann::json;

// Of a body; more than a million steps, and less than a parser needs much memory for.
constexpr std::size_t max_body = 16 << 20;
// Of nesting; what is meant has two levels.
constexpr int max_depth = 4;

}  // namespace

Json parse_body(std::string_view body) {
  // The parser takes a NUL byte for the end.
  if (body.size() > max_body || body.find('\0') != body.npos) return Json(Json::value_t::discarded);
  bool too_deep = false;
  const auto keep = [&too_deep](int depth, Json::parse_event_t, const Json&) {
    if (depth > max_depth) too_deep = true;
    return depth <= max_depth;
  };
  Json json = Json::parse(body, keep, false);
  return too_deep ? Json(Json::value_t::discarded) : json;
}

std::string told_in(std::string_view body) {
  constexpr std::size_t longest = 200;
  const Json json = parse_body(body);
  if (!json.is_object() || !json.contains("message") || !json["message"].is_string()) return {};
  const auto& message = json["message"].get_ref<const std::string&>();
  const bool one_line = std::ranges::all_of(
      message, [](char character) { return character >= ' ' && character <= '~'; });
  return one_line && message.size() <= longest ? "; it says: " + message : std::string();
}

}  // namespace hyperpod::client
