// SPDX-License-Identifier: Apache-2.0
// The head of a request or response as the journal shows it.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::emulator::journal {

/// `head` without credentials: the values of fields and of query parameters whose names speak of
/// them, and a user name and password in the target, read "[redacted]". One that is longer than
/// Journal::longest_head is cut there, with a last line "[cut]". `head` may be any bytes.
std::string presentable_head(std::string_view head);

}  // namespace hyperpod::emulator::journal
