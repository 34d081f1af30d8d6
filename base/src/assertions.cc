// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/assertions.h"

#include <cstdio>
#include <cstdlib>

namespace hyperpod::base {

void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: REQUIRES %s\n", file, line, condition);
  std::abort();
}

}  // namespace hyperpod::base
