// SPDX-License-Identifier: Apache-2.0
// Names that collide with nobody's, in whatever container they are made. A process id does not do
// for that: in containers that share /dev/shm everybody is process 1 or 7.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::base {

/// `prefix` and 16 random hexadecimal digits. Any thread, and both sides of a fork.
std::string unique_name(std::string_view prefix);

}  // namespace hyperpod::base
