// SPDX-License-Identifier: Apache-2.0
// Errors of the client: hyperpod/base/error.h under this library's names. A miss is not an error;
// client.h tells how each call reports one.
#pragma once

#include "hyperpod/base/error.h"

namespace hyperpod::client {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::SegmentOwner;
using base::to_string;

}  // namespace hyperpod::client
