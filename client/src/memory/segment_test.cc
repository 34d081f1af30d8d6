// SPDX-License-Identifier: Apache-2.0
#include "memory/segment.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>

#include "testing/test_segment.h"

namespace hyperpod::client::memory {
namespace {

using client::testing::TestSegment;

std::string text_at(const SegmentMapping& mapping, std::uint64_t offset, std::uint64_t length) {
  const auto bytes = mapping.bytes({offset, length});
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool in_child(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Runs `check` as a user without rights; true if it returned true there.
bool as_nobody(const std::function<bool()>& check) {
  return in_child([&] { return setresuid(65534, 65534, 65534) == 0 && check(); });
}

// Whether this process may mount.
bool make_mounts_its_own() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

TEST(Segment, MapsTheBytesUnderItsName) {
  TestSegment file(TestSegment::unique_name("segment"), 8192);
  file.write(4096, "hello");
  Segment segment(file.name());
  const auto mapping = segment.current();
  ASSERT_TRUE(mapping) << mapping.error().message;
  EXPECT_EQ((*mapping)->size(), 8192u);
  EXPECT_EQ(text_at(**mapping, 4096, 5), "hello");
  file.write(4096, "HELLO");
  EXPECT_EQ(text_at(**mapping, 4096, 5), "HELLO") << "it is shared";
  EXPECT_EQ(segment.current().value(), mapping.value()) << "it is mapped once";
  EXPECT_EQ(segment.is_current(**mapping), true);
}

TEST(Segment, KnowsWhichRangesItContains) {
  TestSegment file(TestSegment::unique_name("segment"), 4096);
  Segment segment(file.name());
  const auto mapping = *segment.current();
  EXPECT_TRUE(mapping->contains({0, 4096}));
  EXPECT_TRUE(mapping->contains({4095, 1}));
  EXPECT_FALSE(mapping->contains({4096, 1}));
  EXPECT_FALSE(mapping->contains({1, 4096}));
  EXPECT_FALSE(mapping->contains({~std::uint64_t{0}, 2}));
  EXPECT_FALSE(mapping->contains({2, ~std::uint64_t{0}}));
}

TEST(Segment, MapsAReplacedSegmentAnewAndKeepsTheOldOneForItsReaders) {
  const auto name = TestSegment::unique_name("segment");
  TestSegment before(name, 4096);
  before.write(0, "old");
  Segment segment(name);
  const auto old = *segment.current();
  TestSegment after(name, 8192);
  after.write(0, "new");
  EXPECT_EQ(segment.is_current(*old), false);
  const auto fresh = *segment.current();
  EXPECT_NE(fresh, old);
  EXPECT_EQ(text_at(*fresh, 0, 3), "new");
  EXPECT_EQ(text_at(*old, 0, 3), "old");
  EXPECT_EQ(segment.is_current(*old), false);
  EXPECT_EQ(segment.is_current(*fresh), true);
}

TEST(Segment, IsMappedAnewWhenItsSizeChanges) {
  TestSegment file(TestSegment::unique_name("segment"), 4096);
  Segment segment(file.name());
  const auto small = *segment.current();
  ASSERT_EQ(truncate(("/dev/shm/" + file.name()).c_str(), 8192), 0);
  EXPECT_EQ(segment.is_current(*small), false);
  EXPECT_EQ((*segment.current())->size(), 8192u);
}

TEST(Segment, ThatIsMissingHealsWhenTheDaemonIsBack) {
  const auto name = TestSegment::unique_name("segment");
  Segment segment(name);
  const auto missing = segment.current();
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::segment_missing);
  EXPECT_NE(missing.error().message.find(name), std::string::npos);

  TestSegment file(name, 4096);
  const auto mapping = segment.current();
  ASSERT_TRUE(mapping);
  file.unlink();
  EXPECT_EQ(segment.current().error().code, ErrorCode::segment_missing);
  EXPECT_EQ(segment.is_current(**mapping).error().code, ErrorCode::segment_missing);
}

TEST(Segment, ThatIsStillEmptyIsMissing) {
  TestSegment file(TestSegment::unique_name("segment"), 0);
  Segment segment(file.name());
  EXPECT_EQ(segment.current().error().code, ErrorCode::segment_missing);
  ASSERT_EQ(truncate(("/dev/shm/" + file.name()).c_str(), 4096), 0);
  EXPECT_TRUE(segment.current());
}

TEST(Segment, OfAnotherUserTellsWhoseItIsAndItsMode) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  TestSegment file(TestSegment::unique_name("segment"), 4096, 0600);
  EXPECT_TRUE(as_nobody([&] {
    Segment segment(file.name());
    const auto error = segment.current().error();
    return error.code == ErrorCode::segment_unreadable && error.segment_owner &&
           error.segment_owner->uid == 0 && error.segment_owner->mode == 0600 &&
           error.message.find("uid 0 and has mode 0600") != std::string::npos &&
           error.message.find("runs as uid 65534") != std::string::npos;
  }));
}

TEST(Segment, IsReadByAnotherUserWhereItsModeAllows) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  TestSegment file(TestSegment::unique_name("segment"), 4096, 0644);
  EXPECT_TRUE(as_nobody([&] { return Segment(file.name()).current().has_value(); }));
}

// As Kubernetes mounts it with `subPath`: the container's name stays with the file that was there
// when it started, whatever becomes of that on the node.
TEST(Segment, ThatAFileMountKeepsAfterItsDaemonMadeAnotherIsMissing) {
  if (!in_child(make_mounts_its_own)) GTEST_SKIP() << "needs root, to mount";
  const auto name_on_node = TestSegment::unique_name("on_node");
  const auto name_in_container = TestSegment::unique_name("in_container");
  TestSegment before(name_on_node, 4096);
  TestSegment mount_point(name_in_container, 4096);
  EXPECT_TRUE(in_child([&] {
    if (!make_mounts_its_own() ||
        mount(("/dev/shm/" + name_on_node).c_str(), ("/dev/shm/" + name_in_container).c_str(),
              nullptr, MS_BIND, nullptr) != 0) {
      return false;
    }
    Segment segment(name_in_container);
    const auto mapping = segment.current();
    if (!mapping || segment.is_current(**mapping) != true) return false;
    const TestSegment after(name_on_node, 4096);
    return segment.current().error().code == ErrorCode::segment_missing &&
           segment.is_current(**mapping).error().code == ErrorCode::segment_missing;
  }));
}

TEST(Segment, ThatIsADirectoryIsUnreadable) {
  const auto name = TestSegment::unique_name("directory");
  ASSERT_EQ(mkdir(("/dev/shm/" + name).c_str(), 0700), 0);
  EXPECT_EQ(Segment(name).current().error().code, ErrorCode::segment_unreadable);
  rmdir(("/dev/shm/" + name).c_str());
}

TEST(Segment, ThatIsAFifoIsUnreadableAndNotWaitedFor) {
  const auto name = TestSegment::unique_name("fifo");
  ASSERT_EQ(mkfifo(("/dev/shm/" + name).c_str(), 0600), 0);
  EXPECT_EQ(Segment(name).current().error().code, ErrorCode::segment_unreadable);
  unlink(("/dev/shm/" + name).c_str());
}

TEST(Segment, ThatCannotBeOpenedForWantOfDescriptorsIsOutOfResources) {
  TestSegment file(TestSegment::unique_name("segment"), 4096);
  EXPECT_TRUE(in_child([&] {
    const int next = dup(STDIN_FILENO);
    close(next);
    const rlimit none{static_cast<rlim_t>(next), static_cast<rlim_t>(next)};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0) return false;
    const auto error = Segment(file.name()).current().error();
    return error.code == ErrorCode::out_of_resources &&
           error.message.find("RLIMIT_NOFILE") != std::string::npos;
  }));
}

TEST(Segment, IsNeitherWrittenNorRemoved) {
  TestSegment file(TestSegment::unique_name("segment"), 4096);
  struct stat before {};
  ASSERT_EQ(stat(("/dev/shm/" + file.name()).c_str(), &before), 0);
  {
    Segment segment(file.name());
    ASSERT_TRUE(segment.current());
  }
  struct stat after {};
  ASSERT_EQ(stat(("/dev/shm/" + file.name()).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

}  // namespace
}  // namespace hyperpod::client::memory
