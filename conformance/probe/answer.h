// What a daemon answered, parsed strictly: a client may be lenient, a judge must not be.
//
// Pure functions and values; any thread may use them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "probe/error.h"

namespace hyperpod::conformance {

struct Answer {
  std::string head;  ///< The status line and headers as they arrived, without the empty line.
  std::string version;
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Names in lower case.
  std::string body;                                          ///< Without its transfer coding.

  Moment asked;    ///< When the last byte of the request had been handed to the kernel.
  Moment arrived;  ///< When the last byte of the answer had been received.

  Duration took() const { return arrived - asked; }
  /// The value of the first header of this name, given in lower case; nullopt if there is none.
  std::optional<std::string_view> header(std::string_view name) const;
  /// The media type without its parameters, in lower case; empty if there is none.
  std::string media_type() const;
};

struct ParsedAnswer {
  Answer answer;
  std::size_t consumed;  ///< How many of the bytes were the answer.
};

/// Parses the answer at the beginning of `bytes`. nullopt: it is not complete yet. `at_end` tells
/// that no more will come, which completes a body that has no length. Errors: malformed, for bytes
/// that RFC 9112 does not allow a server to send, and closed, for an answer cut short by the end.
Result<std::optional<ParsedAnswer>> parse_answer(std::string_view bytes, bool at_end);

}  // namespace hyperpod::conformance
