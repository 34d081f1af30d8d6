// SPDX-License-Identifier: Apache-2.0
// The daemon's config.toml: the real daemon's keys, and ours under [emulator].
//
// Pure but for reading the file; any thread. Every error is one line that begins with the file, the
// line and the key, and names the way out.
#pragma once

#include <string>
#include <string_view>

#include "config/configuration.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::config {

/// Puts the settings of `document` into `draft`. `file` is its name in messages.
Result<void> load_toml(std::string_view document, std::string_view file, Draft& draft);

/// The same for a file on disk, of at most 1 MiB.
Result<void> load_toml_file(const std::string& path, Draft& draft);

}  // namespace hyperpod::emulator::config
