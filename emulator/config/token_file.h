// SPDX-License-Identifier: Apache-2.0
// The file with the admin port's bearer token: --admin-token-file.
//
// Any thread.
#pragma once

#include <string>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::config {

/// The token in the file, without the line break at its end. Refuses (invalid_option) a file that
/// cannot be read or holds anything but one word of printable ASCII: a header could not carry it.
Result<std::string> read_token(const std::string& path);

}  // namespace hyperpod::emulator::config
