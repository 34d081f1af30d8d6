// SPDX-License-Identifier: Apache-2.0
#include "probe/time.h"

#include <cstdio>

namespace hyperpod::conformance::probe {

std::string in_ms(Duration duration) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f ms",
                std::chrono::duration<double, std::milli>(duration).count());
  return text;
}

}  // namespace hyperpod::conformance::probe
