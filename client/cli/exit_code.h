// SPDX-License-Identifier: Apache-2.0
// What hyperpod-kv's exit codes mean.
#pragma once

#include "hyperpod/client/error.h"

namespace hyperpod::client::cli {

constexpr int exit_hit = 0;
constexpr int exit_miss = 1;
constexpr int exit_usage = 2;
constexpr int exit_out_of_reach = 3;

inline int exit_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_option:
    case ErrorCode::invalid_argument:
      return exit_usage;
    default:
      return exit_out_of_reach;
  }
}

}  // namespace hyperpod::client::cli
