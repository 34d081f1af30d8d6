// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "cli/doctor/checks.h"
#include "cli/doctor/test_support.h"

namespace hyperpod::client::cli::doctor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Report check(unsigned workers, std::uint32_t per_host = 128) {
  Configuration configuration{{}, {{}}};
  configuration.options.max_connections_per_host = per_host;
  Report report;
  check_limits(configuration, workers, report);
  return report;
}

TEST(LimitsCheck, MultipliesTheLimitsByTheWorkers) {
  EXPECT_THAT(remarks(check(1)), IsEmpty());
  const auto figures = found(check(8, 16), "limits").details;
  EXPECT_EQ(figures["connections_to_a_daemon"], 128);
  EXPECT_EQ(figures["requests_in_flight"], 800);
}

TEST(LimitsCheck, AdvisesFewerConnectionsForManyWorkers) {
  const auto report = check(8);
  EXPECT_THAT(remarks(report), ElementsAre("warning limits-exceed-advice"));
  const auto finding = found(report, "limits-exceed-advice");
  EXPECT_EQ(finding.details["connections_to_a_daemon"], 1024);
  EXPECT_THAT(finding.remedy, HasSubstr("max_connections_per_host to 16"));
  EXPECT_THAT(found(check(1000), "limits-exceed-advice").remedy, ::testing::EndsWith(" to 1"));
}

TEST(LimitsCheck, NeverTakesMoreThanTheTotal) {
  Configuration configuration{{}, {{}}};
  configuration.options.max_connections = 10;
  Report report;
  check_limits(configuration, 2, report);
  EXPECT_EQ(found(report, "limits").details["connections_to_a_daemon"], 20);
}

TEST(LimitsCheck, FindsTooFewDescriptors) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{128, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto report = check(1);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(remarks(report), ElementsAre("problem descriptors-few"));
  EXPECT_EQ(found(report, "descriptors-few").details["limit"], 128);
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor
