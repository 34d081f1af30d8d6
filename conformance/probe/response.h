// SPDX-License-Identifier: Apache-2.0
// What a daemon answered, parsed strictly: a client may be lenient, a judge must not be.
//
// Pure functions and values; any thread may use them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "probe/time.h"

namespace hyperpod::conformance::probe {

struct Response {
  std::string head;  ///< The status line and headers as they arrived, without the empty line.
  std::string version;
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Names in lower case.
  std::string body;                                          ///< Without its transfer coding.

  /// To a request sent once more: over the first connection no response came.
  bool to_repetition = false;
  TimePoint sent;     ///< When the last byte of the request had been handed to the kernel.
  TimePoint arrived;  ///< When the last byte of the response had been received.

  Duration took() const { return arrived - sent; }
  /// The value of the first header of this name, given in lower case; nullopt if there is none.
  std::optional<std::string_view> header(std::string_view name) const;
  /// The media type without its parameters, in lower case; empty if there is none.
  std::string media_type() const;
  /// Whether the server says that it closes the connection behind this response.
  bool says_close() const;
};

struct ParsedResponse {
  Response response;
  std::size_t consumed = 0;  ///< How many of the bytes were the response.
};

/// Parses the response at the beginning of `bytes`. nullopt: it is not complete yet. `at_end` tells
/// that no more will come, which completes a body that has no length. Any bytes may be given. What
/// RFC 9110 and 9112 have a recipient bear with is borne with: other control characters in a value,
/// folded lines, codings in any case, a length that is told twice. Errors: malformed_response, for
/// bytes that a server may not send or a head or body that no daemon needs (64 KiB, 16 MiB), and
/// closed, for a response cut short by the end.
Result<std::optional<ParsedResponse>> parse_response(std::string_view bytes, bool at_end);

}  // namespace hyperpod::conformance::probe
