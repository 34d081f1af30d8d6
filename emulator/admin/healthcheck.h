// SPDX-License-Identifier: Apache-2.0
// hyperpod-emulator --healthcheck: whether an emulator lives or is ready, for containers.
//
// Any thread.
#pragma once

#include <string>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::admin {

/// Asks the admin port at `url`, "http://HOST:PORT", for its health, or, where the URL ends in
/// "/readyz", for its readiness. An error tells what came instead, and so does one of a data port,
/// which knows nothing of either.
Result<void> check_health(const std::string& url);

}  // namespace hyperpod::emulator::admin
