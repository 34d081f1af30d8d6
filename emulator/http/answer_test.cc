#include "http/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace hyperpod::emulator {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::string wire(const Answer& answer, WireForm form = {}) {
  std::string out;
  append_wire_form(answer, form, out);
  return out;
}

TEST(Answer, ToAPutOrAReleaseIsAnEmpty200) {
  for (const auto& answer : {stored(), released()}) {
    EXPECT_EQ(wire(answer), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  }
}

TEST(Answer, OfAGrantIsJsonWithIdAndOffsets) {
  LeaseGrant grant{LeaseId::generate(), {{0, 13}, {18446744073709551615u, 7}}};
  const auto answer = granted(grant);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(
      json::parse(answer.body),
      (json{{"id", grant.id.text()},
            {"offsets",
             {{{"offset", 0}, {"len", 13}}, {{"offset", 18446744073709551615u}, {"len", 7}}}}}));
}

TEST(Answer, WithABodySaysItsTypeAndLength) {
  const auto answer = refusal(507, "no_room", "No room.");
  EXPECT_EQ(wire(answer),
            "HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/json\r\n"
            "Content-Length: " +
                std::to_string(answer.body.size()) + "\r\n\r\n" + answer.body);
}

TEST(Answer, OfARefusalIsJsonWithErrorAndMessage) {
  EXPECT_EQ(json::parse(refusal(400, "empty", "A sentence.").body),
            (json{{"error", "empty"}, {"message", "A sentence."}}));
}

TEST(Answer, SaysWhatBecomesOfTheConnectionWhereThatIsNotTheDefault) {
  EXPECT_THAT(wire(stored(), {.keep_alive = true}), Not(HasSubstr("Connection")));
  EXPECT_THAT(wire(stored(), {.keep_alive = false}), HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(wire(stored(), {.keep_alive = true, .http_1_0 = true}),
              HasSubstr("\r\nConnection: keep-alive\r\n"));
  EXPECT_THAT(wire(stored(), {.keep_alive = false, .http_1_0 = true}),
              HasSubstr("\r\nConnection: close\r\n"));
}

TEST(Answer, ToHeadHasTheLengthOfABodyThatIsNotSent) {
  const auto answer = refusal(404, "not_found", "Nothing.");
  const auto bytes = wire(answer, {.with_body = false});
  EXPECT_THAT(bytes, HasSubstr("Content-Length: " + std::to_string(answer.body.size())));
  EXPECT_TRUE(bytes.ends_with("\r\n\r\n"));
}

TEST(Answer, WithAStatusThatHasNoNameIsStillAnAnswer) {
  EXPECT_THAT(wire(refusal(499, "absent", "Absent.")), testing::StartsWith("HTTP/1.1 499 "));
}

TEST(Answer, IsAppendedToWhatIsThere) {
  std::string out = "HTTP/1.1 100 Continue\r\n\r\n";
  append_wire_form(stored(), {}, out);
  EXPECT_THAT(out, testing::StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

}  // namespace
}  // namespace hyperpod::emulator
