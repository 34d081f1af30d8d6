// SPDX-License-Identifier: Apache-2.0
// What may name a POSIX shared-memory segment.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "hyperpod/client/error.h"

namespace hyperpod::client {

/// The reason why `name` cannot be the name of a file right under /dev/shm; nullopt if it can.
std::optional<Error> check_segment_name(std::string_view name);

}  // namespace hyperpod::client
