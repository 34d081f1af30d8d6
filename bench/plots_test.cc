// SPDX-License-Identifier: Apache-2.0
#include "plots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "hyperpod/base/unique_name.h"

namespace hyperpod::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(BarChart, DrawsBarsToOneScaleWithTheirFigures) {
  const auto svg = bar_chart("a <title>", "us", {{"short", {1.0, 1.0}}, {"long & wide", {8.0}}});
  EXPECT_THAT(svg, HasSubstr("a &lt;title> (us)"));
  EXPECT_THAT(svg, HasSubstr("long &amp; wide"));
  EXPECT_THAT(svg, HasSubstr("1.0 + 1.0"));
  // All of the width for eight, an eighth of it for each one.
  EXPECT_THAT(svg, HasSubstr("width=\"380.0\""));
  EXPECT_THAT(svg, HasSubstr("width=\"47.5\""));
}

TEST(BarChart, OfNothingOrZeroIsDrawnAsWell) {
  EXPECT_THAT(bar_chart("t", "u", {}), HasSubstr("</svg>"));
  EXPECT_THAT(bar_chart("t", "u", {{"none", {0.0}}}), HasSubstr("width=\"0.0\""));
}

TEST(Plots, AreWrittenForTheRowsThatWereMeasured) {
  const auto folder = std::filesystem::temp_directory_path() / base::unique_name("bench_plots_");
  std::filesystem::create_directory(folder);
  const nlohmann::json report{
      {"rows",
       {{{"id", "lease-16"},
         {"against", "nginx 1"},
         {"details",
          {{"requests_ours", {{"user_cpu_us_a_request", 3.5}, {"system_cpu_us_a_request", 9.5}}},
           {"requests_theirs", {{"user_cpu_us_a_request", 4}, {"system_cpu_us_a_request", 10}}}}}},
        {{"id", "lease-128"}, {"message", "was not measured"}}}}};
  ASSERT_TRUE(write_plots(report, folder));
  std::stringstream svg;
  svg << std::ifstream(folder / "cpu.svg").rdbuf();
  EXPECT_THAT(svg.str(), HasSubstr("emulator, 16 connections"));
  EXPECT_THAT(svg.str(), HasSubstr("3.5 + 9.5"));
  EXPECT_THAT(svg.str(), Not(HasSubstr("128")));
  EXPECT_FALSE(std::filesystem::exists(folder / "put.svg")) << "no such row was measured";
  EXPECT_FALSE(write_plots(report, folder / "absent"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace hyperpod::bench
