#include "process.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

namespace hyperpod::bench {
namespace {

using namespace std::chrono_literals;

TEST(Child, GivesItsLinesOneByOne) {
  auto child = Child::start({"sh", "-c", "echo one; echo two"});
  ASSERT_TRUE(child);
  EXPECT_EQ(child->read_line(10s).value_or(""), "one");
  EXPECT_EQ(child->read_line(10s).value_or(""), "two");
  EXPECT_FALSE(child->read_line(10s));
}

TEST(Child, QuotesItsLastWordsWhenItEndsEarly) {
  auto child = Child::start({"sh", "-c", "echo first >&2; echo no room >&2; exit 2"});
  ASSERT_TRUE(child);
  const auto line = child->read_line(10s);
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().message, "it ended at once: no room");
}

TEST(Child, SaysSoWhenThereIsNoSuchProgram) {
  auto child = Child::start({"/no/such/program"});
  ASSERT_TRUE(child);
  EXPECT_EQ(child->read_line(10s).error().message, "it ended at once: there is no such program");
}

TEST(Child, IsGoneAfterStop) {
  auto child = Child::start({"sleep", "60"});
  ASSERT_TRUE(child);
  const pid_t pid = child->pid();
  EXPECT_TRUE(child->running());
  child->stop();
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST(Child, IsAskedToEndBeforeItIsKilled) {
  auto child = Child::start(
      {"sh", "-c", "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done"});
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->read_line(10s));
  child->stop();
  EXPECT_EQ(child->read_line(10s).value_or(""), "bye");
}

TEST(Child, TellsItsThreadsAndMemory) {
  auto child = Child::start({"sh", "-c", "echo up; while :; do sleep 0.01; done"});
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->read_line(10s));
  const auto usage = child->usage();
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->threads, 1u);
  EXPECT_GT(usage->private_bytes, 4096u);
}

TEST(Child, CountsTheCpuTimeOfTheProcessesUnderIt) {
  auto child =
      Child::start({"sh", "-c", "yes >/dev/null & trap \"kill $!; exit\" TERM; echo up; wait"});
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->read_line(10s));
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (child->cpu_time().value_or(0ms) < 50ms && std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_GE(child->cpu_time().value_or(0ms), 50ms);
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
