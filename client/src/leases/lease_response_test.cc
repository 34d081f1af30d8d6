// SPDX-License-Identifier: Apache-2.0
#include "leases/lease_response.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace hyperpod::client::leases {
namespace {

using memory::FragmentRange;

using namespace std::literals;

constexpr const char* json = "application/json";

UnusableLease refused(std::string_view body, std::string_view content_type = json) {
  auto answer = parse_lease_response(content_type, body);
  if (answer) {
    ADD_FAILURE() << "accepted: " << body;
    return {};
  }
  return answer.error();
}

TEST(LeaseResponse, GivesIdAndFragmentsInOrder) {
  const auto answer = parse_lease_response(
      json, R"({"id":"aB-_9","offsets":[{"offset":4096,"len":13},{"offset":0,"len":7}]})");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->id, "aB-_9");
  EXPECT_EQ(answer->fragments, (std::vector<FragmentRange>{{4096, 13}, {0, 7}}));
  EXPECT_EQ(answer->size, 20u);
}

TEST(LeaseResponse, IgnoresFurtherMembersAtEveryDepth) {
  const auto answer = parse_lease_response(json, R"({
      "node": {"id": "other", "offsets": [{"offset": 9, "len": 9}]}, "list": [[1, {"len": 2}]],
      "offsets": [{"len": 5, "more": {"offset": 1, "deep": [{"len": 3}]}, "offset": 2, "x": null}],
      "id": "a", "ttl": 30.0})");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->id, "a");
  EXPECT_EQ(answer->fragments, (std::vector<FragmentRange>{{2, 5}}));
}

TEST(LeaseResponse, TakesEveryZeroOfJson) {
  const auto answer = parse_lease_response(json, R"({"id":"a","offsets":[{"offset":-0,"len":1}]})");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->fragments, (std::vector<FragmentRange>{{0, 1}}));
}

TEST(LeaseResponse, TakesParametersAndCaseOfTheContentType) {
  const char* body = R"({"id":"a","offsets":[{"offset":0,"len":1}]})";
  EXPECT_TRUE(parse_lease_response("application/json; charset=utf-8", body));
  EXPECT_TRUE(parse_lease_response("Application/JSON", body));
}

TEST(LeaseResponse, TellsTheIdUnderAnotherContentType) {
  const char* body = R"({"id":"a","offsets":[{"offset":0,"len":1}]})";
  EXPECT_EQ(refused(body, "text/plain").id, "a");
  EXPECT_EQ(refused(body, "application/jsonp").id, "a");
  EXPECT_EQ(refused(body, "").id, "a");
}

TEST(LeaseResponse, TellsTheIdOfATextThatBreaksOffBehindIt) {
  EXPECT_EQ(refused(R"({"id":"abc","offsets":[{"offset":0,)").id, "abc");
  EXPECT_EQ(refused(R"({"id":"ab)").id, "");
}

TEST(LeaseResponse, RefusesWhatIsNoObject) {
  for (const char* body : {"", "null", "[]", "7", "\"a\"", R"([{"id":"a","offsets":[]}])", "{"}) {
    EXPECT_EQ(refused(body).id, "") << body;
  }
}

TEST(LeaseResponse, RefusesWhatIsNotJson) {
  const std::string body = R"({"id":"a","offsets":[{"offset":0,"len":1}]})";
  ASSERT_TRUE(parse_lease_response(json, body + " \n"));
  for (const std::string_view behind : {"x"sv, "{}"sv, ","sv, "\0"sv, "\0{}"sv}) {
    EXPECT_EQ(refused(body + std::string(behind)).id, "a") << behind;
  }
  for (const std::string_view id :
       {R"("a","more":01)"sv, R"("a","more":NaN)"sv, R"("a","more":+1)"sv, R"("a","more":'b')"sv,
        R"("a","more":"\ud800")"sv, "\"a\",\"more\":\"\xff\""sv, "\"a\",\"more\":\"\t\""sv,
        R"("a","more":[1,])"sv, R"("a","more":"\x")"sv, R"("a",/* */"more":1)"sv}) {
    const std::string before = R"({"id":)" + std::string(id);
    EXPECT_EQ(refused(before + R"(,"offsets":[{"offset":0,"len":1}]})").id, "a") << id;
  }
}

TEST(LeaseResponse, RefusesAnIdThatIsMissingEmptyOrNoString) {
  for (const char* id : {"", R"("id":"",)", R"("id":7,)", R"("id":null,)", R"("id":{"id":"x"},)",
                         R"("id":["x"],)"}) {
    refused(std::string("{") + id + R"("offsets":[{"offset":0,"len":1}]})");
  }
}

TEST(LeaseResponse, RefusesOffsetsThatAreMissingEmptyOrOfAnotherType) {
  for (const char* offsets : {R"("x":0)", R"("offsets":[])", R"("offsets":{"offset":0,"len":1})",
                              R"("offsets":null)", R"("offsets":"x")", R"("offsets":[[0,1]])",
                              R"("offsets":[7])", R"("offsets":[{"offset":0,"len":1}, "x"])"}) {
    EXPECT_EQ(refused(std::string(R"({"id":"a",)") + offsets + "}").id, "a") << offsets;
  }
}

TEST(LeaseResponse, RefusesFragmentsThatCannotBe) {
  for (const char* fragment :
       {R"("offset":-1,"len":1)", R"("offset":0,"len":0)", R"("offset":0,"len":-5)",
        R"("offset":0.5,"len":1)", R"("offset":0,"len":-0)", R"("offset":"0","len":1)",
        R"("offset":0)", R"("len":1)", R"("offset":true,"len":1)", R"("offset":{},"len":1)",
        R"("offset":[],"len":1)", R"("offset":1,"offset":{},"len":1)",
        R"("offset":18446744073709551615,"len":1)", R"("offset":18446744073709551616,"len":1)"}) {
    EXPECT_EQ(refused(std::string(R"({"id":"a","offsets":[{)") + fragment + "}]}").id, "a")
        << fragment;
  }
}

TEST(LeaseResponse, RefusesLengthsThatOverflowTogether) {
  EXPECT_EQ(refused(R"({"id":"a","offsets":[{"offset":0,"len":18446744073709551615},
                                            {"offset":0,"len":2}]})")
                .id,
            "a");
}

TEST(LeaseResponse, SurvivesDeepNesting) {
  std::string body = R"({"id":"a","x":)";
  body.append(100'000, '[').append(100'000, ']').append("}");
  EXPECT_EQ(refused(body).id, "a");
}

}  // namespace
}  // namespace hyperpod::client::leases
