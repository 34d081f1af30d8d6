// SPDX-License-Identifier: Apache-2.0
#include "core/memory_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "hyperpod/base/unique_name.h"

namespace hyperpod::emulator::core {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uint64_t mib = 1 << 20;

/// A tree with the files of /proc and /sys that matter.
class MemoryLimitTest : public testing::Test {
 protected:
  ~MemoryLimitTest() override { fs::remove_all(root_); }

  void write(const std::string& path, std::string_view content) const {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << content << "\n";
  }

  const std::string root_ = base::unique_name(testing::TempDir() + "memory_limit_test.");
};

TEST_F(MemoryLimitTest, ThereIsNoneWhereNothingSetsOne) {
  EXPECT_FALSE(memory_limit(root_)) << "no cgroups at all";
  write("/proc/self/cgroup", "0::/");
  EXPECT_FALSE(memory_limit(root_)) << "the root group of version 2 has no memory.max";
  write("/sys/fs/cgroup/memory.max", "max");
  EXPECT_FALSE(memory_limit(root_));
  write("/proc/self/cgroup", "4:memory:/");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_FALSE(memory_limit(root_)) << "how version 1 says max";
}

TEST_F(MemoryLimitTest, IsReadInAContainer) {
  write("/proc/self/cgroup", "0::/");
  write("/sys/fs/cgroup/memory.max", "268435456");
  write("/sys/fs/cgroup/memory.current", "104857600");
  write("/sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 52428800\nactive_file 7");
  const auto limit = memory_limit(root_);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit, 256 * mib);
  EXPECT_EQ(limit->used, 50 * mib) << "the page cache can be reclaimed";
}

TEST_F(MemoryLimitTest, IsTheTightestOfTheGroupAndThoseAboveIt) {
  write("/proc/self/cgroup", "0::/pods/one/container");
  write("/sys/fs/cgroup/pods/one/container/memory.max", "max");
  write("/sys/fs/cgroup/pods/one/memory.max", "100000000");
  write("/sys/fs/cgroup/pods/memory.max", "300000000");
  const auto limit = memory_limit(root_);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit, 100'000'000u);
}

TEST_F(MemoryLimitTest, OfVersion1IsReadWhereThePathIsTheHosts) {
  write("/proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576");
  const auto limit = memory_limit(root_);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit, 256 * mib);
  EXPECT_EQ(limit->used, mib);
}

TEST_F(MemoryLimitTest, CountsSwapThatTheMachineHas) {
  write("/proc/self/cgroup", "0::/");
  write("/sys/fs/cgroup/memory.max", "268435456");
  write("/sys/fs/cgroup/memory.swap.max", "max");
  EXPECT_EQ(memory_limit(root_)->limit, 256 * mib);
  write("/proc/meminfo", "MemTotal: 1 kB\nSwapTotal:      102400 kB");
  EXPECT_EQ(memory_limit(root_)->limit, 356 * mib);
  write("/sys/fs/cgroup/memory.swap.max", "0");
  EXPECT_EQ(memory_limit(root_)->limit, 256 * mib);
}

TEST_F(MemoryLimitTest, IsNotReadFromWhatIsNotANumber) {
  write("/proc/self/cgroup", "nonsense\n::\n0::no/slash\n0::/x");
  write("/sys/fs/cgroup/x/memory.max", "12 monkeys?");
  EXPECT_EQ(memory_limit(root_)->limit, 12u);
  write("/sys/fs/cgroup/x/memory.max", "-1");
  EXPECT_FALSE(memory_limit(root_));
}

TEST(JudgeMemoryLimit, RefusesWhatWouldBeKilledForCertainAndWarnsOfTheRest) {
  const MemoryLimit limit{.limit = 256 * mib, .used = 100 * mib};
  EXPECT_EQ(judge_memory_limit(1024 * mib, true, std::nullopt), "");
  EXPECT_EQ(judge_memory_limit(100 * mib, true, limit), "");
  EXPECT_THAT(judge_memory_limit(200 * mib, true, limit).value(),
              testing::AllOf(HasSubstr("200MiB"), HasSubstr("100MiB are taken")));
  const auto refused = judge_memory_limit(1024 * mib, true, limit);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::segment_unusable);
  EXPECT_THAT(refused.error().message,
              testing::AllOf(HasSubstr("1GiB"), HasSubstr("256MiB"), HasSubstr("docker: -m")));
  EXPECT_THAT(judge_memory_limit(1024 * mib, false, limit).value(), HasSubstr("256MiB"))
      << "reserved on use it may never be full";
}

}  // namespace
}  // namespace hyperpod::emulator::core
