// SPDX-License-Identifier: Apache-2.0
// The error of a configuration value that cannot be used as given.
#pragma once

#include <string>
#include <utility>

#include "hyperpod/client/error.h"

namespace hyperpod::client {

inline Error invalid(std::string message) {
  return {ErrorCode::invalid_option, std::move(message)};
}

}  // namespace hyperpod::client
