// SPDX-License-Identifier: Apache-2.0
// Descriptors 0 to 2 of a program that was started without some of them.
#pragma once

namespace hyperpod::base {

/// Takes those of descriptors 0 to 2 that are closed, so that no socket, file or segment that is
/// opened later gets the number of standard input, output or error, to be read or written by
/// mistake. What was closed still fails when it is used. To be called before anything is opened.
void take_standard_descriptors() noexcept;

}  // namespace hyperpod::base
