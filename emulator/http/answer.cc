#include "http/answer.h"

#include <fmt/format.h>

#include <boost/beast/http/status.hpp>
#include <iterator>

namespace hyperpod::emulator {
namespace {

std::string_view reason(int status) {
  const auto text = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

}  // namespace

Answer stored() { return {}; }

Answer released() { return {}; }

Answer granted(const LeaseGrant& grant) {
  Answer answer;
  const auto out = std::back_inserter(answer.body);
  fmt::format_to(out, R"({{"id":"{}","offsets":[)", grant.id.text());
  for (std::size_t i = 0; i < grant.fragments.size(); ++i) {
    const auto& [offset, length] = grant.fragments[i];
    fmt::format_to(out, R"({}{{"offset":{},"len":{}}})", i == 0 ? "" : ",", offset, length);
  }
  answer.body += "]}";
  return answer;
}

Answer refusal(int status, std::string_view code, std::string_view message) {
  return {status, fmt::format(R"({{"error":"{}","message":"{}"}})", code, message)};
}

void append_wire_form(const Answer& answer, WireForm form, std::string& out) {
  std::string_view connection;
  if (!form.keep_alive) {
    connection = "Connection: close\r\n";
  } else if (form.http_1_0) {
    connection = "Connection: keep-alive\r\n";
  }
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n{}Content-Length: {}\r\n{}\r\n",
                 answer.status, reason(answer.status),
                 answer.body.empty() ? "" : "Content-Type: application/json\r\n",
                 answer.body.size(), connection);
  if (form.with_body) out += answer.body;
}

}  // namespace hyperpod::emulator
