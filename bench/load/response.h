// SPDX-License-Identifier: Apache-2.0
// Reading HTTP responses with as little work as measuring allows: status and body, nothing else.
//
// Understands what the servers compared here send: a head, Content-Length, a body. Anything else,
// chunked transfer coding included, is reported as unreadable rather than guessed at.
#pragma once

#include <cstddef>
#include <string_view>

namespace hyperpod::bench {

struct Response {
  int status = 0;
  std::string_view body;  ///< Points into the bytes that were parsed.
};

enum class ParseResult { complete, incomplete, unreadable };

struct ParsedResponse {
  ParseResult result = ParseResult::incomplete;
  Response response;     ///< Valid when complete.
  std::size_t size = 0;  ///< Bytes that the response takes, when complete.
};

/// The first response in `bytes`.
ParsedResponse parse_response(std::string_view bytes);

/// The value of the JSON member "id" in a lease's body, found by a scan; empty if there is none.
std::string_view lease_id(std::string_view body);

}  // namespace hyperpod::bench
