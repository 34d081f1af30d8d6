// SPDX-License-Identifier: Apache-2.0
// What hyperpod-kv writes to standard output. One thread at a time may use it.
#pragma once

#include <string_view>

namespace hyperpod::client::cli {

/// Writes to standard output. end_output() tells what could not be written.
void print(std::string_view text);

/// Writes out what print() has held back, and returns the code that the program ends with: `code`,
/// or at least exit_usage if something could not be written, which is told on stderr.
int end_output(int code);

}  // namespace hyperpod::client::cli
