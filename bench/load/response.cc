// SPDX-License-Identifier: Apache-2.0
#include "load/response.h"

#include <strings.h>

#include <charconv>
#include <optional>

namespace hyperpod::bench {
namespace {

std::optional<std::size_t> content_length(std::string_view head) {
  constexpr std::string_view name = "\r\ncontent-length:";
  for (auto at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at);
    if (line.size() <= name.size() || strncasecmp(line.data(), name.data(), name.size()) != 0) {
      continue;
    }
    std::string_view value = line.substr(name.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    std::size_t length = 0;
    if (std::from_chars(value.begin(), value.end(), length).ec == std::errc{}) return length;
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

ParsedResponse parse_response(std::string_view bytes) {
  constexpr std::string_view status_line = "HTTP/1.1 200";
  const auto head_end = bytes.find("\r\n\r\n");
  if (head_end == bytes.npos) return {ParseResult::incomplete, {}};
  const std::string_view head = bytes.substr(0, head_end);
  int status = 0;
  if (head.size() < status_line.size() || !head.starts_with("HTTP/1.1 ") ||
      std::from_chars(head.data() + 9, head.data() + 12, status).ec != std::errc{}) {
    return {ParseResult::unreadable, {}};
  }
  const auto length = content_length(head);
  if (!length) return {ParseResult::unreadable, {}};
  const std::size_t size = head_end + 4 + *length;
  if (bytes.size() < size) return {ParseResult::incomplete, {}};
  return {ParseResult::complete, {status, bytes.substr(head_end + 4, *length)}, size};
}

std::string_view lease_id(std::string_view body) {
  constexpr std::string_view member = "\"id\"";
  const auto name = body.find(member);
  if (name == body.npos) return {};
  const auto open = body.find('"', name + member.size());
  if (open == body.npos) return {};
  const auto close = body.find('"', open + 1);
  return close == body.npos ? std::string_view{} : body.substr(open + 1, close - open - 1);
}

}  // namespace hyperpod::bench
