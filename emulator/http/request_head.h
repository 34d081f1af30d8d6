// SPDX-License-Identifier: Apache-2.0
// The head of a request: found in a byte stream, then parsed strictly.
//
// Pure functions of the bytes given. Syntax is Boost.Beast's parser's business; what Beast lets
// pass but two parsers could read in two ways (request smuggling) is refused here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>

#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::http {

/// Looks for the end of a head in a growing buffer; each byte is looked at once.
class HeadScanner {
 public:
  enum class Status { incomplete, complete, malformed };

  /// `buffer` starts where the head starts and only ever grows between calls.
  Status scan(std::string_view buffer);
  /// Length of the head with its empty line, once scan has said complete.
  std::size_t length() const { return scanned_; }
  /// True once the request line has ended.
  bool has_request_line() const { return lines_ > 0; }

 private:
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  std::size_t lines_ = 0;
};

/// Views point into the bytes that were parsed.
struct RequestHead {
  std::string_view method;
  std::string_view target;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool chunked = false;
  bool expects_continue = false;
  std::optional<std::uint64_t> content_length;
  std::optional<std::string_view> shard_meta;  ///< Of a checkpoint's shard, as it came.

  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
  /// As far as the head tells it: a request without a length and a coding has no body.
  std::optional<std::uint64_t> body_size() const {
    return chunked ? std::nullopt : std::optional(content_length.value_or(0));
  }
};

enum class HeadError {
  malformed,         ///< 400
  too_many_headers,  ///< 431
  unknown_coding,    ///< 501: a transfer coding other than chunked
  unknown_expect,    ///< 417
  unknown_version,   ///< 505
};

/// A target in absolute form (RFC 9112, 3.2.2) from its path on; empty or a query where it has
/// none. Any other target as it is.
std::string_view origin_form(std::string_view target);

/// Called with each field of a head in order; views as in RequestHead.
using FieldVisitor = std::function<void(std::string_view name, std::string_view value)>;

/// `head` is a whole head, as found by HeadScanner, or it is malformed.
tl::expected<RequestHead, HeadError> parse_head(std::string_view head, const Limits& limits,
                                                const FieldVisitor& visit = nullptr);

}  // namespace hyperpod::emulator::http
