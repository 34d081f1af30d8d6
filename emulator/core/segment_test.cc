// SPDX-License-Identifier: Apache-2.0
#include "core/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/unique_name.h"
#include "testing/small_shm.h"

namespace hyperpod::emulator::core::segment_test {
namespace {

using test::with_small_shm;

using testing::AllOf;
using testing::ContainsRegex;
using testing::Each;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t mib = 1 << 20;

/// What the name leads to; nullopt if nothing.
std::optional<struct stat> status_of(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

/// How many pages of `memory` this process can touch without a page fault.
std::uint64_t mapped_pages(std::span<const std::byte> memory) {
  constexpr std::uint64_t page = 4096, present = 1ull << 63;
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  EXPECT_GE(pagemap, 0);
  std::vector<std::uint64_t> entries(memory.size() / page);
  const auto first = reinterpret_cast<std::uintptr_t>(memory.data()) / page;
  const auto bytes = entries.size() * sizeof entries[0];
  EXPECT_EQ(::pread(pagemap, entries.data(), bytes, static_cast<off_t>(first * sizeof entries[0])),
            static_cast<ssize_t>(bytes));
  ::close(pagemap);
  return static_cast<std::uint64_t>(std::count_if(
      entries.begin(), entries.end(), [](std::uint64_t entry) { return (entry & present) != 0; }));
}

class SegmentTest : public testing::Test {
 protected:
  SegmentTest() { take_name("hyperpod_segment_test_"); }

  void take_name(std::string_view prefix) {
    options.name = base::unique_name(prefix);
    options.size = mib;
    path = "/dev/shm/" + options.name;
    owner_path = "/dev/shm/." + options.name + ".owner";
    aside_path = "/dev/shm/." + options.name + ".aside";
    coming_path = "/dev/shm/." + options.name + ".new";
  }
  ~SegmentTest() override {
    EXPECT_FALSE(status_of(path)) << "a segment was left behind";
    EXPECT_FALSE(status_of(owner_path)) << "an owner file was left behind";
    EXPECT_FALSE(status_of(aside_path)) << "a segment that was set aside was left behind";
    EXPECT_FALSE(status_of(coming_path)) << "a segment that was being made was left behind";
    for (const auto& left : {path, owner_path, aside_path, coming_path}) ::unlink(left.c_str());
  }

  ino_t make_foreign_segment() const {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    EXPECT_GE(fd, 0);
    ::close(fd);
    return status_of(path)->st_ino;
  }

  SegmentOptions options;
  std::string path;
  std::string owner_path;
  std::string aside_path;
  std::string coming_path;
};

/// Runs `body` in a forked process. Its exit status is what body returns.
class Child {
 public:
  explicit Child(const std::function<int(const Child&)>& body) {
    EXPECT_EQ(::pipe2(ready_.data(), O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) ::_exit(body(*this));
  }
  ~Child() {
    if (pid_ > 0) kill();
    ::close(ready_[0]);
    ::close(ready_[1]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }

  /// For the child: says `verdict` to the parent and stays until it is killed.
  int stay(char verdict) const {
    if (::write(ready_[1], &verdict, 1) != 1) return 1;
    while (true) ::pause();
  }
  /// For the parent: waits for that verdict.
  char verdict() const {
    char said = '\0';
    return ::read(ready_[0], &said, 1) == 1 ? said : '\0';
  }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void kill() {
    ::kill(pid_, SIGKILL);
    wait();
  }

 private:
  std::array<int, 2> ready_{};
  pid_t pid_ = 0;
};

TEST_F(SegmentTest, IsVisibleUnderItsNameWithItsSize) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_EQ(segment->name(), options.name);
  EXPECT_EQ(segment->memory().size(), options.size);
  const auto there = status_of(path);
  ASSERT_TRUE(there);
  EXPECT_TRUE(S_ISREG(there->st_mode));
  EXPECT_EQ(there->st_size, static_cast<off_t>(options.size));
}

// Where others look for whoever has a segment that they do not find.
TEST_F(SegmentTest, IsMappedUnderItsNameAlsoOnceThatIsGone) {
  const auto mapped_files = [] {
    std::ifstream maps("/proc/self/maps");
    return std::string(std::istreambuf_iterator<char>(maps), {});
  };
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  EXPECT_THAT(mapped_files(), HasSubstr(" " + path + "\n"));
  ASSERT_TRUE(segment->renew(true));
  EXPECT_THAT(mapped_files(), HasSubstr(" " + path + "\n"));
  ::unlink(path.c_str());
  EXPECT_THAT(mapped_files(), HasSubstr(" " + path + " (deleted)\n"));
}

TEST_F(SegmentTest, HoldsOnlyZeroesUntilItIsWritten) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  EXPECT_THAT(segment->memory(), Each(std::byte{0}));
}

TEST_F(SegmentTest, AReaderWhoMapsTheNameSeesWhatIsWritten) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  segment->memory()[12345] = std::byte{42};
  const int fd = ::shm_open(("/" + options.name).c_str(), O_RDONLY, 0);
  ASSERT_GE(fd, 0);
  std::byte read{};
  EXPECT_EQ(::pread(fd, &read, 1, 12345), 1);
  EXPECT_EQ(read, std::byte{42});
  ::close(fd);
}

TEST_F(SegmentTest, HasTheModeAskedForWhateverTheUmask) {
  for (const mode_t mode : {0600u, 0640u, 0666u, 0400u}) {
    for (const mode_t mask : {0u, 022u, 0777u}) {
      options.mode = mode;
      const mode_t before = ::umask(mask);
      const auto segment = Segment::create(options);
      ::umask(before);
      ASSERT_TRUE(segment) << segment.error().message;
      EXPECT_EQ(status_of(path)->st_mode & 07777, mode) << std::oct << mode << " under " << mask;
    }
  }
}

TEST_F(SegmentTest, IsWhollyReservedAtOnce) {
  options.size = 8 * mib;
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  EXPECT_GE(static_cast<std::uint64_t>(status_of(path)->st_blocks) * 512, options.size);
}

std::uint64_t reserved_bytes(const std::string& path) {
  return static_cast<std::uint64_t>(status_of(path)->st_blocks) * 512;
}

TEST_F(SegmentTest, ReservedOnUseTakesWhatIsAskedForAndKeepsIt) {
  options.size = 8 * mib;
  options.reserve_unit = mib;
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_EQ(status_of(path)->st_size, static_cast<off_t>(options.size));
  EXPECT_EQ(reserved_bytes(path), 0u);
  const auto memory = segment->mapping();
  EXPECT_TRUE(memory->back(3 * mib, mib));
  EXPECT_EQ(reserved_bytes(path), mib);
  EXPECT_TRUE(memory->back(3 * mib, mib));
  EXPECT_EQ(reserved_bytes(path), mib);
  EXPECT_TRUE(memory->back(2 * mib, 3 * mib)) << "with one in the middle that is there";
  EXPECT_EQ(reserved_bytes(path), 3 * mib);
  EXPECT_TRUE(memory->back(0, options.size));
  EXPECT_EQ(reserved_bytes(path), options.size);
}

TEST_F(SegmentTest, ReservedOnUseBeginsAnewWhenItIsRenewedUnlessAskedForWhole) {
  options.reserve_unit = 4096;
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  EXPECT_TRUE(segment->mapping()->back(0, options.size));
  ASSERT_TRUE(segment->renew());
  EXPECT_EQ(reserved_bytes(path), 0u);
  EXPECT_TRUE(segment->mapping()->back(0, options.size));
  EXPECT_EQ(reserved_bytes(path), options.size);
  ASSERT_TRUE(segment->renew(true));
  EXPECT_EQ(reserved_bytes(path), options.size);
}

TEST_F(SegmentTest, ReservedOnUseIsRefusedWhereThereIsNoRoomForAllOfIt) {
  struct statvfs shm {};
  ASSERT_EQ(::statvfs("/dev/shm", &shm), 0);
  if (shm.f_blocks == 0) GTEST_SKIP() << "/dev/shm has no limit here";
  options.size = (shm.f_blocks + 1) * shm.f_frsize;
  options.reserve_unit = mib;
  const auto segment = Segment::create(options);
  ASSERT_FALSE(segment);
  EXPECT_THAT(segment.error().message,
              AllOf(HasSubstr(std::to_string(options.size)), HasSubstr("enlarge it")));
}

TEST_F(SegmentTest, ReservedOnUseTellsWhenTheRoomIsGone) {
  options.reserve_unit = 64 << 10;
  const auto outcome = with_small_shm(2 * mib, [&] {
    const auto segment = Segment::create(options);
    const auto memory = segment->mapping();
    const bool first = memory->back(0, options.size / 2);
    std::ofstream("/dev/shm/other") << std::string(mib + 4096, 'x');
    const bool second = memory->back(0, options.size);
    std::ranges::fill(memory->bytes().first(options.size / 2), std::byte{1});  // no SIGBUS
    std::filesystem::remove("/dev/shm/other");
    const bool third = memory->back(0, options.size);
    return first && !second && third ? 0 : 1;
  });
  if (!outcome) GTEST_SKIP() << "this process may not mount a /dev/shm of its own";
  EXPECT_EQ(*outcome, 0);
}

TEST_F(SegmentTest, HasEveryPageMappedWhenPrefaulted) {
  for (const bool prefault : {false, true}) {
    options.prefault = prefault;
    const auto segment = Segment::create(options);
    ASSERT_TRUE(segment);
    EXPECT_EQ(mapped_pages(segment->memory()), prefault ? options.size / 4096 : 0u);
  }
}

TEST_F(SegmentTest, IsGoneAtTheEndAndLeavesNoDescriptor) {
  const auto descriptors = open_descriptors();
  {
    const auto segment = Segment::create(options);
    ASSERT_TRUE(segment);
    EXPECT_TRUE(status_of(owner_path));
  }
  EXPECT_FALSE(status_of(path));
  EXPECT_FALSE(status_of(owner_path));
  EXPECT_EQ(open_descriptors(), descriptors);
}

TEST_F(SegmentTest, BelongsToWhereItWasMovedTo) {
  std::optional<Segment> target;
  {
    auto segment = Segment::create(options);
    ASSERT_TRUE(segment);
    target.emplace(std::move(*segment));
  }
  EXPECT_TRUE(status_of(path));
  EXPECT_EQ(target->memory().size(), options.size);
  target->memory()[0] = std::byte{1};

  SegmentOptions other = options;
  other.name += "_other";
  auto assigned = Segment::create(other);
  ASSERT_TRUE(assigned);
  *assigned = std::move(*target);
  target.reset();
  EXPECT_TRUE(status_of(path));
  EXPECT_FALSE(status_of(path + "_other"));
  EXPECT_EQ(assigned->name(), options.name);
  EXPECT_EQ(assigned->memory()[0], std::byte{1});
}

TEST_F(SegmentTest, TwoOfDifferentNamesDoNotDisturbEachOther) {
  const auto one = Segment::create(options);
  SegmentOptions other = options;
  other.name += "_other";
  {
    const auto two = Segment::create(other);
    ASSERT_TRUE(one && two);
    one->memory()[0] = std::byte{1};
    two->memory()[0] = std::byte{2};
    EXPECT_EQ(one->memory()[0], std::byte{1});
  }
  EXPECT_TRUE(status_of(path));
  EXPECT_TRUE(status_of(owner_path));
}

// --- Names that are taken -----------------------------------------------------------------------

TEST_F(SegmentTest, IsRefusedWhileAnotherLiveOneInThisProcessHasTheName) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  const auto inode = status_of(path)->st_ino;
  for (const bool replace : {false, true}) {
    options.replace = replace;
    const auto descriptors = open_descriptors();
    const auto second = Segment::create(options);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::segment_in_use);
    EXPECT_THAT(second.error().message,
                AllOf(HasSubstr(options.name), HasSubstr(std::to_string(::getpid()))));
    EXPECT_EQ(open_descriptors(), descriptors);
  }
  EXPECT_EQ(status_of(path)->st_ino, inode);
  EXPECT_TRUE(status_of(owner_path));
}

TEST_F(SegmentTest, IsRefusedToAnotherProcessWhileThisOneHasTheName) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  for (const bool replace : {false, true}) {
    options.replace = replace;
    Child child([this](const Child&) {
      const auto second = Segment::create(options);
      return !second && second.error().code == ErrorCode::segment_in_use ? 0 : 1;
    });
    EXPECT_EQ(child.wait(), 0);
  }
  EXPECT_TRUE(status_of(path));
}

TEST_F(SegmentTest, IsRefusedWhileAnotherProcessHasTheName) {
  {
    Child owner([this](const Child& self) {
      const auto segment = Segment::create(options);
      return self.stay(segment ? 'y' : 'n');
    });
    ASSERT_EQ(owner.verdict(), 'y');
    for (const bool replace : {false, true}) {
      options.replace = replace;
      const auto second = Segment::create(options);
      ASSERT_FALSE(second);
      EXPECT_EQ(second.error().code, ErrorCode::segment_in_use);
      EXPECT_THAT(second.error().message, HasSubstr(std::to_string(owner.pid())));
    }
    EXPECT_TRUE(status_of(path));
  }
  EXPECT_TRUE(Segment::create(options));  // clears away what the killed owner left
}

TEST_F(SegmentTest, ThatIsStaleAfterItsOwnerWasKilledIsTakenOver) {
  Child owner([this](const Child& self) {
    const auto segment = Segment::create(options);
    if (!segment) return self.stay('n');
    segment->memory()[0] = std::byte{42};
    return self.stay('y');
  });
  ASSERT_EQ(owner.verdict(), 'y');
  owner.kill();
  const auto stale = status_of(path);
  ASSERT_TRUE(stale) << "SIGKILL cannot be caught, so the segment must still be there";

  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_NE(status_of(path)->st_ino, stale->st_ino) << "mapped clients notice by the inode";
  EXPECT_THAT(segment->memory(), Each(std::byte{0}));
}

TEST_F(SegmentTest, ThatWasHiddenWhenItsOwnerWasKilledIsTakenOver) {
  Child owner([this](const Child& self) {
    auto segment = Segment::create(options);
    return self.stay(segment && segment->hide() ? 'y' : 'n');
  });
  ASSERT_EQ(owner.verdict(), 'y');
  owner.kill();
  ASSERT_EQ(status_of(path)->st_size, 0);
  ASSERT_TRUE(status_of(aside_path));
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_FALSE(status_of(aside_path));
}

TEST_F(SegmentTest, ThatIsHiddenLeavesAnEmptyFileInItsPlaceUntilItIsShown) {
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  ASSERT_TRUE(segment->hide());
  EXPECT_EQ(status_of(path)->st_size, 0);
  EXPECT_FALSE(segment->linked());
  ASSERT_TRUE(segment->hide()) << "once more changes nothing";
  segment->show();
  EXPECT_TRUE(segment->linked());
  ASSERT_TRUE(segment->hide());
  ASSERT_TRUE(segment->renew()) << "a restart meanwhile";
  EXPECT_TRUE(segment->linked());
  ASSERT_TRUE(segment->hide());
}

TEST_F(SegmentTest, ThatNoEmulatorMadeIsRefused) {
  const auto foreign = make_foreign_segment();
  const auto descriptors = open_descriptors();
  const auto segment = Segment::create(options);
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, ErrorCode::segment_in_use);
  EXPECT_THAT(segment.error().message,
              AllOf(HasSubstr(path), HasSubstr("--replace-segment"), Not(HasSubstr("\n"))));
  ASSERT_TRUE(status_of(path));
  EXPECT_EQ(status_of(path)->st_ino, foreign);
  EXPECT_FALSE(status_of(owner_path));
  EXPECT_EQ(open_descriptors(), descriptors);
  ::unlink(path.c_str());
}

TEST_F(SegmentTest, ThatNoEmulatorMadeIsTakenOverWhenToldTo) {
  const auto foreign = make_foreign_segment();
  options.replace = true;
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_NE(status_of(path)->st_ino, foreign);
  EXPECT_EQ(status_of(path)->st_size, static_cast<off_t>(options.size));
}

TEST_F(SegmentTest, ThatSomebodyPutInPlaceOfADeadOwnersIsRefused) {
  Child owner([this](const Child& self) {
    const auto segment = Segment::create(options);
    return self.stay(segment ? 'y' : 'n');
  });
  ASSERT_EQ(owner.verdict(), 'y');
  owner.kill();
  ::unlink(path.c_str());
  const auto foreign = make_foreign_segment();
  EXPECT_FALSE(Segment::create(options));
  EXPECT_EQ(status_of(path)->st_ino, foreign);
  ::unlink(path.c_str());
}

TEST_F(SegmentTest, OfManyWhoWantOneNameOneGetsIt) {
  constexpr int threads = 4, rounds = 50;
  options.size = 4096;
  std::atomic<int> owners{0}, crowded{0}, surprised{0};
  std::vector<std::thread> contenders;
  for (int i = 0; i < threads; ++i) {
    contenders.emplace_back([&] {
      for (int got = 0; got < rounds;) {
        const auto segment = Segment::create(options);
        if (!segment) {
          if (segment.error().code != ErrorCode::segment_in_use) ++surprised;
          continue;
        }
        if (++owners > 1) ++crowded;
        ++got;
        --owners;
      }
    });
  }
  for (auto& contender : contenders) contender.join();
  EXPECT_EQ(crowded, 0);
  EXPECT_EQ(surprised, 0);
}

TEST_F(SegmentTest, ManyComeAndGoOnSeveralThreads) {
  constexpr int threads = 4, rounds = 100;
  options.size = 4096;
  std::atomic<int> failed{0};
  std::vector<std::thread> makers;
  for (int i = 0; i < threads; ++i) {
    makers.emplace_back([&, i] {
      SegmentOptions mine = options;
      mine.name += fmt::format("_{}", i);
      for (int round = 0; round < rounds; ++round) {
        if (!Segment::create(mine)) ++failed;
      }
    });
  }
  for (auto& maker : makers) maker.join();
  EXPECT_EQ(failed, 0);
}

TEST_F(SegmentTest, MayTakeAllOfTheRoomThereIs) {
  const auto outcome = with_small_shm(options.size, [&] {
    const auto segment = Segment::create(options);
    if (!segment) return 1;
    std::ranges::fill(segment->memory(), std::byte{1});
    return 0;
  });
  if (!outcome) GTEST_SKIP() << "this process may not mount a /dev/shm of its own";
  EXPECT_EQ(*outcome, 0);
}

// --- Renewal ------------------------------------------------------------------------------------

TEST_F(SegmentTest, RenewedIsAnotherInodeUnderTheSameName) {
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  segment->memory()[0] = std::byte{1};
  const auto former = segment->mapping();
  const ino_t before = segment->inode();
  ASSERT_TRUE(segment->renew());
  EXPECT_NE(segment->inode(), before);
  EXPECT_EQ(status_of(path)->st_ino, segment->inode());
  EXPECT_THAT(segment->memory(), Each(std::byte{0}));
  EXPECT_EQ(former->bytes()[0], std::byte{1}) << "who has mapped the former one still reads it";
}

TEST_F(SegmentTest, RenewedGetsItsNameBackWhenSomebodyRemovedIt) {
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  ::unlink(path.c_str());
  ASSERT_FALSE(segment->linked());
  ASSERT_TRUE(segment->renew());
  EXPECT_TRUE(segment->linked());
}

TEST_F(SegmentTest, RenewedWhereThereIsNoRoomForASecondOneChangesNothing) {
  const auto outcome = with_small_shm(options.size * 3 / 2, [&] {
    auto segment = Segment::create(options);
    if (!segment) return 1;
    segment->memory()[0] = std::byte{42};
    const ino_t before = segment->inode();
    const auto renewed = segment->renew();
    if (renewed || renewed.error().code != ErrorCode::segment_unusable) return 2;
    if (renewed.error().message.find("lower the capacity") == std::string::npos) return 3;
    const bool kept = segment->linked() && segment->inode() == before && segment->intact() &&
                      segment->memory()[0] == std::byte{42};
    return kept && !status_of(coming_path) && !status_of(aside_path) ? 0 : 4;
  });
  if (!outcome) GTEST_SKIP() << "this process may not mount a /dev/shm of its own";
  EXPECT_EQ(*outcome, 0);
}

TEST_F(SegmentTest, RenewedLeavesASegmentThatSomebodyPutInItsPlace) {
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  ::unlink(path.c_str());
  const auto foreign = make_foreign_segment();
  const auto renewed = segment->renew();
  ASSERT_FALSE(renewed);
  EXPECT_EQ(renewed.error().code, ErrorCode::segment_in_use);
  EXPECT_EQ(status_of(path)->st_ino, foreign);
  ::unlink(path.c_str());
}

TEST_F(SegmentTest, ShownLeavesASegmentThatSomebodyPutInItsPlace) {
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  ASSERT_TRUE(segment->hide());
  ::unlink(path.c_str());
  const auto foreign = make_foreign_segment();
  segment->show();
  EXPECT_EQ(status_of(path)->st_ino, foreign);
  EXPECT_FALSE(segment->linked());
  ::unlink(path.c_str());
}

TEST_F(SegmentTest, TellsWhenSomebodyTruncatedIt) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  EXPECT_TRUE(segment->intact());
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  EXPECT_FALSE(segment->intact());
}

// --- What a killed owner left -------------------------------------------------------------------

TEST_F(SegmentTest, ThatWasBeingReplacedWhenItsOwnerWasKilledIsClearedAway) {
  // As it is after renew() has set the former one aside, and before the new one has its name.
  Child owner([this](const Child& self) {
    const auto segment = Segment::create(options);
    const bool ready = segment && ::rename(path.c_str(), aside_path.c_str()) == 0 &&
                       std::ofstream(coming_path).good();
    return self.stay(ready ? 'y' : 'n');
  });
  ASSERT_EQ(owner.verdict(), 'y');
  owner.kill();
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_FALSE(status_of(aside_path));
  EXPECT_FALSE(status_of(coming_path));
}

TEST_F(SegmentTest, AbandonedByAKilledProcessIsRemovedByWhoeverStartsNext) {
  take_name(temporary_prefix);
  Child owner([this](const Child& self) {
    auto segment = Segment::create(options);
    return self.stay(segment && segment->hide() ? 'y' : 'n');
  });
  ASSERT_EQ(owner.verdict(), 'y');
  EXPECT_THAT(remove_abandoned_segments(), Not(testing::Contains(options.name)))
      << "a live owner's is left alone";
  EXPECT_TRUE(status_of(path));
  owner.kill();
  remove_abandoned_segments();  // the destructor looks for what is left
}

TEST_F(SegmentTest, OfANameThatIsNotTemporaryIsLeftForWhoeverAsksForItAgain) {
  Child owner([this](const Child& self) {
    const auto segment = Segment::create(options);
    return self.stay(segment ? 'y' : 'n');
  });
  ASSERT_EQ(owner.verdict(), 'y');
  owner.kill();
  remove_abandoned_segments();
  EXPECT_TRUE(status_of(path));
  EXPECT_TRUE(Segment::create(options));
}

TEST_F(SegmentTest, BeingMadeIsNotTakenForAnAbandonedOne) {
  constexpr int rounds = 50;
  take_name(temporary_prefix);
  options.size = 4096;
  std::atomic<bool> done{false};
  std::atomic<int> failed{0};
  std::vector<std::thread> sweepers;
  for (int i = 0; i < 2; ++i) {
    sweepers.emplace_back([&] {
      while (!done) remove_abandoned_segments();
    });
  }
  for (int round = 0; round < rounds; ++round) {
    const auto segment = Segment::create(options);
    if (!segment || !segment->linked()) ++failed;
  }
  done = true;
  for (auto& sweeper : sweepers) sweeper.join();
  EXPECT_EQ(failed, 0);
}

// --- Files of others ----------------------------------------------------------------------------

/// A user who is neither root nor the one who runs this test.
constexpr uid_t stranger = 65534;

TEST_F(SegmentTest, AnOwnerFileOfAnotherUserTellsNothingOfASegment) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make another user's file";
  for (const bool replace : {false, true}) {
    const auto root_segment = make_foreign_segment();
    // As if they had made the segment that is there, and had died.
    std::ofstream(owner_path) << "";
    ASSERT_EQ(::truncate(owner_path.c_str(), static_cast<off_t>(root_segment)), 0);
    ASSERT_EQ(::chown(owner_path.c_str(), stranger, stranger), 0);
    options.replace = replace;
    const auto segment = Segment::create(options);
    ASSERT_EQ(segment.has_value(), replace);
    if (!replace) {
      EXPECT_EQ(segment.error().code, ErrorCode::segment_in_use);
      EXPECT_THAT(segment.error().message, AllOf(HasSubstr("uid 65534"), HasSubstr(owner_path),
                                                 HasSubstr("--replace-segment")));
      EXPECT_EQ(status_of(path)->st_ino, root_segment);
      ::unlink(path.c_str());
      ::unlink(owner_path.c_str());
    }
  }
}

TEST_F(SegmentTest, AnOwnerFileOfAnotherUserDoesNotBlockAStartWhereNoSegmentIs) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make another user's file";
  const int held = ::open(owner_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  ASSERT_GE(held, 0);
  ASSERT_EQ(::fchown(held, stranger, stranger), 0);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  const auto segment = Segment::create(options);
  EXPECT_TRUE(segment) << segment.error().message;
  ::close(held);
}

/// fs.protected_regular while it lives: where it is not 0, nobody, not even root, may open another
/// user's file in /dev/shm with O_CREAT.
class ProtectedRegular {
 public:
  explicit ProtectedRegular(char value) {
    std::ifstream(sysctl) >> before_;
    set_ = before_ != '\0' && write(value);
  }
  ~ProtectedRegular() {
    if (set_) write(before_);
  }
  ProtectedRegular(const ProtectedRegular&) = delete;
  ProtectedRegular& operator=(const ProtectedRegular&) = delete;
  bool is_set() const { return set_; }

 private:
  static constexpr const char* sysctl = "/proc/sys/fs/protected_regular";

  static bool write(char value) {
    std::ofstream file(sysctl);
    file << value << std::flush;
    char now = '\0';
    return file.good() && std::ifstream(sysctl) >> now && now == value;
  }

  char before_ = '\0';
  bool set_ = false;
};

class SegmentOfAnotherUserTest : public SegmentTest, public testing::WithParamInterface<char> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can make another user's file";
    protection_.emplace(GetParam());
    if (!protection_->is_set()) GTEST_SKIP() << "fs.protected_regular cannot be set here";
  }

  /// A file of `size` bytes that belongs to `user`.
  static void make_file(const std::string& at, uid_t user, ino_t size = 0) {
    std::ofstream(at) << "";
    ASSERT_EQ(::truncate(at.c_str(), static_cast<off_t>(size)), 0);
    ASSERT_EQ(::chown(at.c_str(), user, user), 0);
  }

  /// What a process of `stranger` is told that wants the name; empty if it gets it.
  std::string told_to_stranger() const {
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    Child child([&](const Child&) {
      if (::setgid(stranger) != 0 || ::setuid(stranger) != 0) return 1;
      const auto segment = Segment::create(options);
      const std::string text = segment ? "" : segment.error().message;
      return ::write(pipe[1], text.data(), text.size()) < 0 ? 2 : 0;
    });
    EXPECT_EQ(child.wait(), 0);
    ::close(pipe[1]);
    std::string text(4096, '\0');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(pipe[0], text.data(), 4096), 0)));
    ::close(pipe[0]);
    return text;
  }

 private:
  std::optional<ProtectedRegular> protection_;
};

INSTANTIATE_TEST_SUITE_P(ProtectedRegular, SegmentOfAnotherUserTest,
                         testing::Values('0', '1', '2'));

TEST_P(SegmentOfAnotherUserTest, TheirOwnerFileAloneDoesNotKeepRootFromTheName) {
  make_file(owner_path, stranger);
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_EQ(status_of(owner_path)->st_uid, 0u);
}

TEST_P(SegmentOfAnotherUserTest, TheirSegmentIsTakenByRootOnlyWhenToldTo) {
  make_file(path, stranger, mib);
  make_file(owner_path, stranger, status_of(path)->st_ino);
  const auto refused = Segment::create(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::segment_in_use);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("uid 65534"), HasSubstr("--replace-segment")));
  EXPECT_EQ(status_of(path)->st_uid, stranger);
  options.replace = true;
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_EQ(status_of(path)->st_uid, 0u);
  EXPECT_EQ(status_of(owner_path)->st_uid, 0u);
}

TEST_P(SegmentOfAnotherUserTest, TheirLiveOneIsNotTakenByRootWhateverItIsTold) {
  make_file(path, stranger, mib);
  make_file(owner_path, stranger, status_of(path)->st_ino);
  const ino_t theirs = status_of(path)->st_ino;
  const base::FileDescriptor held(::open(owner_path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
  options.replace = true;
  const auto refused = Segment::create(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::segment_in_use);
  EXPECT_THAT(refused.error().message,
              HasSubstr(fmt::format("is in use by process {}", ::getpid())));
  EXPECT_EQ(status_of(path)->st_ino, theirs);
  EXPECT_EQ(status_of(owner_path)->st_uid, stranger);
  ::unlink(path.c_str());
  ::unlink(owner_path.c_str());
}

TEST_P(SegmentOfAnotherUserTest, ALiveOneOfRootIsNotTakenByAnybodyElse) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_THAT(told_to_stranger(), AllOf(HasSubstr("uid 0"), HasSubstr(path)));
  options.replace = true;
  EXPECT_THAT(told_to_stranger(), AllOf(HasSubstr("uid 0"), HasSubstr("cannot be removed"),
                                        HasSubstr("another segment name")));
  EXPECT_TRUE(segment->linked());
}

TEST_P(SegmentOfAnotherUserTest, WhatCannotBeRemovedIsNamedWithItsOwner) {
  for (const std::string& left : {path, owner_path, aside_path, coming_path}) {
    for (const bool replace : {false, true}) {
      make_file(left, 0);
      options.replace = replace;
      const std::string told = told_to_stranger();
      ::unlink(left.c_str());
      if (left == aside_path) {
        EXPECT_EQ(told, "") << "nothing is set aside at a start";
      } else {
        EXPECT_THAT(told, AllOf(HasSubstr(left), ContainsRegex("another (segment )?name")))
            << replace;
      }
      EXPECT_FALSE(status_of(owner_path));
    }
  }
}

TEST_F(SegmentTest, AnOwnerFileThatIsALinkIsNotWrittenThrough) {
  const std::string victim = testing::TempDir() + options.name + ".victim";
  std::ofstream(victim) << "precious";
  ASSERT_EQ(::symlink(victim.c_str(), owner_path.c_str()), 0);
  {
    const auto segment = Segment::create(options);
    ASSERT_TRUE(segment) << segment.error().message;
    EXPECT_TRUE(S_ISREG(status_of(owner_path)->st_mode));
  }
  EXPECT_EQ(std::filesystem::file_size(victim), 8u);
  std::filesystem::remove(victim);

  const std::string other_name = "/dev/shm/" + options.name + ".victim";
  std::ofstream(other_name) << "precious";
  ASSERT_EQ(::link(other_name.c_str(), owner_path.c_str()), 0);
  {
    const auto segment = Segment::create(options);
    ASSERT_TRUE(segment) << segment.error().message;
  }
  EXPECT_EQ(std::filesystem::file_size(other_name), 8u);
  std::filesystem::remove(other_name);
}

TEST_F(SegmentTest, ADirectoryInTheWayIsNamedAsOne) {
  for (const bool replace : {false, true}) {
    for (const std::string& in_the_way : {path, owner_path}) {
      ASSERT_EQ(::mkdir(in_the_way.c_str(), 0700), 0);
      options.replace = replace;
      const auto segment = Segment::create(options);
      ASSERT_FALSE(segment);
      EXPECT_THAT(segment.error().message, HasSubstr(in_the_way));
      EXPECT_THAT(segment.error().message, ContainsRegex("directory"));
      ::rmdir(in_the_way.c_str());
    }
  }
}

// --- What must not be removed -------------------------------------------------------------------

TEST_F(SegmentTest, IsNotRemovedWhenSomebodyElseReplacedIt) {
  ino_t foreign = 0;
  {
    const auto segment = Segment::create(options);
    ASSERT_TRUE(segment);
    ::unlink(path.c_str());
    foreign = make_foreign_segment();
  }
  ASSERT_TRUE(status_of(path));
  EXPECT_EQ(status_of(path)->st_ino, foreign);
  ::unlink(path.c_str());
}

TEST_F(SegmentTest, ThatSomebodyUnlinkedServesOnAndEndsQuietly) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  ::unlink(path.c_str());
  segment->memory()[0] = std::byte{1};
  EXPECT_EQ(segment->memory()[0], std::byte{1});
}

TEST_F(SegmentTest, ThatLostItsOwnerFileSparesItsSuccessors) {
  std::optional<Segment> successor;
  {
    const auto segment = Segment::create(options);
    ASSERT_TRUE(segment);
    ::unlink(owner_path.c_str());
    options.replace = true;
    auto taken = Segment::create(options);
    ASSERT_TRUE(taken) << taken.error().message;
    successor.emplace(std::move(*taken));
  }
  EXPECT_TRUE(status_of(path));
  EXPECT_TRUE(status_of(owner_path));
  EXPECT_FALSE(Segment::create(options)) << "a live owner is never robbed";
}

TEST_F(SegmentTest, AForkedProcessThatEndsDoesNotRemoveItsParents) {
  auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  Child child([&](const Child&) {
    { const Segment copied_by_fork = std::move(*segment); }
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(status_of(path));
  EXPECT_TRUE(status_of(owner_path));
}

TEST_F(SegmentTest, AForkedProcessThatCrashesDoesNotRemoveItsParents) {
  const auto segment = Segment::create(options);
  ASSERT_TRUE(segment);
  Child child([](const Child&) {
    remove_listed_segments();
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(status_of(path));
  EXPECT_TRUE(status_of(owner_path));
}

// --- Failure ------------------------------------------------------------------------------------

TEST_F(SegmentTest, ThatDoesNotFitIsOneClearErrorAndLeavesNothing) {
  struct statvfs shm {};
  ASSERT_EQ(::statvfs("/dev/shm", &shm), 0);
  options.size = static_cast<std::uint64_t>(shm.f_blocks) * shm.f_frsize + mib;
  const auto descriptors = open_descriptors();
  const auto segment = Segment::create(options);
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, ErrorCode::segment_unusable);
  EXPECT_THAT(segment.error().message,
              AllOf(HasSubstr(std::to_string(options.size)), HasSubstr(options.name),
                    ContainsRegex("/dev/shm has [0-9]+ bytes free"),
                    HasSubstr("lower the capacity"), Not(HasSubstr("\n"))));
  EXPECT_FALSE(status_of(path));
  EXPECT_FALSE(status_of(owner_path));
  EXPECT_EQ(open_descriptors(), descriptors);
  options.size = mib;
  EXPECT_TRUE(Segment::create(options)) << "the name is free again";
}

TEST_F(SegmentTest, WhoseNameTheSystemRefusesIsAnError) {
  options.name = "no/such/directory";
  const auto segment = Segment::create(options);
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, ErrorCode::segment_unusable);
  EXPECT_THAT(segment.error().message, HasSubstr(options.name));
}

void die_of_abort_with(const SegmentOptions& options) {
  std::signal(SIGABRT, [](int) {
    remove_listed_segments();
    std::signal(SIGABRT, SIG_DFL);
    std::raise(SIGABRT);
  });
  SegmentOptions other = options;
  other.name += "_other";
  const auto one = Segment::create(options);
  auto two = Segment::create(other);
  if (two && !two->hide()) return;
  { const auto ended = Segment::create({.name = options.name + "_ended", .size = mib}); }
  if (one && two) std::abort();
}

using SegmentDeathTest = SegmentTest;

TEST_F(SegmentDeathTest, ACrashThatCallsUnlinkAllLeavesNoSegment) {
  EXPECT_EXIT(die_of_abort_with(options), testing::KilledBySignal(SIGABRT), "");
  for (const std::string suffix : {"", "_other", "_ended"}) {
    EXPECT_FALSE(status_of(path + suffix)) << suffix;
    EXPECT_FALSE(status_of("/dev/shm/." + options.name + suffix + ".owner")) << suffix;
    EXPECT_FALSE(status_of("/dev/shm/." + options.name + suffix + ".aside")) << suffix;
  }
}

TEST_F(SegmentDeathTest, ACrashSparesASegmentThatSomebodyElsePutInItsPlace) {
  EXPECT_EXIT(
      {
        const auto segment = Segment::create(options);
        ::unlink(path.c_str());
        make_foreign_segment();
        remove_listed_segments();
        std::raise(SIGKILL);
      },
      testing::KilledBySignal(SIGKILL), "");
  EXPECT_TRUE(status_of(path));
  ::unlink(path.c_str());
}

// --- Signals ------------------------------------------------------------------------------------

TEST_F(SegmentDeathTest, ASignalThatEndsTheProcessRemovesItsSegments) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM, SIGABRT}) {
    EXPECT_EXIT(
        {
          std::signal(signal, SIG_DFL);
          remove_segments_on(std::array{signal}, Replace::defaults);
          const auto segment = Segment::create(options);
          std::raise(signal);
        },
        testing::KilledBySignal(signal), "");
    EXPECT_FALSE(status_of(path)) << signal;
  }
}

TEST_F(SegmentDeathTest, ASignalThatIsIgnoredOrHandledIsLeftAlone) {
  EXPECT_EXIT(
      {
        std::signal(SIGHUP, SIG_IGN);
        std::signal(SIGUSR1, [](int) {});
        remove_segments_on(std::array{SIGHUP, SIGUSR1}, Replace::defaults);
        const auto segment = Segment::create(options);
        std::raise(SIGHUP);
        std::raise(SIGUSR1);
        std::_Exit(segment && segment->linked() ? 7 : 8);
      },
      testing::ExitedWithCode(7), "");
  ::unlink(path.c_str());
  ::unlink(owner_path.c_str());
}

TEST_F(SegmentDeathTest, AFormerHandlerEndsTheProcessWhereItIsToBeCalled) {
  EXPECT_EXIT(
      {
        std::signal(SIGUSR1, [](int) { ::_exit(9); });
        remove_segments_on(std::array{SIGUSR1}, Replace::defaults_handlers);
        const auto segment = Segment::create(options);
        std::raise(SIGUSR1);
      },
      testing::ExitedWithCode(9), "");
  EXPECT_FALSE(status_of(path));
}

TEST_F(SegmentDeathTest, ATruncatedSegmentIsNamedAsItEndsTheProcess) {
  EXPECT_EXIT(
      {
        std::signal(SIGBUS, SIG_DFL);
        remove_segments_on(std::array{SIGBUS}, Replace::defaults);
        const auto segment = Segment::create(options);
        [[maybe_unused]] const int cut = ::truncate(path.c_str(), 0);
        segment->memory()[4096] = std::byte{1};
      },
      testing::KilledBySignal(SIGBUS), "another process has truncated it");
  EXPECT_FALSE(status_of(path));
}

}  // namespace
}  // namespace hyperpod::emulator::core::segment_test
