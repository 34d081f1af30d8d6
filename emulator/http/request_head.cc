// SPDX-License-Identifier: Apache-2.0
#include "http/request_head.h"

#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cstring>
#include <functional>
#include <locale>

namespace hyperpod::emulator::http {
namespace {

namespace beast = boost::beast;
namespace beast_http = beast::http;

/// Whether nothing is in it that RFC 9110, 7.2, has in no Host: a space, a slash, user information.
bool is_host(std::string_view value) {
  static constexpr auto allowed = [] {
    std::array<bool, 256> table{};
    for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
    for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
    for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
    for (const unsigned char c : std::string_view("-._~%!$&'()*+,;=:[]")) {
      table[static_cast<std::size_t>(c)] = true;
    }
    return table;
  }();
  return std::ranges::all_of(value, [](char c) { return allowed[static_cast<unsigned char>(c)]; });
}

/// Calls `visit` with each element of a list of tokens (RFC 9110, 5.6.1); empty ones do not count.
template <class Visit>
void for_each_element(std::string_view list, const Visit& visit) {
  while (!list.empty()) {
    const auto end = std::min(list.find(','), list.size());
    std::string_view element = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    element.remove_prefix(std::min(element.find_first_not_of(" \t"), element.size()));
    element = element.substr(0, element.find_last_not_of(" \t") + 1);
    if (!element.empty()) visit(element);
  }
}

/// Whether the list has one element, which is `name`.
bool is_only(std::string_view list, std::string_view name) {
  int elements = 0;
  bool named = false;
  for_each_element(list, [&](std::string_view element) {
    ++elements;
    named = beast::iequals(element, name);
  });
  return elements == 1 && named;
}

/// Whether the first line has the three parts of a request line, and the last is a version.
bool names_a_version(std::string_view head) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::string_view version = line.substr(line.rfind(' ') + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return std::ranges::count(line, ' ') == 2 && version.size() == 8 &&
         version.starts_with("HTTP/") && is_digit(version[5]) && version[6] == '.' &&
         is_digit(version[7]);
}

/// Keeps what the daemon needs of a head, without copying or storing any field.
class HeadParser final : public beast_http::basic_parser<true> {
 public:
  HeadParser(std::string_view whole, std::uint32_t max_headers, const FieldVisitor& visit)
      : whole_(whole), max_headers_(max_headers), visit_(visit) {}

  RequestHead head;
  std::optional<HeadError> error;
  int hosts = 0;
  bool closes = false;
  bool has_coding = false;  // which is chunked

 private:
  using Ec = boost::system::error_code;
  using View = beast::string_view;

  void on_request_impl(beast_http::verb, View method, View target, int version, Ec&) override {
    head.method = {method.data(), method.size()};
    head.target = {target.data(), target.size()};
    head.http_1_0 = version == 10;
  }

  void on_field_impl(beast_http::field name, View text, View value, Ec& ec) override {
    if (++fields_ > max_headers_) return refuse(HeadError::too_many_headers, ec);
    if (is_folded(text, value)) return refuse(HeadError::malformed, ec);
    if (visit_) visit_({text.data(), text.size()}, {value.data(), value.size()});
    switch (name) {
      case beast_http::field::host:
        if (!is_host(value)) return refuse(HeadError::malformed, ec);
        ++hosts;
        break;
      // RFC 9112, 9.3: close wins over keep-alive.
      case beast_http::field::connection:
      case beast_http::field::proxy_connection:
        for_each_element({value.data(), value.size()}, [this](std::string_view option) {
          closes = closes || beast::iequals(option, "close");
        });
        break;
      case beast_http::field::transfer_encoding:
        if (has_coding || head.http_1_0) return refuse(HeadError::malformed, ec);
        if (!is_only({value.data(), value.size()}, "chunked")) {
          return refuse(HeadError::unknown_coding, ec);
        }
        has_coding = true;
        break;
      case beast_http::field::expect:
        if (!is_only({value.data(), value.size()}, "100-continue")) {
          return refuse(HeadError::unknown_expect, ec);
        }
        head.expects_continue = !head.http_1_0;
        break;
      case beast_http::field::unknown:
        if (!beast::iequals(text, "Shard-Meta")) break;
        if (head.shard_meta) return refuse(HeadError::malformed, ec);
        head.shard_meta = std::string_view(value.data(), value.size());
        break;
      default:
        break;
    }
  }

  // RFC 9112, 5.2, leaves it to a server to refuse a value that goes over several lines. Beast
  // joins them in memory of its own, which is gone when put() returns.
  bool is_folded(View name, View value) const {
    if (value.empty()) return false;
    const std::less<const char*> before;
    const char* const end = whole_.data() + whole_.size();
    if (before(value.data(), whole_.data()) || !before(value.data(), end)) return true;
    return std::find(name.data() + name.size(), value.data(), '\n') != value.data();
  }

  void refuse(HeadError why, Ec& ec) {
    error = why;
    ec = beast_http::error::bad_value;
  }

  void on_header_impl(Ec&) override {}
  void on_finish_impl(Ec&) override {}
  void on_response_impl(int, View, int, Ec&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Ec&) override {}
  std::size_t on_body_impl(View, Ec&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, View, Ec&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View, Ec&) override { return 0; }

  const std::string_view whole_;
  const std::uint32_t max_headers_;
  const FieldVisitor& visit_;
  std::uint32_t fields_ = 0;
};

}  // namespace

std::string_view origin_form(std::string_view target) {
  if (target.starts_with('/')) return target;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!boost::algorithm::istarts_with(target, scheme, std::locale::classic())) continue;
    return target.substr(std::min(target.find_first_of("/?", scheme.size()), target.size()));
  }
  return target;
}

HeadScanner::Status HeadScanner::scan(std::string_view buffer) {
  // A first byte that starts no method, such as that of a TLS greeting, needs no waiting for more.
  if (!buffer.empty() && (buffer[0] < 'A' || buffer[0] > 'z')) return Status::malformed;
  while (scanned_ < buffer.size()) {
    const void* found = std::memchr(buffer.data() + scanned_, '\n', buffer.size() - scanned_);
    if (found == nullptr) {
      scanned_ = buffer.size();
      break;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer.data());
    if (at == 0 || buffer[at - 1] != '\r') return Status::malformed;
    const bool empty_line = at - 1 == line_start_;
    scanned_ = line_start_ = at + 1;
    ++lines_;
    if (empty_line) return Status::complete;
  }
  return Status::incomplete;
}

tl::expected<RequestHead, HeadError> parse_head(std::string_view head, const Limits& limits,
                                                const FieldVisitor& visit) {
  HeadParser parser(head, limits.headers, visit);
  parser.header_limit(limits.head_bytes);
  parser.skip(true);
  boost::system::error_code ec;
  const auto parsed = parser.put(boost::asio::buffer(head.data(), head.size()), ec);
  if (parser.error) return tl::make_unexpected(*parser.error);
  if (ec == beast_http::error::bad_version && names_a_version(head)) {
    return tl::make_unexpected(HeadError::unknown_version);
  }
  // RFC 9112, 3.2: a request of HTTP/1.1 names its host once.
  const bool host_is_wrong = parser.hosts > 1 || (parser.hosts == 0 && !parser.head.http_1_0);
  if (ec || !parser.is_done() || parsed != head.size() || host_is_wrong ||
      parser.has_coding != parser.chunked()) {
    return tl::make_unexpected(HeadError::malformed);
  }

  RequestHead result = parser.head;
  result.keep_alive = parser.keep_alive() && !parser.closes;
  result.chunked = parser.chunked();
  if (const auto length = parser.content_length()) result.content_length = *length;
  return result;
}

}  // namespace hyperpod::emulator::http
