// SPDX-License-Identifier: Apache-2.0
// Any bytes as a config.toml: they are refused in one line, or give a configuration that holds
// together and whose settings read back what they show.
#include <cstdint>
#include <cstdlib>

#include "config/settings.h"
#include "config/toml_file.h"
#include "config/validate.h"

namespace hyperpod::emulator::config {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_line(const std::string& line) {
  for (const char c : line) require(static_cast<unsigned char>(c) >= 0x20);
}

void check(Configuration configuration) {
  require(validate(configuration.options).has_value());
  for (const std::string& warning : configuration.warnings) check_line(warning);
  for (const Setting& setting : settings()) {
    if (!setting.warning.empty()) continue;
    const std::string shown = setting.show(configuration);
    require(setting.set(configuration, shown).has_value());
    require(setting.show(configuration) == shown);
  }
}

void load(std::string_view document) {
  Draft draft;
  if (const auto loaded = load_toml(document, "config.toml", draft); !loaded) {
    check_line(loaded.error().message);
    return;
  }
  auto configuration = std::move(draft).finish();
  if (configuration) {
    check(std::move(*configuration));
  } else {
    check_line(configuration.error().message);
  }
}

}  // namespace
}  // namespace hyperpod::emulator::config

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hyperpod::emulator::config::load({reinterpret_cast<const char*>(data), size});
  return 0;
}
