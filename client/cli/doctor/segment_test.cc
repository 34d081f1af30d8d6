// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>

#include "cli/doctor/checks.h"
#include "cli/doctor/holders.h"
#include "cli/doctor/test_support.h"
#include "testing/test_segment.h"

namespace hyperpod::client::cli::doctor::segment_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint64_t mebibyte = 1ull << 20;

// True if `check` returned true in a process of its own.
bool in_child(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool make_mounts_its_own() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

struct Checked {
  SegmentLook look;
  Report report;
};

// A folder on a tmpfs in the place of /dev/shm, on a machine of its own unless a test says
// otherwise.
class SegmentCheckTest : public ::testing::Test {
 protected:
  SegmentCheckTest() {
    machine_.shm_directory = shm_.path();
    machine_.proc = proc_.path();
    machine_.session_manager = {logind_.path(), logind_.path("seats")};
    use_mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:23 / " + shm_.path() +
               " rw - tmpfs tmpfs rw\n");
  }

  void use_mounts(const std::string& text) { machine_.mountinfo = proc_.write("mountinfo", text); }

  void use_container_mounts(const std::string& shm_mount) {
    use_mounts("1 0 0:50 / / rw - overlay overlay rw\n" + shm_mount);
  }

  Checked check(bool daemon_responds = false) const {
    Checked checked;
    checked.look = check_segment(machine_, "shared_memory", daemon_responds, checked.report);
    return checked;
  }

  const TestFolder shm_{"/dev/shm"};
  const TestFolder proc_;
  const TestFolder logind_;
  Machine machine_ = machine_with();
};

TEST_F(SegmentCheckTest, DescribesASegmentThatCanBeRead) {
  shm_.write("shared_memory", std::string(2 * mebibyte, 'x'));
  const auto checked = check();
  EXPECT_THAT(remarks(checked.report), IsEmpty());
  EXPECT_TRUE(checked.look.identity);
  EXPECT_TRUE(checked.look.exposed);
  const auto segment = found(checked.report, "segment");
  EXPECT_EQ(segment.details["bytes"], 2 * mebibyte);
  EXPECT_EQ(segment.details["uid"], geteuid());
  EXPECT_THAT(found(checked.report, "mount-host").text, HasSubstr(shm_.path()));
  EXPECT_EQ(found(checked.report, "shm-room").details["reserved"], 2 * mebibyte);
}

TEST_F(SegmentCheckTest, MissesTheSegment) {
  const auto checked = check();
  EXPECT_FALSE(checked.look.identity);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem segment-missing"));
  EXPECT_THAT(found(checked.report, "segment-missing").remedy,
              AllOf(HasSubstr("rollout restart"), Not(HasSubstr("subPath"))));
}

TEST_F(SegmentCheckTest, TellsAContainerToMountWhatItMisses) {
  use_container_mounts("2 1 0:60 / " + shm_.path() + " rw - tmpfs shm rw,size=65536k\n");
  const auto checked = check();
  EXPECT_FALSE(checked.look.exposed);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem segment-missing"));
  EXPECT_THAT(found(checked.report, "segment-missing").remedy, HasSubstr("subPath: shared_memory"));
}

TEST_F(SegmentCheckTest, SeesTheSegmentUnderAnotherName) {
  shm_.write_sparse("ai_toolkit_cache", mebibyte);
  shm_.write_sparse("sem.something", mebibyte);
  shm_.write_sparse("psm_12345678", mebibyte);
  shm_.write_sparse("nccl-abcdef", mebibyte);
  shm_.write_sparse(".shared_memory.owner", mebibyte);
  shm_.write("small", "x");
  std::filesystem::create_directory(shm_.path("folder"));
  const auto checked = check();
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem segment-other-name"));
  const auto finding = found(checked.report, "segment-other-name");
  EXPECT_EQ(finding.details["candidates"], nlohmann::json::array({"ai_toolkit_cache"}));
  EXPECT_THAT(finding.text, HasSubstr("ai_toolkit_cache (1 MiB, uid"));
  EXPECT_THAT(finding.remedy, HasSubstr("sagemaker_hyperpod_shared_memory_name: ai_toolkit_cache"));
}

TEST_F(SegmentCheckTest, TellsWhoseASegmentIsThatItMayNotRead) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  const auto path = shm_.write("shared_memory", std::string(mebibyte, 'x'));
  ASSERT_EQ(chown(path.c_str(), 1000, 1000), 0);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(chmod(shm_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(proc_.path().c_str(), 0755), 0);
  EXPECT_TRUE(in_child([&] {
    if (setresuid(65534, 65534, 65534) != 0) return false;
    const auto checked = check();
    const auto finding = found(checked.report, "segment-unreadable");
    return !checked.look.identity &&
           remarks(checked.report) == std::vector<std::string>{"problem segment-unreadable"} &&
           finding.details["uid"] == 1000 && finding.details["mode"] == 0600 &&
           finding.details["our_uid"] == 65534 &&
           finding.remedy.find("runAsUser: 1000") != std::string::npos;
  }));
}

TEST_F(SegmentCheckTest, FindsASegmentThatIsBeingMade) {
  shm_.write("shared_memory", "");
  const auto checked = check();
  EXPECT_FALSE(checked.look.identity);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem segment-empty"));
}

// What Kubernetes makes of a subPath that is not there.
TEST_F(SegmentCheckTest, FindsADirectoryInThePlaceOfTheFile) {
  std::filesystem::create_directory(shm_.path("shared_memory"));
  use_container_mounts("3 1 0:23 /shared_memory " + shm_.path("shared_memory") +
                       " rw - tmpfs tmpfs rw\n");
  const auto made_by_kubelet = check(true);
  EXPECT_FALSE(made_by_kubelet.look.identity);
  EXPECT_THAT(remarks(made_by_kubelet.report), ElementsAre("problem segment-directory"));
  EXPECT_THAT(found(made_by_kubelet.report, "segment-directory").remedy, HasSubstr("kubelet"));

  shm_.write("shared_memory/ai_toolkit_cache", "x");
  EXPECT_THAT(found(check().report, "segment-directory").remedy,
              HasSubstr("mountPath: /dev/shm/shared_memory"));
}

TEST_F(SegmentCheckTest, FindsWhoStillHasASegmentThatWasUnlinked) {
  proc_.write("1/maps",
              "55e0-55e1 r-xp 00000000 08:01 7 /usr/bin/init\n55e2-55e3 rw-p 00000000 00:00 0\n");
  proc_.write("4711/maps", "7f01-7f02 rw-s 00000000 00:17 9    /dev/shm/shared_memory (deleted)\n");
  proc_.write("4711/comm", "ai-toolkit\n");
  shm_.write_sparse("other_cache", mebibyte);
  const auto checked = check(true);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem segment-vanished"));
  const auto finding = found(checked.report, "segment-vanished");
  EXPECT_EQ(finding.details["pid"], "4711");
  EXPECT_THAT(finding.text, HasSubstr("process 4711 (ai-toolkit)"));
  EXPECT_THAT(finding.remedy, AllOf(HasSubstr("RemoveIPC"), HasSubstr("4234")));
}

TEST_F(SegmentCheckTest, FindsASegmentThatLiesInAContainer) {
  proc_.write("12/maps", "7f01-7f02 rw-s 00000000 00:17 9    /dev/shm/shared_memory\n");
  const auto checked = check(true);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem segment-elsewhere"));
  EXPECT_THAT(found(checked.report, "segment-elsewhere").remedy, HasSubstr("--ipc=host"));
}

TEST_F(SegmentCheckTest, SeesWhoMapsASegmentOfThisMachine) {
  std::optional<testing::TestSegment> segment(std::in_place,
                                              testing::TestSegment::unique_name("held"), 4096);
  const std::string name = segment->name();
  const auto ours = [&]() -> std::optional<bool> {
    for (const Holder& holder : find_holders("/proc", name)) {
      if (holder.pid == std::to_string(getpid())) return holder.unlinked;
    }
    return std::nullopt;
  };
  EXPECT_EQ(ours(), false);
  segment->unlink();
  EXPECT_EQ(ours(), true);
  segment.reset();
  EXPECT_EQ(ours(), std::nullopt);
}

// docker compose restart of the daemon's service alone.
TEST_F(SegmentCheckTest, TellsANeighbourOfARestartedContainerToRestart) {
  use_container_mounts("2 1 0:60 / " + shm_.path() + " rw - tmpfs shm rw,size=65536k\n");
  EXPECT_THAT(found(check(true).report, "segment-missing").remedy,
              HasSubstr("docker compose restart"));
  EXPECT_THAT(found(check(false).report, "segment-missing").remedy,
              Not(HasSubstr("docker compose restart")));
}

TEST_F(SegmentCheckTest, WarnsOfASessionManagerThatRemovesSegments) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to give a file away";
  const auto path = shm_.write("shared_memory", std::string(mebibyte, 'x'));
  ASSERT_EQ(chown(path.c_str(), 1000, 1000), 0);
  EXPECT_THAT(remarks(check().report), IsEmpty()) << "no logind runs";
  std::filesystem::create_directory(logind_.path("seats"));
  EXPECT_THAT(remarks(check().report), ElementsAre("warning remove-ipc"));
  logind_.write("logind.conf", "[Login]\n#RemoveIPC=no\n");
  EXPECT_THAT(remarks(check().report), ElementsAre("warning remove-ipc"));
  logind_.write("logind.conf", "[Login]\n RemoveIPC = no\n");
  EXPECT_THAT(remarks(check().report), IsEmpty());
  logind_.write("logind.conf.d/10.conf", "[Login]\nRemoveIPC=yes\n");
  EXPECT_THAT(remarks(check().report), ElementsAre("warning remove-ipc"));
  ASSERT_EQ(chown(path.c_str(), 999, 999), 0);
  EXPECT_THAT(remarks(check().report), IsEmpty()) << "a system user";
}

TEST_F(SegmentCheckTest, FindsALinkInThePlaceOfTheFile) {
  shm_.write("target", std::string(mebibyte, 'x'));
  std::filesystem::create_symlink(shm_.path("target"), shm_.path("shared_memory"));
  const auto checked = check();
  EXPECT_FALSE(checked.look.identity);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem segment-no-file"));
}

TEST_F(SegmentCheckTest, FindsAFileMountWhoseSegmentTheNodeHasLost) {
  if (!in_child(make_mounts_its_own)) GTEST_SKIP() << "needs root, to mount";
  const auto node = shm_.write("on_node", std::string(mebibyte, 'x'));
  const auto here = shm_.write("shared_memory", "");
  machine_.mountinfo = "/proc/self/mountinfo";
  EXPECT_TRUE(in_child([&] {
    if (!make_mounts_its_own() ||
        mount(node.c_str(), here.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      return false;
    }
    if (!remarks(check().report).empty() || check().look.exposed) return false;
    unlink(node.c_str());
    const auto checked = check();
    return !checked.look.identity &&
           remarks(checked.report) == std::vector<std::string>{"problem segment-unlinked"};
  }));
}

TEST_F(SegmentCheckTest, ApprovesOfTheOneFileMounted) {
  shm_.write("shared_memory", std::string(mebibyte, 'x'));
  use_container_mounts("2 1 0:60 / " + shm_.path() + " rw - tmpfs shm rw\n3 2 0:23 " +
                       "/shared_memory " + shm_.path("shared_memory") + " rw - tmpfs tmpfs rw\n");
  const auto checked = check();
  EXPECT_THAT(remarks(checked.report), IsEmpty());
  EXPECT_FALSE(checked.look.exposed);
  EXPECT_EQ(found(checked.report, "mount-file").details["root"], "/shared_memory");
}

TEST_F(SegmentCheckTest, WarnsOfAllOfDevShmMounted) {
  shm_.write("shared_memory", std::string(mebibyte, 'x'));
  use_container_mounts("2 1 0:23 / " + shm_.path() + " rw - tmpfs tmpfs rw\n");
  const auto checked = check();
  EXPECT_THAT(remarks(checked.report), ElementsAre("warning mount-directory"));
  EXPECT_TRUE(checked.look.identity);
  EXPECT_TRUE(checked.look.exposed);
  EXPECT_THAT(found(checked.report, "mount-directory").remedy,
              HasSubstr("mountPath: /dev/shm/shared_memory, subPath: shared_memory"));
}

TEST_F(SegmentCheckTest, TakesAPodForAContainerWhateverItsRoot) {
  shm_.write("shared_memory", std::string(mebibyte, 'x'));
  const auto mountinfo = machine_.mountinfo;
  const auto directory = machine_.shm_directory;
  machine_ = machine_with({{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}});
  machine_.mountinfo = mountinfo;
  machine_.shm_directory = directory;
  EXPECT_THAT(remarks(check().report), ElementsAre("warning mount-directory"));
}

TEST_F(SegmentCheckTest, SaysWhenMountsCannotBeTold) {
  shm_.write("shared_memory", std::string(mebibyte, 'x'));
  machine_.mountinfo = proc_.path("absent");
  EXPECT_THAT(remarks(check().report), ElementsAre("warning mount-unknown"));
}

TEST_F(SegmentCheckTest, FindsASegmentThatDevShmCannotHold) {
  struct statvfs filesystem {};
  ASSERT_EQ(statvfs(shm_.path().c_str(), &filesystem), 0);
  const std::uint64_t total = filesystem.f_blocks * filesystem.f_frsize;
  if (total == 0) GTEST_SKIP() << "/dev/shm has no bound";
  shm_.write_sparse("shared_memory", total + mebibyte);
  EXPECT_THAT(remarks(check().report), ElementsAre("problem shm-too-small"));

  // It fits by itself, but not beside what is there.
  shm_.write("other", std::string(mebibyte, 'x'));
  shm_.write_sparse("shared_memory", total);
  EXPECT_THAT(remarks(check().report), ElementsAre("warning shm-short"));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor::segment_test
