// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "faults/document.h"
#include "faults/fault_json.h"
#include "hyperpod/base/text.h"
#include "text/small_file.h"

namespace hyperpod::emulator {
namespace {

Result<nlohmann::json> parse(std::string_view file, std::string_view text) {
  if (file.ends_with(".json")) return faults::parse_json(text);
  if (file.ends_with(".yaml") || file.ends_with(".yml")) return faults::parse_yaml(text);
  return tl::unexpected(
      Error{ErrorCode::invalid_option, "must end in .yaml, .yml or .json to be a scenario"});
}

}  // namespace

Result<std::vector<Fault>> load_scenario(const std::string& file) {
  const auto text = text::read_small_file(file);
  if (!text) return tl::unexpected(text.error());
  return parse(file, *text).and_then(faults::read_scenario).map_error([&](Error error) {
    error.message = fmt::format("{}: {}", base::printable(file), error.message);
    return error;
  });
}

}  // namespace hyperpod::emulator
