// SPDX-License-Identifier: Apache-2.0
// HTTP messages as the mutating proxy takes them apart and puts them together again.
//
// Lenient on purpose: what cannot be understood is not the proxy's to judge, and is passed on as it
// is. Pure functions and values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hyperpod::conformance::proxy {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct RequestHead {
  std::string method;
  std::string target;
  std::string version;
  Headers headers;

  /// The first value of this header, in any case; nullopt without one.
  std::optional<std::string> header(std::string_view name) const;
  /// Removes all headers of this name.
  void remove(std::string_view name);
  /// What a single proper Content-Length says; 0 without one.
  std::uint64_t content_length() const;

  bool is_put() const { return method == "PUT"; }
  bool is_acquire() const;
  bool is_release() const;
  /// The path without its query, and without /leases at the end of an acquire.
  std::string object() const;
  /// The path's lease id, of a release.
  std::string lease_id() const;
  /// A parameter of the query; nullopt without it.
  std::optional<std::string> parameter(std::string_view name) const;
  void set_parameter(std::string_view name, std::string_view value);

  std::string text() const;
};

struct ResponseMessage {
  int status = 200;
  Headers headers;
  std::string body;

  void set_header(std::string_view name, std::string value);
  void remove(std::string_view name);
  /// As JSON, with Content-Length.
  static ResponseMessage of(int status, std::string body = "");
  std::string text(std::string_view version = "HTTP/1.1") const;
};

/// The head at the beginning of `bytes` and the number of bytes it takes, the empty line included.
/// nullopt for what is none, or none yet.
std::optional<std::pair<RequestHead, std::size_t>> take_request_head(std::string_view bytes);
/// A whole response with Content-Length, or an interim one; nullopt as above.
std::optional<std::pair<ResponseMessage, std::size_t>> take_response(std::string_view bytes);

}  // namespace hyperpod::conformance::proxy
