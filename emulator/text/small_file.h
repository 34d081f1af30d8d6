// SPDX-License-Identifier: Apache-2.0
// Files that people write: configurations and scenarios.
//
// Any thread.
#pragma once

#include <string>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::text {

/// The whole file. Beyond 1 MiB it is refused unread: nobody wrote that by hand. An error begins
/// with the file's name.
Result<std::string> read_small_file(const std::string& path);

}  // namespace hyperpod::emulator::text
