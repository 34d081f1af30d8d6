// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/mounts.h"

#include <gtest/gtest.h>

namespace hyperpod::client::cli::doctor {
namespace {

constexpr const char* pod =
    "1200 900 0:210 / / rw,relatime master:300 - overlay overlay rw,lowerdir=/a:/b\n"
    "1201 1200 0:215 / /proc rw,nosuid - proc proc rw\n"
    "1205 1204 0:190 / /dev/shm rw,nosuid,nodev shared:4 master:7 - tmpfs shm rw,size=65536k\n"
    "1206 1205 0:23 /ai_toolkit_cache /dev/shm/ai_toolkit_cache rw - tmpfs tmpfs rw\n"
    "no mount\n"
    "1207 1200 0:24 /a\\040b /mnt/with\\040blank rw - ext4 /dev/disk\\134x rw\n";

TEST(Mounts, AreReadWithTheirRootPointTypeAndSource) {
  const auto mounts = parse_mountinfo(pod);
  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_EQ(mounts[2], (Mount{"/", "/dev/shm", "tmpfs", "shm"}));
  EXPECT_EQ(mounts[3], (Mount{"/ai_toolkit_cache", "/dev/shm/ai_toolkit_cache", "tmpfs", "tmpfs"}));
  EXPECT_EQ(mounts[4], (Mount{"/a b", "/mnt/with blank", "ext4", "/dev/disk\\x"}));
  EXPECT_TRUE(parse_mountinfo("").empty());
}

TEST(Mounts, TheInnermostHoldsAPath) {
  const auto mounts = parse_mountinfo(pod);
  EXPECT_EQ(mount_of(mounts, "/dev/shm/ai_toolkit_cache"), &mounts[3]);
  EXPECT_EQ(mount_of(mounts, "/dev/shm/ai_toolkit_cache_2"), &mounts[2]);
  EXPECT_EQ(mount_of(mounts, "/dev/shm/other"), &mounts[2]);
  EXPECT_EQ(mount_of(mounts, "/dev/shmem"), &mounts[0]);
  EXPECT_EQ(mount_of({}, "/dev/shm"), nullptr);
}

TEST(Mounts, TheLastOfSeveralAtOnePointCoversTheOthers) {
  const auto mounts = parse_mountinfo(
      "1 0 0:1 / /dev/shm rw - tmpfs first rw\n"
      "2 1 0:2 / /dev/shm rw - tmpfs second rw\n");
  EXPECT_EQ(mount_of(mounts, "/dev/shm/x")->source, "second");
}

TEST(Mounts, OfAContainerHaveALayeredRoot) {
  EXPECT_TRUE(is_container(parse_mountinfo(pod)));
  EXPECT_FALSE(is_container(parse_mountinfo("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")));
  EXPECT_FALSE(is_container({}));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor
