// SPDX-License-Identifier: Apache-2.0
// Any bytes as a scenario in JSON, which the admin port takes from anybody: they are refused in one
// line, or give valid faults that read back as they are written.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "faults/fault_json.h"

namespace hyperpod::emulator::faults {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_line(const std::string& line) {
  require(!line.empty());
  for (const char c : line) require(static_cast<unsigned char>(c) >= 0x20);
}

void check(const Result<std::vector<Fault>>& faults) {
  if (!faults) return check_line(faults.error().message);
  for (const Fault& fault : *faults) {
    require(validate_fault(fault).has_value());
    auto written = nlohmann::json::parse(fault_to_json(fault, {}));
    written.erase("counts");
    const auto again = faults_from_json("[" + written.dump() + "]");
    require(again.has_value() && again->size() == 1 && again->front() == fault);
  }
}

}  // namespace
}  // namespace hyperpod::emulator::faults

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hyperpod::emulator;
  using faults::check;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(faults_from_json(text));
  return 0;
}
