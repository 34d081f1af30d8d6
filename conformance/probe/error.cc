#include "probe/error.h"

#include <cstdio>

namespace hyperpod::conformance {

std::string in_ms(Duration duration) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f ms",
                std::chrono::duration<double, std::milli>(duration).count());
  return text;
}

}  // namespace hyperpod::conformance
