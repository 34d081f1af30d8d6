// Which defect a client built from the mutated sources has; see mutations.cmake.
#pragma once

#include <cstdlib>
#include <string_view>

namespace hyperpod::client {

/// Whether the environment variable HYPERPOD_DEFECT names this defect.
inline bool has_defect(std::string_view name) {
  static const char* const chosen = std::getenv("HYPERPOD_DEFECT");
  return chosen != nullptr && name == chosen;
}

}  // namespace hyperpod::client
