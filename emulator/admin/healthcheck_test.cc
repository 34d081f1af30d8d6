// SPDX-License-Identifier: Apache-2.0
#include "admin/healthcheck.h"

#include <gmock/gmock.h>

#include "admin/admin_server.h"
#include "admin/fake_control.h"
#include "hyperpod/emulator/emulator.h"

namespace hyperpod::emulator::admin {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string refusal(const std::string& url) {
  const auto checked = check_health(url);
  return checked ? "healthy" : checked.error().message;
}

TEST(Healthcheck, FindsAnEmulatorHealthy) {
  FakeControl control;
  const auto server = AdminServer::start("127.0.0.1:0", control);
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ(refusal((*server)->url()), "healthy");
  EXPECT_EQ(refusal((*server)->url() + "/"), "healthy");
}

TEST(Healthcheck, AsksForReadinessWhereTheUrlDoes) {
  FakeControl control;
  const auto server = AdminServer::start("127.0.0.1:0", control);
  ASSERT_TRUE(server) << server.error().message;
  const std::string url = (*server)->url();
  EXPECT_EQ(refusal(url + "/readyz"), "healthy");
  control.segment_.linked = false;
  EXPECT_EQ(refusal(url), "healthy");
  EXPECT_THAT(refusal(url + "/readyz"),
              AllOf(StartsWith(url + "/readyz: answers 503: "), HasSubstr("no longer leads to")));
}

TEST(Healthcheck, TellsADataPortFromAnAdminPort) {
  const auto emulator = Emulator::start(Options::for_test());
  ASSERT_TRUE(emulator) << emulator.error().message;
  EXPECT_THAT(refusal(emulator->url()), AllOf(StartsWith(emulator->url() + ": "),
                                              HasSubstr("data port"), HasSubstr("admin port")));
}

TEST(Healthcheck, TellsThatNobodyAnswers) {
  FakeControl control;
  auto server = AdminServer::start("127.0.0.1:0", control);
  ASSERT_TRUE(server) << server.error().message;
  const std::string url = (*server)->url();
  server->reset();
  EXPECT_THAT(refusal(url), HasSubstr("no answer"));
}

TEST(Healthcheck, RefusesWhatIsNoUrl) {
  for (const char* url : {"", "127.0.0.1:9201", "https://127.0.0.1:9201", "http://127.0.0.1",
                          "http://127.0.0.1:9201/healthz"}) {
    EXPECT_THAT(refusal(url), HasSubstr("http://HOST:PORT")) << url;
  }
}

}  // namespace
}  // namespace hyperpod::emulator::admin
