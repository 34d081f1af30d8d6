// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/child_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

namespace hyperpod::base {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

ChildProcess started(const ChildOptions& options) {
  auto child = ChildProcess::start(options);
  if (!child) throw std::runtime_error(child.error().message);
  return *std::move(child);
}

TEST(ChildProcess, ReadsItsInputAndKeepsItsOutput) {
  auto child = started({.arguments = {"cat"}, .input = std::string(1 << 20, 'x')});
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(child.output().size(), 1u << 20);
}

TEST(ChildProcess, ACommandRunsInAShellWithItsOwnVariables) {
  auto child = started({.command = "NAME=value sh -c 'echo $NAME $ADDED'; echo sorry >&2; exit 7",
                        .environment = {"ADDED=too"}});
  EXPECT_EQ(child.wait(), 7);
  EXPECT_EQ(child.output(), "value too\n");
  EXPECT_EQ(child.last_error_line(), "sorry");
}

TEST(ChildProcess, AVariableReplacesTheOneOfThisProcess) {
  auto child = started({.command = "env | grep -c ^HOME=; echo $HOME", .environment = {"HOME=/x"}});
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(child.output(), "1\n/x\n");
}

TEST(ChildProcess, APipeCarriesLinesBothWays) {
  auto child = started({.arguments = {"cat"}, .input = std::nullopt, .pipe_output = true});
  ASSERT_EQ(::write(child.input().get(), "a\nb\n", 4), 4);
  EXPECT_EQ(child.read_line(10s).value(), "a");
  EXPECT_EQ(child.read_line(10s).value(), "b");
  EXPECT_EQ(child.read_line(0ms).error().code, ErrorCode::timed_out);
  child.input().reset();
  EXPECT_EQ(child.read_line(10s).error().code, ErrorCode::closed);
  EXPECT_EQ(child.wait(), 0);
}

TEST(ChildProcess, AMissingProgramIsAnErrorThatNamesIt) {
  for (const char* program : {"hyperpod-no-such-program", "/no/such/program"}) {
    const auto child = ChildProcess::start({.arguments = {program}});
    ASSERT_FALSE(child);
    EXPECT_EQ(child.error().code, ErrorCode::not_found);
    EXPECT_THAT(child.error().message, HasSubstr(program));
  }
}

TEST(ChildProcess, TheSignalThatEndedItIsTold) {
  auto child = started({.arguments = {"sleep", "60"}});
  EXPECT_TRUE(child.running());
  child.signal(SIGKILL);
  EXPECT_EQ(child.wait(), -SIGKILL);
  EXPECT_FALSE(child.running());
}

TEST(ChildProcess, StopInsistsWhereAskingDoesNotHelp) {
  auto child = started({.command = "trap '' TERM; echo ready; while :; do sleep 60; done",
                        .pipe_output = true,
                        .own_group = true});
  ASSERT_TRUE(child.read_line(10s));
  EXPECT_EQ(child.stop(50ms), -SIGKILL);
}

TEST(ChildProcess, ItEndsWithItsOwner) {
  pid_t pid = 0;
  { pid = started({.arguments = {"sleep", "60"}}).pid(); }
  EXPECT_EQ(::kill(pid, 0), -1);
}

// What a parent has changed for itself must not reach the child: /proc/self/status tells ignored
// and blocked signals as bit masks.
TEST(ChildProcess, InheritsNeitherSignalsNorLimitsNorDescriptors) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  sigset_t blocked;
  sigset_t old_mask;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &old_mask);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit lowered{.rlim_cur = limit.rlim_cur - 1, .rlim_max = limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &lowered);
  const FileDescriptor open_without_cloexec(::open("/dev/null", O_RDONLY));

  auto child = started({.command = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -Sn; "
                                   "ls /proc/$$/fd | wc -w"});
  EXPECT_EQ(child.wait(), 0);
  const std::string expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" +
                               std::to_string(limit.rlim_cur) + "\n3\n";
  EXPECT_EQ(child.output(), expected);

  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
  std::signal(SIGPIPE, before);
}

}  // namespace
}  // namespace hyperpod::base
