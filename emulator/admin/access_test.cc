// SPDX-License-Identifier: Apache-2.0
#include "admin/access.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace hyperpod::emulator::admin {
namespace {

using testing::HasSubstr;

const Access open_access({"emulator", "kv.example.org"}, "");
const Access closed_access({}, "s3cret");

int status(const Access& access, Guard guard, bool changes, const Provenance& provenance) {
  const auto refusal = access.check(guard, changes, provenance);
  return refusal ? refusal->status : 0;
}

int status_of_host(const std::string& host) {
  return status(open_access, Guard::token, false, {.host = host});
}

TEST(Access, ServesAddressesAndTheNamesOfThisMachine) {
  char own[256] = {};
  ASSERT_EQ(::gethostname(own, sizeof own - 1), 0);
  for (const std::string& host : std::vector<std::string>{
           "127.0.0.1", "127.0.0.1:9201", "10.1.2.3:80", "[::1]", "[::1]:9201", "localhost",
           "LOCALHOST:9201", "emulator:9201", "KV.example.org", own}) {
    EXPECT_EQ(status_of_host(host), 0) << host;
  }
}

TEST(Access, RefusesNamesThatOthersOwn) {
  for (const std::string& host : std::vector<std::string>{
           "evil.example", "evil.example:9201", "localhost.evil.example", "127.0.0.1.evil.example",
           "emulator.evil.example", "[::1", "[::1].evil.example", "[::1]9201", "[evil.example]:80",
           "999.1.1.1", "local", "a:b:c", ":80", "127.0.0.1 evil.example"}) {
    EXPECT_EQ(status_of_host(host), 403) << host;
  }
  EXPECT_THAT(open_access.check(Guard::token, false, {.host = "evil.example"})->message,
              HasSubstr("--admin-host"));
}

TEST(Access, ServesHealthUnderAnyNameAndToAnyPage) {
  EXPECT_EQ(status(closed_access, Guard::none, false,
                   {.host = "evil.example", .origin = "http://evil.example"}),
            0);
}

TEST(Access, ServesItsOwnPageAndNoOther) {
  const auto from = [](const std::string& origin) {
    return status(open_access, Guard::token, false, {.host = "localhost:9201", .origin = origin});
  };
  EXPECT_EQ(from("http://localhost:9201"), 0);
  EXPECT_EQ(from("http://LOCALHOST:9201"), 0);
  for (const std::string& origin :
       std::vector<std::string>{"http://evil.example", "null", "http://localhost",
                                "http://localhost:9202", "https://localhost:9201",
                                "http://127.0.0.1:9201", "http://localhost:9201.evil.example"}) {
    EXPECT_EQ(from(origin), 403) << origin;
  }
}

TEST(Access, TakesChangesAsJsonOnly) {
  const auto as = [](const std::string& type) {
    return status(open_access, Guard::token, true, {.host = "localhost", .content_type = type});
  };
  EXPECT_EQ(as("application/json"), 0);
  EXPECT_EQ(as("Application/JSON; charset=utf-8"), 0);
  EXPECT_EQ(as("application/json ;charset=utf-8"), 0);
  for (const std::string& type : std::vector<std::string>{
           "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
           "application/jsonp", "text/plain; application/json"}) {
    EXPECT_EQ(as(type), 415) << type;
  }
}

TEST(Access, AsksForTheTokenWhereOneIsSet) {
  const auto with = [](Guard guard, const std::string& authorization) {
    return status(closed_access, guard, false,
                  {.host = "localhost", .authorization = authorization});
  };
  EXPECT_EQ(with(Guard::token, "Bearer s3cret"), 0);
  EXPECT_EQ(with(Guard::token, "bearer  s3cret"), 0);
  for (const std::string& wrong :
       std::vector<std::string>{"", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets",
                                "Basic s3cret", "s3cret", "Bearer S3CRET"}) {
    EXPECT_EQ(with(Guard::token, wrong), 401) << wrong;
  }
  EXPECT_EQ(with(Guard::host, ""), 0);
  EXPECT_EQ(with(Guard::none, ""), 0);
}

}  // namespace
}  // namespace hyperpod::emulator::admin
