#include <spdlog/fmt/fmt.h>

#include "config/printable.h"
#include "config/small_file.h"
#include "faults/document.h"
#include "faults/fault_json.h"

namespace hyperpod::emulator {
namespace {

Result<nlohmann::json> parse(std::string_view file, std::string_view text) {
  if (file.ends_with(".json")) return parse_json(text);
  if (file.ends_with(".yaml") || file.ends_with(".yml")) return parse_yaml(text);
  return tl::unexpected(
      Error{ErrorCode::invalid_option, "must end in .yaml, .yml or .json to be a scenario"});
}

}  // namespace

Result<std::vector<Fault>> load_scenario(const std::string& file) {
  const auto text = read_small_file(file);
  if (!text) return tl::unexpected(text.error());
  return parse(file, *text).and_then(read_scenario).map_error([&](Error error) {
    error.message = fmt::format("{}: {}", printable(file), error.message);
    return error;
  });
}

}  // namespace hyperpod::emulator
