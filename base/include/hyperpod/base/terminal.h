// SPDX-License-Identifier: Apache-2.0
// What may be written to a terminal.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>

namespace hyperpod::base {

bool is_terminal(int descriptor);

/// Whether to colour what goes to `descriptor`: on a terminal that is not dumb, unless NO_COLOR is
/// set and not empty (no-color.org).
bool wants_colour(int descriptor);

/// "[######..................] 12/48, about 30 s left": how far a work of `total` parts has come,
/// and how long it still takes if the rest goes as what is done went in `elapsed`. No line end.
std::string progress_bar(std::size_t done, std::size_t total, std::chrono::nanoseconds elapsed);

/// Whether bytes are text that a terminal shows as it is: UTF-8 without control characters other
/// than tabs and line ends.
bool is_printable(std::span<const std::byte> bytes);

}  // namespace hyperpod::base
