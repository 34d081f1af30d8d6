// SPDX-License-Identifier: Apache-2.0
#include "http/response.h"

#include <fmt/format.h>

#include <boost/beast/http/status.hpp>
#include <iterator>
#include <vector>

namespace hyperpod::emulator::http {
namespace {

std::string_view reason(int status) {
  const auto text = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
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

std::string offsets_member(const std::vector<SignedFragment>& fragments) {
  std::string member = R"("offsets":[)";
  for (const auto& [offset, length] : fragments) {
    if (member.back() == '}') member += ',';
    fmt::format_to(std::back_inserter(member), R"({{"offset":{},"len":{}}})", offset, length);
  }
  return member += ']';
}

std::string grant_body(const core::LeaseId& id, const std::vector<SignedFragment>& fragments) {
  return fmt::format(R"({{"id":"{}",{}}})", id.text(), offsets_member(fragments));
}

}  // namespace

Response stored() { return {}; }

Response released() { return {}; }

Response granted(const core::LeaseGrant& grant) {
  Response response;
  response.body = grant_body(grant.id, as_signed(grant.fragments));
  return response;
}

Response defective_grant(const core::LeaseGrant& grant, GrantDefect defect,
                         std::uint64_t capacity) {
  auto fragments = as_signed(grant.fragments);
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
      response.body = fmt::format("{{{}}}", offsets_member(fragments));
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
  std::string_view connection;
  if (!form.keep_alive) {
    connection = "Connection: close\r\n";
  } else if (form.http_1_0) {
    connection = "Connection: keep-alive\r\n";
  }
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
  if (!response.body.empty()) fmt::format_to(to, "Content-Type: {}\r\n", response.content_type);
  if (response.retry_after)
    fmt::format_to(to, "Retry-After: {}\r\n", response.retry_after->count());
  std::uint64_t length = response.body.size();
  if (response.shard) {
    length = response.shard->size();
    fmt::format_to(to, "Content-Type: application/octet-stream\r\n");
    if (response.shard->meta) fmt::format_to(to, "Shard-Meta: {}\r\n", *response.shard->meta);
  }
  fmt::format_to(to, "Content-Length: {}\r\n{}\r\n", length, connection);
  if (form.with_body) out += response.body;
}

}  // namespace hyperpod::emulator::http
