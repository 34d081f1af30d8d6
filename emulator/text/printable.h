// SPDX-License-Identifier: Apache-2.0
// Text of others (file contents, arguments, request targets) made fit for one line of output.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::emulator::text {

/// `text` with each control character as \n, \t or \xHH, so that it can neither break a line nor
/// drive a terminal. Other bytes, UTF-8 among them, stay.
std::string printable(std::string_view text);

/// printable(text) in single quotes, cut with "..." when it is long: for messages.
std::string quoted(std::string_view text);

}  // namespace hyperpod::emulator::text
