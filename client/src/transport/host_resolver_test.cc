// SPDX-License-Identifier: Apache-2.0
#include "transport/host_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "testing/scripted_server.h"

namespace hyperpod::client::transport {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using SteadyClock = std::chrono::steady_clock;

SteadyClock::time_point in(SteadyClock::duration time) { return SteadyClock::now() + time; }

// A name service that answers when it is told to.
struct SlowService {
  std::promise<void> may_answer;
  std::shared_future<void> answers = may_answer.get_future().share();
  std::atomic<int> asked{0};
  std::atomic<int> answered{0};
};

HostResolver resolver_of(const std::shared_ptr<SlowService>& service) {
  return HostResolver([service](const std::string&) {
    ++service->asked;
    service->answers.wait();
    ++service->answered;
    return Resolution{{"10.0.0.1"}, {}};
  });
}

TEST(HostResolver, AsksTheSystem) {
  HostResolver resolver;
  EXPECT_THAT(resolver.resolve("localhost", in(30s))->addresses, Contains("127.0.0.1"));
  const auto too_long = HostResolver::system_look_up(std::string(300, 'x'));
  EXPECT_THAT(too_long.addresses, IsEmpty());
  EXPECT_FALSE(too_long.problem.empty());
}

TEST(HostResolver, AsksNobodyForANumber) {
  HostResolver resolver([](const std::string&) { return Resolution{}; });
  EXPECT_THAT(resolver.resolve("10.0.0.2", SteadyClock::now())->addresses, ElementsAre("10.0.0.2"));
  EXPECT_THAT(resolver.resolve("::1", SteadyClock::now())->addresses, ElementsAre("::1"));
}

TEST(HostResolver, DoesNotWaitBeyondTheDeadlineNorAskTwiceMeanwhile) {
  const auto service = std::make_shared<SlowService>();
  HostResolver resolver = resolver_of(service);
  EXPECT_FALSE(resolver.resolve("node", in(10ms)));
  EXPECT_FALSE(resolver.resolve("node", in(10ms)));
  EXPECT_FALSE(resolver.resolve("other", in(10ms)));
  service->may_answer.set_value();
  EXPECT_THAT(resolver.resolve("node", in(30s))->addresses, ElementsAre("10.0.0.1"));
  EXPECT_TRUE(client::testing::eventually([&] { return service->answered == service->asked; }));
  EXPECT_GE(service->asked, 2);
  EXPECT_LE(service->asked, 3);
}

TEST(HostResolver, AsksAgainOnceItHasBeenAnswered) {
  int asked = 0;
  HostResolver resolver([&asked](const std::string&) {
    ++asked;
    return Resolution{{"10.0.0.1"}, {}};
  });
  // The entry of a lookup goes a moment after its answer came.
  EXPECT_TRUE(client::testing::eventually([&] {
    resolver.resolve("node", in(30s));
    return asked == 2;
  }));
}

}  // namespace
}  // namespace hyperpod::client::transport
