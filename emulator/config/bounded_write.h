// SPDX-License-Identifier: Apache-2.0
// Writing to a descriptor whose reader may have stopped reading.
//
// Any thread.
#pragma once

#include <functional>
#include <string_view>

#include "hyperpod/base/error.h"

namespace hyperpod::emulator::config {

/// Writes all of `text`. While nothing can be written it asks `give_up` ten times a second. Of a
/// pipe with several writers a line of up to 4,096 bytes is not torn. Errors: cancelled (gave up),
/// failed.
base::Result<void> bounded_write(int descriptor, std::string_view text,
                                 const std::function<bool()>& give_up);

}  // namespace hyperpod::emulator::config
