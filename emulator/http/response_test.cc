// SPDX-License-Identifier: Apache-2.0
#include "http/response.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>

namespace hyperpod::emulator::http {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::string wire(const Response& response, WireForm form = {}) {
  std::string out;
  append_wire_form(response, form, out);
  return out;
}

TEST(Response, ToAPutOrAReleaseIsAnEmpty200) {
  for (const auto& response : {stored(), released()}) {
    EXPECT_EQ(wire(response), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  }
}

TEST(Response, OfAGrantIsJsonWithIdAndOffsets) {
  const auto layout = std::make_shared<core::Layout>();
  layout->fragments = {{0, 13}, {18446744073709551615u, 7}};
  const core::LeaseGrant grant{core::LeaseId::generate(), layout};
  const auto response = granted(grant);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(
      json::parse(response.body),
      (json{{"id", grant.id.text()},
            {"offsets",
             {{{"offset", 0}, {"len", 13}}, {{"offset", 18446744073709551615u}, {"len", 7}}}}}));
}

TEST(Response, WithABodySaysItsTypeAndLength) {
  const auto response = refusal(507, "no_room", "No room.");
  EXPECT_EQ(wire(response),
            "HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/json\r\n"
            "Content-Length: " +
                std::to_string(response.body.size()) + "\r\n\r\n" + response.body);
}

TEST(Response, OfARefusalIsJsonWithErrorAndMessage) {
  EXPECT_EQ(json::parse(refusal(400, "empty", "A sentence.").body),
            (json{{"error", "empty"}, {"message", "A sentence."}}));
}

TEST(Response, SaysWhatBecomesOfTheConnectionWhereThatIsNotTheDefault) {
  EXPECT_THAT(wire(stored(), {.keep_alive = true}), Not(HasSubstr("Connection")));
  EXPECT_THAT(wire(stored(), {.keep_alive = false}), HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(wire(stored(), {.keep_alive = true, .http_1_0 = true}),
              HasSubstr("\r\nConnection: keep-alive\r\n"));
  EXPECT_THAT(wire(stored(), {.keep_alive = false, .http_1_0 = true}),
              HasSubstr("\r\nConnection: close\r\n"));
}

TEST(Response, WithoutContentHasNoLength) {
  Response response;
  response.status = 204;
  EXPECT_EQ(wire(response), "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST(Response, ToHeadHasTheLengthOfABodyThatIsNotSent) {
  const auto response = refusal(404, "not_found", "Nothing.");
  const auto bytes = wire(response, {.with_body = false});
  EXPECT_THAT(bytes, HasSubstr("Content-Length: " + std::to_string(response.body.size())));
  EXPECT_TRUE(bytes.ends_with("\r\n\r\n"));
}

TEST(Response, WithAStatusThatHasNoNameIsStillAnAnswer) {
  EXPECT_THAT(wire(refusal(499, "absent", "Absent.")), testing::StartsWith("HTTP/1.1 499 "));
}

TEST(Response, IsAppendedToWhatIsThere) {
  std::string out = "HTTP/1.1 100 Continue\r\n\r\n";
  append_wire_form(stored(), {}, out);
  EXPECT_THAT(out, testing::StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

}  // namespace
}  // namespace hyperpod::emulator::http
