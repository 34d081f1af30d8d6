// SPDX-License-Identifier: Apache-2.0
// The head of a request or response as the journal shows it.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::emulator::journal {

/// `head` without credentials, and cut, as JournalHeads says; or the first line of one. It may be
/// any bytes.
std::string presentable_head(std::string_view head);

}  // namespace hyperpod::emulator::journal
