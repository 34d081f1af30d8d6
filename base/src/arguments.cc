// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/arguments.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

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
  return {};
}

}  // namespace hyperpod::base
