// SPDX-License-Identifier: Apache-2.0
// What may be written to a terminal.
#pragma once

#include <cstddef>
#include <span>

namespace hyperpod::base {

bool is_terminal(int descriptor);

/// Whether to colour what goes to `descriptor`: on a terminal that is not dumb, unless NO_COLOR is
/// set and not empty (no-color.org).
bool wants_colour(int descriptor);

/// Whether bytes are text that a terminal shows as it is: UTF-8 without control characters other
/// than tabs and line ends.
bool is_printable(std::span<const std::byte> bytes);

}  // namespace hyperpod::base
