// SPDX-License-Identifier: Apache-2.0
// Errors of the emulator: hyperpod/base/error.h under this library's names. It uses the codes
// invalid_option, address_unusable, segment_in_use, segment_unusable, tls_unusable and
// out_of_resources.
#pragma once

#include "hyperpod/base/error.h"

namespace hyperpod::emulator {

using base::Error;
using base::ErrorCode;
using base::Result;

}  // namespace hyperpod::emulator
