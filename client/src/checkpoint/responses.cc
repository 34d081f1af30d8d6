// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/responses.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace hyperpod::client::checkpoint {
namespace {

using Json = nlohmann::json;

// Of a body; more than a million steps, and less than a parser needs much memory for.
constexpr std::size_t max_body = 16 << 20;
// Of nesting; what is meant has two levels.
constexpr int max_depth = 4;

// Discarded where it is not JSON or beyond bounds.
Json parse(std::string_view body) {
  if (body.size() > max_body) return Json(Json::value_t::discarded);
  bool too_deep = false;
  const auto keep = [&too_deep](int depth, Json::parse_event_t, const Json&) {
    if (depth > max_depth) too_deep = true;
    return depth <= max_depth;
  };
  Json json = Json::parse(body, keep, false);
  return too_deep ? Json(Json::value_t::discarded) : json;
}

std::optional<std::uint64_t> whole_number(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

tl::expected<NamespaceNumbers, std::string> parse_namespace(std::string_view body) {
  const Json json = parse(body);
  NamespaceNumbers numbers;
  struct Member {
    const char* name;
    std::uint64_t& number;
  };
  for (const Member& member : {Member{"num_ranks", numbers.num_ranks},
                               Member{"steps_to_retain_per_rank", numbers.steps_retained}}) {
    const bool there =
        json.is_object() && json.contains(member.name) && json[member.name].is_number_unsigned();
    if (!there) {
      return tl::unexpected(std::string("tells of a namespace without the whole number ") +
                            member.name);
    }
    member.number = json[member.name].get<std::uint64_t>();
  }
  return numbers;
}

tl::expected<std::vector<std::uint64_t>, std::string> parse_steps(std::string_view body) {
  const Json json = parse(body);
  if (!json.is_array()) {
    return tl::unexpected(std::string("sent something else than an array of steps"));
  }
  std::vector<std::uint64_t> steps;
  for (const Json& element : json) {
    const auto step = whole_number(element);
    if (!step) {
      return tl::unexpected(std::string("sent a step that is not a whole number"));
    }
    steps.push_back(*step);
  }
  std::ranges::sort(steps, std::greater{});
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  return steps;
}

std::string told_in(std::string_view body) {
  constexpr std::size_t longest = 200;
  const Json json = parse(body);
  if (!json.is_object() || !json.contains("message") || !json["message"].is_string()) return {};
  const auto& message = json["message"].get_ref<const std::string&>();
  const bool one_line = std::ranges::all_of(
      message, [](char character) { return character >= ' ' && character <= '~'; });
  return one_line && message.size() <= longest ? message : std::string();
}

}  // namespace hyperpod::client::checkpoint
