// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/doctor/test_support.h"
#include "hyperpod/emulator/emulator.h"

namespace hyperpod::client::cli::doctor {
namespace {

using emulator::Emulator;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DoctorTest : public ::testing::Test {
 protected:
  DoctorTest() : emulator_(start()) {
    // This machine may be a container itself.
    mountinfo_ = folder_.write("mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
  }

  static Emulator start() {
    auto started = Emulator::start(emulator::Options::for_test());
    if (!started) throw std::runtime_error(started.error().message);
    return *std::move(started);
  }

  Report examine(const std::string& url, const std::string& segment) const {
    Machine machine = machine_with({{"LMCACHE_REMOTE_URL", url}});
    machine.mountinfo = mountinfo_;
    return diagnose(machine, {.override_options = [&](ClientOptions& options) {
                      options.shared_memory_name = segment;
                    }});
  }

  static std::vector<std::string> titles(const Report& report) {
    std::vector<std::string> titles;
    for (const Section& section : report.sections()) {
      titles.push_back(section.title.substr(0, section.title.find(' ')));
    }
    return titles;
  }

  Emulator emulator_;
  const TestFolder folder_;
  std::string mountinfo_;
};

TEST_F(DoctorTest, FindsAHealthyDaemonHealthy) {
  const auto report = examine(emulator_.url(), emulator_.shm_name());
  EXPECT_THAT(remarks(report), IsEmpty());
  EXPECT_TRUE(report.is_healthy());
  EXPECT_THAT(titles(report),
              ElementsAre("configuration", "limits,", "daemon", "segment", "round", "Python"));
}

TEST_F(DoctorTest, LooksAtTheSegmentWhateverBecomesOfTheDaemon) {
  emulator_.stop();
  const auto report = examine(emulator_.url(), "hyperpod_doctor_test_absent");
  EXPECT_THAT(remarks(report), Contains("problem port-refused"));
  EXPECT_EQ(titles(report).back(), "Python");
  EXPECT_THAT(titles(report), ::testing::Not(Contains("round")));
  EXPECT_FALSE(report.is_healthy());
}

TEST_F(DoctorTest, LooksAtEachOfSeveralDaemons) {
  const Emulator other = start();
  const auto report = examine(
      emulator_.url() + "#" + emulator_.shm_name() + "," + other.url() + "#" + other.shm_name(),
      "unused");
  EXPECT_THAT(remarks(report), IsEmpty());
  EXPECT_EQ(emulator_.statistics().objects, 1u);
  EXPECT_EQ(other.statistics().objects, 1u);
}

TEST_F(DoctorTest, EndsWithAConfigurationThatIsNone) {
  const auto report = examine("redis://h", "s");
  EXPECT_THAT(remarks(report), ElementsAre("problem url-unusable"));
  EXPECT_THAT(titles(report), ElementsAre("configuration", "Python"));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor
