// SPDX-License-Identifier: Apache-2.0
#include "http/response.h"

#include <fmt/format.h>

#include <array>
#include <boost/beast/http/status.hpp>
#include <charconv>
#include <utility>
#include <vector>

namespace hyperpod::emulator::http {
namespace {

// By hand, not with a formatting library: this is done for every request.

template <class Number>
void append_number(std::string& out, Number number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

/// As a fragment, but able to be wrong.
struct SignedFragment {
  std::int64_t offset;
  std::int64_t length;
};

std::vector<SignedFragment> as_signed(const core::Fragments& fragments) {
  std::vector<SignedFragment> result;
  for (const auto& [offset, length] : fragments) {
    result.push_back({static_cast<std::int64_t>(offset), static_cast<std::int64_t>(length)});
  }
  return result;
}

template <class SomeFragments>
void append_offsets(std::string& out, const SomeFragments& fragments) {
  out += R"("offsets":[)";
  for (const auto& [offset, length] : fragments) {
    if (out.back() == '}') out += ',';
    out += R"({"offset":)";
    append_number(out, offset);
    out += R"(,"len":)";
    append_number(out, length);
    out += '}';
  }
  out += ']';
}

template <class SomeFragments>
std::string grant_body(const core::LeaseId& id, const SomeFragments& fragments,
                       std::string body = {}) {
  body.clear();
  body.reserve(64 + 64 * fragments.size());
  body.append(R"({"id":")").append(id.text()).append(R"(",)");
  append_offsets(body, fragments);
  body += '}';
  return body;
}

}  // namespace

std::string_view reason(int status) {
  const auto text = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

Response stored() { return {}; }

Response released() { return {}; }

Response granted(const core::LeaseGrant& grant, std::string memory) {
  Response response;
  response.body = grant_body(grant.id, grant.fragments(), std::move(memory));
  return response;
}

Response defective_grant(const core::LeaseGrant& grant, GrantDefect defect,
                         std::uint64_t capacity) {
  auto fragments = as_signed(grant.fragments());
  auto& [offset, length] = fragments.back();
  Response response;
  switch (defect) {
    case GrantDefect::truncated_json:
      response = granted(grant);
      response.body.resize(response.body.size() / 2);
      return response;
    case GrantDefect::wrong_content_type:
      response = granted(grant);
      response.content_type = "text/plain";
      return response;
    case GrantDefect::missing_id:
      response.body += '{';
      append_offsets(response.body, fragments);
      response.body += '}';
      return response;
    case GrantDefect::missing_offsets:
      response.body = fmt::format(R"({{"id":"{}"}})", grant.id.text());
      return response;
    case GrantDefect::negative_offset:
      offset = -length;
      break;
    case GrantDefect::out_of_range_offset:
      offset = static_cast<std::int64_t>(capacity) - length + 1;
      break;
    case GrantDefect::overlapping_fragments:
      fragments.push_back({offset, length});
      break;
    case GrantDefect::oversized_total:
      fragments.push_back({0, static_cast<std::int64_t>(capacity)});
      break;
    case GrantDefect::zero_length_fragment:
      fragments.push_back({offset, 0});
      break;
    case GrantDefect::wrong_total:
      length = length > 1 ? length - 1 : 2;
      break;
  }
  response.body = grant_body(grant.id, fragments);
  return response;
}

Response refusal(int status, std::string_view code, std::string_view message) {
  return {.status = status,
          .body = fmt::format(R"({{"error":"{}","message":"{}"}})", code, message)};
}

void append_wire_form(const Response& response, WireForm form, std::string& out) {
  out += "HTTP/1.1 ";
  if (response.status == 200) {
    out += "200 OK";
  } else {
    append_number(out, response.status);
    out.append(" ").append(reason(response.status));
  }
  out += "\r\n";
  if (!response.body.empty()) {
    out.append("Content-Type: ").append(response.content_type).append("\r\n");
  }
  if (response.retry_after) {
    out += "Retry-After: ";
    append_number(out, response.retry_after->count());
    out += "\r\n";
  }
  std::uint64_t length = response.body.size();
  if (response.shard) {
    length = response.shard->size();
    out += "Content-Type: application/octet-stream\r\n";
    if (response.shard->meta)
      out.append("Shard-Meta: ").append(*response.shard->meta).append("\r\n");
  }
  if (response.status != 204) {  // RFC 9110, 8.6
    out += "Content-Length: ";
    append_number(out, length);
    out += "\r\n";
  }
  if (!form.keep_alive) {
    out += "Connection: close\r\n";
  } else if (form.http_1_0) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
  if (form.with_body) out += response.body;
}

}  // namespace hyperpod::emulator::http
