// SPDX-License-Identifier: Apache-2.0
#include "error.h"

#include <cerrno>
#include <system_error>

namespace hyperpod::bench {

tl::unexpected<Error> system_failure(const std::string& message) {
  return failure(message + ": " + std::generic_category().message(errno));
}

}  // namespace hyperpod::bench
