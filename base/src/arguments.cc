// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/arguments.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <system_error>

#include "hyperpod/base/text.h"

namespace hyperpod::base {

Arguments::Arguments(int count, const char* const* values) {
  names_.reserve(static_cast<std::size_t>(count));  // so that none of them moves
  bool options = true;
  for (int i = 0; i < count; ++i) {
    const std::string_view value = values[i];
    if (value == "--") options = false;
    if (options && value.starts_with("--") && value.find('=') == value.size() - 1) {
      names_.emplace_back(value.substr(0, value.size() - 1));
      values_.push_back(names_.back().c_str());
      values_.push_back("");
    } else {
      values_.push_back(values[i]);
    }
  }
}

std::string to_decimal(std::string& text) {
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) {
    return "'" + text + "' is not a whole number";
  }
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return "'" + text + "' is larger than any number that is taken";
  return {};
}

std::string number_problem(const std::string& text, double least, double most) {
  double number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error == std::errc{} && end == last && number >= least && number <= most) return {};
  std::array<char, 80> range{};
  std::snprintf(range.data(), range.size(), " is not a number from %g to %g", least, most);
  return quoted(text) + range.data();
}

}  // namespace hyperpod::base
