// SPDX-License-Identifier: Apache-2.0
// Globs over names.
//
// Pure; any thread.
#pragma once

#include <string_view>

namespace hyperpod::emulator::faults {

/// Whether `glob` matches all of `text`: `*` any run of bytes, `?` any one byte, all else itself.
/// Needs neither memory nor recursion, and never more than |glob| * |text| steps, whatever they
/// hold; without a `*` that is followed by near misses, |text|.
bool glob_matches(std::string_view glob, std::string_view text);

}  // namespace hyperpod::emulator::faults
