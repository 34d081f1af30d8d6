// SPDX-License-Identifier: Apache-2.0
// Percent-encoding (RFC 3986, 2.1), as targets of requests carry names.
//
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hyperpod::emulator::text {

/// The value of a hexadecimal digit of either case; -1 for any other character.
int hex_digit(char c);

/// Whether `text` is ASCII without an escape, and so what percent_decode makes of it.
bool is_plain(std::string_view text);

/// Decodes `text` once; a plus stays a plus. nullopt for a broken escape, or if the result is not
/// UTF-8.
std::optional<std::string> percent_decode(std::string_view text);

/// The same into `decoded`, whose memory is used again. False in place of nullopt; what `decoded`
/// holds is then unspecified.
bool percent_decode(std::string_view text, std::string& decoded);

}  // namespace hyperpod::emulator::text
