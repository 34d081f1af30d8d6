// SPDX-License-Identifier: Apache-2.0
#include "probe/segment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

namespace hyperpod::conformance::probe {
namespace {

/// A segment that holds the bytes given, for as long as it lives.
class MadeSegment {
 public:
  explicit MadeSegment(const std::string& bytes)
      : name_("conf_segment_test_" + std::to_string(::getpid())) {
    const int fd = ::shm_open(name_.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  }
  ~MadeSegment() { ::shm_unlink(name_.c_str()); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
};

TEST(Segment, PutsFragmentsTogetherInOrder) {
  const MadeSegment made("0123456789");
  const auto segment = Segment::open(made.name());
  ASSERT_TRUE(segment) << segment.error().message;
  const std::vector<Fragment> fragments{{8, 2}, {0, 3}};
  EXPECT_EQ(*segment->read(fragments), "89012");
  EXPECT_EQ(segment->facts().size, 10u);
  EXPECT_EQ(segment->facts().mode, 0600u);
}

TEST(Segment, RefusesFragmentsThatReachOutside) {
  const MadeSegment made("0123456789");
  const auto segment = Segment::open(made.name());
  ASSERT_TRUE(segment);
  for (const Fragment& fragment :
       {Fragment{10, 1}, Fragment{9, 2}, Fragment{UINT64_MAX, 2}, Fragment{1, UINT64_MAX}}) {
    EXPECT_FALSE(segment->read({&fragment, 1})) << fragment.offset;
  }
}

TEST(Segment, NoticesThatItWasTruncatedInsteadOfCrashing) {
  const MadeSegment made(std::string(10'000, 'x'));
  const auto segment = Segment::open(made.name());
  ASSERT_TRUE(segment);
  const int fd = ::shm_open(made.name().c_str(), O_RDWR, 0);
  ASSERT_EQ(::ftruncate(fd, 0), 0);
  ::close(fd);
  const Fragment all{0, 10'000};
  EXPECT_FALSE(segment->read({&all, 1}));
}

TEST(Segment, IsMappedReadOnly) {
  const MadeSegment made("0123456789");
  const auto segment = Segment::open(made.name());
  ASSERT_TRUE(segment);
  std::ifstream maps("/proc/self/maps");
  std::string line;
  bool seen = false;
  while (std::getline(maps, line)) {
    if (line.find(made.name()) == std::string::npos) continue;
    seen = true;
    EXPECT_NE(line.find(" r--s "), std::string::npos) << line;
  }
  EXPECT_TRUE(seen);
}

TEST(Segment, TellsWhatThereIsInsteadOfAMissingOne) {
  const MadeSegment made("x");
  const auto segment = Segment::open("no_such_segment");
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, ErrorCode::segment_missing);
  EXPECT_NE(segment.error().message.find(made.name()), std::string::npos)
      << segment.error().message;
}

TEST(Segment, TakesAnEmptyOneForUnfinished) {
  const MadeSegment made("");
  const auto segment = Segment::open(made.name());
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, ErrorCode::segment_missing);
}

TEST(Segment, TellsWhatStandsThereThatIsNone) {
  const std::string name = "conf_segment_test_other_" + std::to_string(::getpid());
  const std::string path = "/dev/shm/" + name;
  const auto expect_told = [&](bool made, const std::string& kind) {
    ASSERT_TRUE(made) << kind;
    const auto segment = Segment::open(name);
    ::remove(path.c_str());
    ASSERT_FALSE(segment) << kind;
    EXPECT_NE(segment.error().message.find(path + " is " + kind + ", not a segment; give"),
              std::string::npos)
        << segment.error().message;
  };
  expect_told(::mkfifo(path.c_str(), 0600) == 0, "a FIFO");
  expect_told(::mkdir(path.c_str(), 0700) == 0, "a directory");
  expect_told(::symlink("/dev/null", path.c_str()) == 0, "a symbolic link");
  expect_told(::mknod(path.c_str(), S_IFSOCK | 0600, 0) == 0, "a socket");
}

}  // namespace
}  // namespace hyperpod::conformance::probe
