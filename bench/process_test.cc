// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

namespace hyperpod::bench {
namespace {

using namespace std::chrono_literals;

TEST(Usage, TellsThreadsAndMemory) {
  auto child = start({"sh", "-c", "echo up; while :; do sleep 0.01; done"});
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->read_line(10s));
  const auto used = usage(child->pid());
  ASSERT_TRUE(used);
  EXPECT_EQ(used->threads, 1u);
  EXPECT_GT(used->private_bytes, 4096u);
}

TEST(CpuTime, CountsTheProcessesUnderAProcess) {
  auto child = start({"sh", "-c", "yes >/dev/null & trap \"kill $!; exit\" TERM; echo up; wait"});
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->read_line(10s));
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  const auto all = [&] {
    const auto used = cpu_time(child->pid()).value_or(CpuTime{});
    return used.user + used.system;
  };
  while (all() < 50ms && std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_GE(all(), 50ms);
  child->stop();
}

TEST(Runs, IsTrueOnlyForStatusZero) {
  EXPECT_TRUE(runs({"true"}));
  EXPECT_FALSE(runs({"false"}));
  EXPECT_FALSE(runs({"/no/such/program"}));
}

TEST(TemporaryFolder, IsRemovedWithAllInIt) {
  std::string path;
  {
    const auto folder = TemporaryFolder::create();
    ASSERT_TRUE(folder);
    path = folder->path();
    std::filesystem::create_directories(path + "/a/b");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace hyperpod::bench
