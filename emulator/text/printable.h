// SPDX-License-Identifier: Apache-2.0
// Text of others (file contents, arguments, request targets) made fit for one line of output.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::emulator::text {

/// `text` with everything escaped that could break a line, drive a terminal or reorder what it
/// shows: each control character as \n, \t or \xHH, each one beyond ASCII (C1), line separator and
/// direction mark as \uHHHH, each byte that is not UTF-8 as \xHH. The rest stays.
std::string printable(std::string_view text);

/// printable(text) in single quotes, cut with "..." when it is long: for messages.
std::string quoted(std::string_view text);

/// `text` as a string of JSON, quotes included. The same characters are escaped; a byte that is not
/// UTF-8 becomes U+FFFD.
std::string json_string(std::string_view text);

}  // namespace hyperpod::emulator::text
