// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/unique_key.h"

#include <spdlog/fmt/fmt.h>

#include <random>

namespace hyperpod::client::cli::doctor {

std::string unique_key(std::string_view label) {
  std::random_device random;
  return fmt::format("hyperpod-kv-doctor/{}-{:08x}{:08x}", label, random(), random());
}

}  // namespace hyperpod::client::cli::doctor
