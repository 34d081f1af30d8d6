// SPDX-License-Identifier: Apache-2.0
#include "transport/response_parser.h"

#include <strings.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace hyperpod::client::transport {
namespace {

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// What does not fit is the largest there is.
std::optional<std::uint64_t> number(std::string_view digits, int base) {
  std::uint64_t value = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, value, base);
  if (digits.empty() || end != last) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::numeric_limits<std::uint64_t>::max();
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

// Whether `token` stands in a list with commas between its elements.
bool lists(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    if (same(trim(list.substr(0, comma)), token)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// Whether what `stream` reads goes on with another member of gzip's (RFC 1952, section 2.2).
bool another_member(const z_stream& stream) {
  return stream.avail_in >= 2 && stream.next_in[0] == 0x1f && stream.next_in[1] == 0x8b;
}

// Whether it begins as zlib's or gzip's format does. Some servers send deflate's stream without
// either (RFC 9110, section 8.4.1.2).
bool has_wrapper(std::string_view packed) {
  return packed.starts_with("\x1f\x8b") || (packed.front() & 0xf) == Z_DEFLATED;
}

// What gzip or zlib packed, or with `deflate` what is packed so without a wrapper; nullopt if it is
// neither or incomplete. Stops beyond `limit` bytes. What stands behind it is ignored, as gzip
// does. REQUIRES: `packed` is not empty.
std::optional<std::string> unpacked(const std::string& packed, bool deflate, std::uint64_t limit) {
  constexpr int any_wrapper = 32 + MAX_WBITS;
  constexpr int no_wrapper = -MAX_WBITS;
  const bool bare = deflate && !has_wrapper(packed);
  z_stream stream{};
  if (inflateInit2(&stream, bare ? no_wrapper : any_wrapper) != Z_OK) return std::nullopt;
  // zlib takes a pointer to what it does not write.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  std::array<char, 16384> piece{};
  int result = Z_OK;
  while (result == Z_OK && out.size() <= limit) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = piece.size();
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(piece.data(), piece.size() - stream.avail_out);
    if (result == Z_STREAM_END && another_member(stream)) result = inflateReset(&stream);
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END && out.size() <= limit) return std::nullopt;
  return out;
}

}  // namespace

void ResponseParser::restart(bool unpack, BodySink* sink) {
  // The memory that fields have needed so far serves the next ones.
  std::string field = std::move(field_);
  *this = ResponseParser(unpack, sink);
  field_ = std::move(field);
  field_.clear();
}

std::size_t ResponseParser::feed(std::string_view bytes) {
  const std::size_t size = bytes.size();
  while (state_ == State::incomplete && !bytes.empty()) {
    const std::size_t before = bytes.size();
    if (part_ == Part::body || part_ == Part::chunk) {
      take_body(bytes);
    } else if (const auto line = take_line(bytes)) {
      switch (part_) {
        case Part::status_line:
          take_status_line(*line);
          break;
        case Part::header:
          take_header_line(*line);
          break;
        case Part::chunk_size:
          take_chunk_size(*line);
          break;
        case Part::chunk_end:
          line->empty() ? static_cast<void>(part_ = Part::chunk_size) : fail();
          break;
        case Part::trailer:
          if (line->empty()) finish();
          break;
        case Part::body:
        case Part::chunk:
          break;
      }
      line_.clear();
    }
    // Of a streamed body no part is kept, so only the rest is bounded.
    const bool counts = !streams() || part_ < Part::body || part_ == Part::trailer;
    if (counts) received_ += before - bytes.size();
    if (received_ > max_response) state_ = State::beyond_bounds;
  }
  return size - bytes.size();
}

// The next line without its end, once all of it has come. What is returned holds until line_ or the
// bytes change.
std::optional<std::string_view> ResponseParser::take_line(std::string_view& bytes) {
  const auto end = bytes.find('\n');
  const auto part = bytes.substr(0, end);
  if (line_.size() + part.size() > longest_line() + 1) {
    bytes = {};
    // What does not even begin with a status line is hardly HTTP.
    state_ = part_ == Part::status_line ? State::malformed : State::beyond_bounds;
    return std::nullopt;
  }
  if (end == std::string_view::npos) {
    line_ += part;
    bytes = {};
    return std::nullopt;
  }
  bytes.remove_prefix(end + 1);
  std::string_view line = part;
  if (!line_.empty()) line = line_ += part;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

void ResponseParser::take_status_line(std::string_view line) {
  constexpr std::string_view version = "HTTP/1.";
  constexpr std::size_t status_at = 9;  // "HTTP/1.1 "
  if (line.size() < status_at + 3 || !line.starts_with(version) ||
      (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
      (line.size() > status_at + 3 && line[status_at + 3] != ' ')) {
    return fail();
  }
  const auto status = number(line.substr(status_at, 3), 10);
  if (!status || *status < 100) return fail();
  response_.status = static_cast<int>(*status);
  keep_alive_ = line[7] == '1';
  part_ = Part::header;
}

// A line that begins with white space goes on with the field before it (RFC 9112, section 5.2).
void ResponseParser::take_header_line(std::string_view line) {
  const bool goes_on = line.starts_with(' ') || line.starts_with('\t');
  if (goes_on) {
    if (field_.empty()) return fail();
    if (field_.size() + line.size() > longest_line()) {
      state_ = State::beyond_bounds;
      return;
    }
    field_ += line;
    return;
  }
  if (!field_.empty()) take_header(field_);
  field_ = line;
  if (line.empty() && state_ == State::incomplete) end_head();
}

void ResponseParser::take_header(std::string_view field) {
  const auto colon = field.find(':');
  const auto name = field.substr(0, colon);
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  if (colon == std::string_view::npos || name.empty() || std::ranges::any_of(name, is_space)) {
    return fail();
  }
  const auto value = trim(field.substr(colon + 1));
  if (same(name, "Content-Length")) {
    const auto length = number(value, 10);
    if (!length || (content_length_ && content_length_ != length)) return fail();
    content_length_ = length;
  } else if (same(name, "Content-Type")) {
    response_.content_type = value;
  } else if (same(name, "Content-Encoding")) {
    content_encoding_ = value;
  } else if (same(name, "Transfer-Encoding")) {
    if (!same(value, "chunked")) return fail();
    chunked_ = true;
  } else if (same(name, "Shard-Meta")) {
    response_.shard_meta = value;
  } else if (same(name, "Retry-After")) {
    response_.retry_after = value;
  } else if (same(name, "Connection")) {
    if (lists(value, "close")) keep_alive_ = false;
  }
}

void ResponseParser::end_head() {
  const bool interim = response_.status / 100 == 1;
  const bool empty = response_.status == 204 || response_.status == 304;
  if (interim) {
    part_ = Part::status_line;
    response_ = {};
    content_length_.reset();
    chunked_ = false;
    content_encoding_.clear();
  } else if (empty) {
    finish();
  } else {
    begin_body();
  }
}

void ResponseParser::begin_body() {
  if (streams()) {
    // Nobody asked for a packed one.
    if (!content_encoding_.empty() && !same(content_encoding_, "identity")) return fail();
    if (!sink_->begin(chunked_ ? std::nullopt : content_length_)) {
      state_ = State::given_up;
      return;
    }
  }
  if (chunked_) {
    if (content_length_) keep_alive_ = false;  // one of the two lies
    part_ = Part::chunk_size;
  } else if (content_length_) {
    if (*content_length_ > max_response && !streams()) {
      state_ = State::beyond_bounds;
      return;
    }
    remaining_ = *content_length_;
    part_ = Part::body;
    if (remaining_ == 0) finish();
  } else {
    until_close_ = true;
    response_.ends_with_stream = true;
    part_ = Part::body;
  }
}

void ResponseParser::take_chunk_size(std::string_view line) {
  const auto size = number(trim(line.substr(0, line.find(';'))), 16);
  if (!size) return fail();
  if (*size > max_response && !streams()) {
    state_ = State::beyond_bounds;
    return;
  }
  remaining_ = *size;
  part_ = remaining_ == 0 ? Part::trailer : Part::chunk;
}

void ResponseParser::take_body(std::string_view& bytes) {
  const auto part = until_close_ ? bytes : bytes.substr(0, remaining_);
  if (!streams()) {
    response_.body += part;
  } else if (!sink_->take(std::as_bytes(std::span(part)))) {
    state_ = State::given_up;
    return;
  }
  bytes.remove_prefix(part.size());
  if (until_close_) return;
  remaining_ -= part.size();
  if (remaining_ > 0) return;
  if (part_ == Part::chunk) {
    part_ = Part::chunk_end;
  } else {
    finish();
  }
}

void ResponseParser::finish() {
  state_ = State::complete;
  // What streams is never packed.
  if (!unpack_ || response_.body.empty()) return;
  const auto is = [&](std::string_view packing) { return same(content_encoding_, packing); };
  const bool deflate = is("deflate");
  if (!deflate && !is("gzip") && !is("x-gzip")) return;
  auto body = unpacked(response_.body, deflate, max_response);
  if (!body) return fail();
  if (body->size() > max_response) {
    state_ = State::beyond_bounds;
    return;
  }
  response_.body = *std::move(body);
}

void ResponseParser::end_of_stream() {
  if (state_ != State::incomplete) return;
  until_close_&& part_ == Part::body ? finish() : fail();
}

HttpResponse ResponseParser::take() { return std::move(response_); }

}  // namespace hyperpod::client::transport
