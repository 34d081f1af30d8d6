#include "probe/answer.h"

#include <algorithm>
#include <charconv>

namespace hyperpod::conformance {
namespace {

constexpr std::size_t longest_head = 64 * 1024;

tl::unexpected<Error> malformed(std::string message) {
  return tl::unexpected(Error{ErrorCode::malformed, std::move(message)});
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

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

Result<void> parse_status_line(std::string_view line, Answer& answer) {
  const bool formed = line.size() >= 12 && line.starts_with("HTTP/") && is_digit(line[5]) &&
                      line[6] == '.' && is_digit(line[7]) && line[8] == ' ' && is_digit(line[9]) &&
                      is_digit(line[10]) && is_digit(line[11]) &&
                      (line.size() == 12 || line[12] == ' ');
  if (!formed)
    return malformed("the status line is no HTTP: \"" + std::string(line.substr(0, 80)) + "\"");
  answer.version = line.substr(0, 8);
  std::from_chars(line.data() + 9, line.data() + 12, answer.status);
  return {};
}

Result<void> parse_headers(std::string_view lines, Answer& answer) {
  while (!lines.empty()) {
    const auto line = take_line(lines);
    const auto colon = line.find(':');
    const auto name = line.substr(0, colon);
    if (colon == std::string_view::npos || name.empty() ||
        !std::ranges::all_of(name, is_token_char)) {
      return malformed("a header line has no proper name: \"" + std::string(line.substr(0, 80)) +
                       "\"");
    }
    const auto value = trimmed(line.substr(colon + 1));
    if (std::ranges::any_of(value,
                            [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 127; })) {
      return malformed("the header " + std::string(name) + " has a control character");
    }
    std::string key(name);
    std::ranges::transform(key, key.begin(), lower);
    answer.headers.emplace_back(std::move(key), value);
  }
  return {};
}

/// The length that Content-Length gives; nullopt without one.
Result<std::optional<std::uint64_t>> content_length(const Answer& answer) {
  std::optional<std::uint64_t> length;
  for (const auto& [name, value] : answer.headers) {
    if (name != "content-length") continue;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size() || value.empty()) {
      return malformed("Content-Length is no number: \"" + value + "\"");
    }
    if (length && *length != number) return malformed("two Content-Length headers differ");
    length = number;
  }
  return length;
}

/// Decodes a chunked body at the beginning of `bytes`; the number of bytes it took, or nullopt if
/// it is not complete.
Result<std::optional<std::size_t>> parse_chunked(std::string_view bytes, std::string& body) {
  std::string_view rest = bytes;
  while (true) {
    if (rest.find("\r\n") == std::string_view::npos) return std::nullopt;
    auto line = take_line(rest);
    line = trimmed(line.substr(0, line.find(';')));
    std::uint32_t size = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
    if (error != std::errc{} || end != line.data() + line.size() || line.empty()) {
      return malformed("a chunk size is no number: \"" + std::string(line.substr(0, 40)) + "\"");
    }
    if (size == 0) break;
    if (rest.size() < std::size_t{size} + 2) return std::nullopt;
    body.append(rest.substr(0, size));
    if (rest.substr(size, 2) != "\r\n") return malformed("a chunk does not end with CRLF");
    rest.remove_prefix(std::size_t{size} + 2);
  }
  while (true) {
    if (rest.find("\r\n") == std::string_view::npos) return std::nullopt;
    if (take_line(rest).empty()) return bytes.size() - rest.size();
  }
}

/// How far the body at the beginning of `bytes` reaches; nullopt if it is not complete.
Result<std::optional<std::size_t>> parse_body(std::string_view bytes, bool at_end, Answer& answer) {
  if (answer.status < 200 || answer.status == 204 || answer.status == 304) return 0;
  const auto length = content_length(answer);
  if (!length) return tl::unexpected(length.error());
  if (const auto coding = answer.header("transfer-encoding")) {
    if (*length) return malformed("the answer has both Content-Length and Transfer-Encoding");
    if (*coding != "chunked") return malformed("unknown transfer coding: " + std::string(*coding));
    return parse_chunked(bytes, answer.body);
  }
  if (!*length && !at_end) return std::nullopt;
  const std::size_t size = length->value_or(bytes.size());
  if (bytes.size() < size) return std::nullopt;
  answer.body = bytes.substr(0, size);
  return size;
}

}  // namespace

std::optional<std::string_view> Answer::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::string Answer::media_type() const {
  const auto value = header("content-type").value_or("");
  std::string type(trimmed(value.substr(0, value.find(';'))));
  std::ranges::transform(type, type.begin(), lower);
  return type;
}

Result<std::optional<ParsedAnswer>> parse_answer(std::string_view bytes, bool at_end) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() > longest_head) return malformed("the head of the answer is over 64 KiB");
    const auto known = std::min<std::size_t>(bytes.size(), 5);
    if (bytes.substr(0, known) != std::string_view("HTTP/").substr(0, known)) {
      return malformed("the answer is no HTTP: \"" + std::string(bytes.substr(0, 40)) + "\"");
    }
    if (!at_end) return std::nullopt;
    return tl::unexpected(
        Error{ErrorCode::closed, "the connection was closed within an answer's head"});
  }
  ParsedAnswer parsed{};
  parsed.answer.head = bytes.substr(0, end);
  if (parsed.answer.head.find('\0') != std::string::npos) return malformed("the head holds a NUL");
  std::string_view lines = parsed.answer.head;
  if (auto line = parse_status_line(take_line(lines), parsed.answer); !line) {
    return tl::unexpected(line.error());
  }
  if (auto headers = parse_headers(lines, parsed.answer); !headers) {
    return tl::unexpected(headers.error());
  }
  const auto body = parse_body(bytes.substr(end + 4), at_end, parsed.answer);
  if (!body) return tl::unexpected(body.error());
  if (!*body) {
    if (!at_end) return std::nullopt;
    return tl::unexpected(
        Error{ErrorCode::closed, "the connection was closed within an answer's body"});
  }
  parsed.consumed = end + 4 + **body;
  return parsed;
}

}  // namespace hyperpod::conformance
