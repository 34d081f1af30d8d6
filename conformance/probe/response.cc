// SPDX-License-Identifier: Apache-2.0
#include "probe/response.h"

#include <algorithm>
#include <charconv>

#include "hyperpod/base/text.h"
#include "probe/digit.h"

namespace hyperpod::conformance::probe {
namespace {

constexpr std::size_t longest_head = 64 * 1024;
constexpr std::size_t longest_body = 16u << 20;
constexpr std::size_t longest_chunked = 4u << 20;  // on the wire; it is decoded again as it grows

tl::unexpected<Error> malformed(std::string message) {
  return tl::unexpected(Error{ErrorCode::malformed_response, std::move(message)});
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_token_char(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Takes the line up to the next CRLF off `text`.
std::string_view take_line(std::string_view& text) {
  const auto end = text.find("\r\n");
  const auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
  return line;
}

Result<void> parse_status_line(std::string_view line, Response& response) {
  const bool formed = line.size() >= 12 && line.starts_with("HTTP/") && is_digit(line[5]) &&
                      line[6] == '.' && is_digit(line[7]) && line[8] == ' ' && is_digit(line[9]) &&
                      is_digit(line[10]) && is_digit(line[11]) &&
                      (line.size() == 12 || line[12] == ' ');
  if (!formed)
    return malformed("the status line is not HTTP: \"" + std::string(line.substr(0, 80)) + "\"");
  response.version = line.substr(0, 8);
  std::from_chars(line.data() + 9, line.data() + 12, response.status);
  return {};
}

Result<void> parse_headers(std::string_view lines, Response& response) {
  while (!lines.empty()) {
    const auto line = take_line(lines);
    const bool folded = line.starts_with(' ') || line.starts_with('\t');
    if (folded && !response.headers.empty()) {
      response.headers.back().second.append(" ").append(trimmed(line));
      continue;
    }
    const auto colon = line.find(':');
    const auto name = line.substr(0, colon);
    if (colon == std::string_view::npos || name.empty() ||
        !std::ranges::all_of(name, is_token_char)) {
      return malformed("a header line has no proper name: \"" + std::string(line.substr(0, 80)) +
                       "\"");
    }
    const auto value = trimmed(line.substr(colon + 1));
    if (value.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos) {
      return malformed("the header " + std::string(name) + " has a NUL, CR or LF in its value");
    }
    std::string key(name);
    std::ranges::transform(key, key.begin(), lower);
    response.headers.emplace_back(std::move(key), value);
  }
  return {};
}

/// Calls `each` with every member of the comma-separated lists in all headers of this name.
template <class Each>
void for_each_member(const Response& response, std::string_view name, const Each& each) {
  for (const auto& [key, value] : response.headers) {
    if (key != name) continue;
    std::string_view rest = value;
    while (true) {
      const auto comma = rest.find(',');
      each(trimmed(rest.substr(0, comma)));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
}

std::string lowered(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

/// The length that Content-Length gives; nullopt without one. A length told several times is one.
Result<std::optional<std::uint64_t>> content_length(const Response& response) {
  std::optional<std::uint64_t> length;
  std::string problem;
  for_each_member(response, "content-length", [&](std::string_view member) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(member.data(), member.data() + member.size(), number);
    if (error != std::errc{} || end != member.data() + member.size() || member.empty()) {
      problem = "Content-Length is not a number: \"" + std::string(member.substr(0, 40)) + "\"";
    } else if (length && *length != number) {
      problem = "two Content-Length headers differ";
    } else {
      length = number;
    }
  });
  if (!problem.empty()) return malformed(problem);
  if (length && *length > longest_body) {
    return malformed("the body has " + std::to_string(*length) + " bytes, over the 16 MiB that " +
                     "the suite reads");
  }
  return length;
}

/// Decodes a chunked body at the beginning of `bytes`; the number of bytes it took, or nullopt if
/// it is not complete.
Result<std::optional<std::size_t>> parse_chunked(std::string_view bytes, std::string& body) {
  if (bytes.size() > longest_chunked) return malformed("a chunked body is over 4 MiB");
  std::string_view rest = bytes;
  while (true) {
    if (rest.find("\r\n") == std::string_view::npos) return std::nullopt;
    auto line = take_line(rest);
    line = trimmed(line.substr(0, line.find(';')));
    std::uint64_t size = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
    if (error != std::errc{} || end != line.data() + line.size() || line.empty()) {
      return malformed("a chunk size is not a number: \"" + std::string(line.substr(0, 40)) + "\"");
    }
    if (size == 0) break;
    if (size > longest_chunked) return malformed("a chunk is over 4 MiB");
    if (rest.size() < size + 2) return std::nullopt;
    body.append(rest.substr(0, size));
    if (rest.substr(size, 2) != "\r\n") return malformed("a chunk does not end with CRLF");
    rest.remove_prefix(size + 2);
  }
  while (true) {
    if (rest.find("\r\n") == std::string_view::npos) return std::nullopt;
    if (take_line(rest).empty()) return bytes.size() - rest.size();
  }
}

/// How far the body at the beginning of `bytes` reaches; nullopt if it is not complete.
Result<std::optional<std::size_t>> parse_body(std::string_view bytes, bool at_end,
                                              Response& response) {
  if (response.status < 200 || response.status == 204 || response.status == 304) return 0;
  const auto length = content_length(response);
  if (!length) return tl::unexpected(length.error());
  if (const auto coding = response.header("transfer-encoding")) {
    if (*length) return malformed("the response has both Content-Length and Transfer-Encoding");
    if (lowered(*coding) != "chunked")
      return malformed("unknown transfer coding: " + std::string(coding->substr(0, 40)));
    return parse_chunked(bytes, response.body);
  }
  if (!*length && bytes.size() > longest_body) return malformed("the body is over 16 MiB");
  if (!*length && !at_end) return std::nullopt;
  const std::size_t size = length->value_or(bytes.size());
  if (bytes.size() < size) return std::nullopt;
  response.body = bytes.substr(0, size);
  return size;
}

}  // namespace

std::optional<std::string_view> Response::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::string Response::media_type() const {
  const auto value = header("content-type").value_or("");
  return lowered(trimmed(value.substr(0, value.find(';'))));
}

bool Response::says_close() const {
  bool close = version == "HTTP/1.0";
  for_each_member(*this, "connection", [&](std::string_view member) {
    if (lowered(member) == "close") close = true;
    if (lowered(member) == "keep-alive" && version == "HTTP/1.0") close = false;
  });
  return close;
}

Result<std::optional<ParsedResponse>> parse_response(std::string_view bytes, bool at_end) {
  const auto end = bytes.substr(0, longest_head + 4).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() > longest_head) return malformed("the head of the response is over 64 KiB");
    const auto known = std::min<std::size_t>(bytes.size(), 5);
    if (bytes.substr(0, known) != std::string_view("HTTP/").substr(0, known)) {
      return malformed("the response is not HTTP: " + base::quoted(bytes.substr(0, 40)));
    }
    if (!at_end) return std::nullopt;
    return tl::unexpected(
        Error{ErrorCode::closed, "the connection was closed within a response's head"});
  }
  ParsedResponse parsed{};
  parsed.response.head = bytes.substr(0, end);
  if (parsed.response.head.find('\0') != std::string::npos)
    return malformed("the head holds a NUL");
  std::string_view lines = parsed.response.head;
  if (auto line = parse_status_line(take_line(lines), parsed.response); !line) {
    return tl::unexpected(line.error());
  }
  if (auto headers = parse_headers(lines, parsed.response); !headers) {
    return tl::unexpected(headers.error());
  }
  const auto body = parse_body(bytes.substr(end + 4), at_end, parsed.response);
  if (!body) return tl::unexpected(body.error());
  if (!*body) {
    if (!at_end) return std::nullopt;
    return tl::unexpected(
        Error{ErrorCode::closed, "the connection was closed within a response's body"});
  }
  parsed.consumed = end + 4 + **body;
  return parsed;
}

}  // namespace hyperpod::conformance::probe
