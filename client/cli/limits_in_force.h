// SPDX-License-Identifier: Apache-2.0
// The limits that stand behind a thread, a descriptor or memory that was not to be had.
#pragma once

#include <string>

namespace hyperpod::client::cli {

enum class Resource { memory, threads, descriptors };

/// A clause that names the limit of this process as the shell's `ulimit` does, and says to raise
/// it.
std::string limit_in_force(Resource resource);

/// The same of all of them, where nothing tells which one it was.
std::string limits_in_force();

}  // namespace hyperpod::client::cli
