// SPDX-License-Identifier: Apache-2.0
// The file that tells a script that the emulator can serve: --ready-file.
//
// Not thread-safe; one process owns a path.
#pragma once

#include <string>
#include <string_view>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::config {

/// Removes what a former run left at `path`, so that whoever waits for the file never reads an old
/// one. Refuses (invalid_option) a path that holds anything but a regular file or nothing.
Result<void> clear_ready_file(const std::string& path);

/// Writes `content`; a reader finds all of it or no file.
Result<void> write_ready_file(const std::string& path, std::string_view content);

}  // namespace hyperpod::emulator::config
