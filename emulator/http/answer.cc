#include "http/answer.h"

#include <fmt/format.h>

#include <boost/beast/http/status.hpp>
#include <iterator>
#include <vector>

namespace hyperpod::emulator {
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

std::vector<SignedFragment> as_signed(const Fragments& fragments) {
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

std::string grant_body(const LeaseId& id, const std::vector<SignedFragment>& fragments) {
  return fmt::format(R"({{"id":"{}",{}}})", id.text(), offsets_member(fragments));
}

}  // namespace

Answer stored() { return {}; }

Answer released() { return {}; }

Answer granted(const LeaseGrant& grant) {
  Answer answer;
  answer.body = grant_body(grant.id, as_signed(grant.fragments));
  return answer;
}

Answer granted_wrongly(const LeaseGrant& grant, GrantDefect defect, std::uint64_t capacity) {
  auto fragments = as_signed(grant.fragments);
  auto& [offset, length] = fragments.back();
  Answer answer;
  switch (defect) {
    case GrantDefect::truncated_json:
      answer = granted(grant);
      answer.body.resize(answer.body.size() / 2);
      return answer;
    case GrantDefect::wrong_content_type:
      answer = granted(grant);
      answer.content_type = "text/plain";
      return answer;
    case GrantDefect::missing_id:
      answer.body = fmt::format("{{{}}}", offsets_member(fragments));
      return answer;
    case GrantDefect::missing_offsets:
      answer.body = fmt::format(R"({{"id":"{}"}})", grant.id.text());
      return answer;
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
  answer.body = grant_body(grant.id, fragments);
  return answer;
}

Answer refusal(int status, std::string_view code, std::string_view message) {
  return {.status = status,
          .body = fmt::format(R"({{"error":"{}","message":"{}"}})", code, message)};
}

void append_wire_form(const Answer& answer, WireForm form, std::string& out) {
  std::string_view connection;
  if (!form.keep_alive) {
    connection = "Connection: close\r\n";
  } else if (form.http_1_0) {
    connection = "Connection: keep-alive\r\n";
  }
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
  if (!answer.body.empty()) fmt::format_to(to, "Content-Type: {}\r\n", answer.content_type);
  if (answer.retry_after) fmt::format_to(to, "Retry-After: {}\r\n", answer.retry_after->count());
  fmt::format_to(to, "Content-Length: {}\r\n{}\r\n", answer.body.size(), connection);
  if (form.with_body) out += answer.body;
}

}  // namespace hyperpod::emulator
