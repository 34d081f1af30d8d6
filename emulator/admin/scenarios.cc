// SPDX-License-Identifier: Apache-2.0
#include "admin/scenarios.h"

#include <fmt/format.h>

#include <string_view>

#include "admin/embedded.h"
#include "admin/views.h"
#include "faults/document.h"
#include "faults/fault_json.h"

namespace hyperpod::emulator::admin {
namespace {

constexpr std::string_view mark = "#: ";

Json scenario(std::string_view name, std::string_view text) {
  const auto document = faults::parse_yaml(text).value();
  auto known = faults::read_scenario(document).value();
  Json faults = Json::array();
  for (Fault& fault : known) {
    if (fault.name.empty()) fault.name = fmt::format("{}-{}", name, faults.size() + 1);
    Json view = Json::parse(fault_to_json(fault, {}));
    view.erase("counts");
    faults.push_back(std::move(view));
  }
  return {{"name", name},
          {"description", document.value("description", "")},
          {"faults", std::move(faults)}};
}

std::string make_document() {
  Json all = Json::array();
  std::string_view rest = embedded::scenarios;
  while (rest.starts_with(mark)) {
    rest.remove_prefix(mark.size());
    const std::string_view name = rest.substr(0, rest.find('\n'));
    const std::string_view text = rest.substr(0, rest.find(fmt::format("\n{}", mark)));
    all.push_back(scenario(name, text.substr(name.size())));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
  }
  return to_text({{"scenarios", std::move(all)}}) + "\n";
}

}  // namespace

const std::string& scenarios_document() {
  static const std::string document = make_document();
  return document;
}

}  // namespace hyperpod::emulator::admin
