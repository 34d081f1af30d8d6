// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/responses.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "body_json.h"

namespace hyperpod::client::checkpoint {
namespace {

using Json = nlohmann::json;

std::optional<std::uint64_t> whole_number(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (value.is_number_integer() && value == 0) return 0;  // -0
  return std::nullopt;
}

std::optional<std::uint64_t> step_number(const Json& value) {
  if (!value.is_string()) return whole_number(value);
  const auto& text = value.get_ref<const std::string&>();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

tl::expected<NamespaceNumbers, std::string> parse_namespace(std::string_view body) {
  const Json json = parse_body(body);
  NamespaceNumbers numbers;
  struct Member {
    const char* name;
    std::uint64_t& number;
  };
  for (const Member& member : {Member{"num_ranks", numbers.num_ranks},
                               Member{"steps_to_retain_per_rank", numbers.steps_retained}}) {
    const auto number = json.is_object() && json.contains(member.name)
                            ? whole_number(json[member.name])
                            : std::nullopt;
    if (!number) {
      return tl::unexpected(std::string("tells of a namespace without the whole number ") +
                            member.name);
    }
    member.number = *number;
  }
  return numbers;
}

tl::expected<std::vector<std::uint64_t>, std::string> parse_steps(std::string_view body) {
  const Json json = parse_body(body);
  if (!json.is_array()) {
    return tl::unexpected(std::string("sent something else than an array of steps"));
  }
  std::vector<std::uint64_t> steps;
  for (const Json& element : json) {
    const auto step = step_number(element);
    if (!step) {
      return tl::unexpected(std::string("sent a step that is not a whole number"));
    }
    steps.push_back(*step);
  }
  std::ranges::sort(steps, std::greater{});
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  return steps;
}

}  // namespace hyperpod::client::checkpoint
