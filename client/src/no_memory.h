// SPDX-License-Identifier: Apache-2.0
// The error of what there is no memory for.
#pragma once

#include "hyperpod/client/error.h"

namespace hyperpod::client {

/// Its message is short enough to need no memory itself.
inline Error no_memory() { return {ErrorCode::out_of_resources, "no memory"}; }

}  // namespace hyperpod::client
