// SPDX-License-Identifier: Apache-2.0
#include "bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hyperpod::client::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const nlohmann::json figures = nlohmann::json::parse(R"({
    "seconds": 2.5, "workers": 1, "threads": 4, "object_bytes": 4096, "read_share": 0.9,
    "errors": 0, "wrong": 0,
    "get_hit": {"per_second": 1000.0, "mib_per_second": 3.9}, "put": {"per_second": 1.0}})");

LatencyHistogram two_peaks() {
  LatencyHistogram histogram;
  for (int i = 0; i < 100; ++i) histogram.add(70us);
  histogram.add(3ms);
  return histogram;
}

TEST(BenchReport, DrawsABarForEachPowerOfTwo) {
  const auto histogram = two_peaks();
  const auto lines = to_lines({"get_hit", histogram});
  EXPECT_THAT(lines, AllOf(HasSubstr("get_hit\n"),
                           HasSubstr("65.5 us ########################################"),
                           HasSubstr(" 100\n"), HasSubstr(" 0\n"), HasSubstr("2.1 ms # ")));
  EXPECT_EQ(to_lines({"put", LatencyHistogram{}}), "");
}

TEST(BenchReport, WritesAPageThatStandsAlone) {
  const auto hits = two_peaks();
  const LatencyHistogram none;
  const auto page = to_page(figures, {{"get_hit", hits}, {"put", none}});
  EXPECT_THAT(page, AllOf(HasSubstr("<!doctype html>"), HasSubstr("<svg"), HasSubstr("p99"),
                          HasSubstr("latencies of get_hit"), HasSubstr("</html>")));
  EXPECT_THAT(page, Not(HasSubstr("latencies of put"))) << "nothing to plot";
  EXPECT_THAT(page,
              AllOf(Not(HasSubstr("http:")), Not(HasSubstr("https:")), Not(HasSubstr("nan"))));
}

}  // namespace
}  // namespace hyperpod::client::cli
