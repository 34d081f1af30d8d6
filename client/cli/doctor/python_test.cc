// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/doctor/checks.h"
#include "cli/doctor/test_support.h"

namespace hyperpod::client::cli::doctor {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* engine_module =
    "lmcache/v1/storage_backend/connector/sagemaker_hyperpod_connector.py";
constexpr const char* server_module =
    "lmcache/v1/distributed/l2_adapters/sagemaker_hyperpod_client.py";

constexpr const char* attaches =
    "self.shm = shared_memory.SharedMemory(\n    name=name, create=False\n)\n";
constexpr const char* maps = "mmap.mmap(fd, 0, prot=mmap.PROT_READ)\n";
constexpr const char* attaches_untracked =
    "shared_memory.SharedMemory(name=name, create=False, track=False)\n";

// A Python on PATH that tells a version and one folder of packages.
class PythonCheckTest : public ::testing::Test {
 protected:
  void install_python(const std::string& version) {
    folder_.write_program(
        "bin/python3", "#!/bin/sh\necho " + version + "\necho " + folder_.path("packages") + "\n");
  }

  void install_lmcache(const char* module, const std::string& text) {
    folder_.write("packages/lmcache-0.3.9.dist-info/METADATA", "Name: lmcache\n");
    folder_.write(std::string("packages/") + module, text);
  }

  Report check(bool exposed = true) {
    Machine machine = machine_with({{"PATH", "/nowhere:" + folder_.path("bin")}});
    machine.patience.python = patience_;
    Report report;
    check_python(machine, exposed, report);
    return report;
  }

  const TestFolder folder_;
  std::chrono::milliseconds patience_{10'000};
};

TEST_F(PythonCheckTest, HasNothingToSayWithoutPython) {
  const auto report = check();
  EXPECT_THAT(remarks(report), IsEmpty());
  found(report, "python-none");
}

TEST_F(PythonCheckTest, HasNothingToSayWithoutLmcache) {
  install_python("3.11.7");
  const auto report = check();
  EXPECT_THAT(remarks(report), IsEmpty());
  EXPECT_THAT(found(report, "lmcache-none").text, HasSubstr("3.11.7"));
}

TEST_F(PythonCheckTest, DoesNotWaitForAPythonThatDoesNotAnswer) {
  folder_.write_program("bin/python3", "#!/bin/sh\nsleep 600\n");
  patience_ = 100ms;
  EXPECT_THAT(remarks(check()), ElementsAre("warning python-silent"));
}

TEST_F(PythonCheckTest, FindsALmcacheThatUnlinksTheSegmentWhenItEnds) {
  install_python("3.11.7");
  install_lmcache(engine_module, attaches);
  const auto report = check();
  EXPECT_THAT(remarks(report), ElementsAre("warning lmcache-unlinks"));
  const auto finding = found(report, "lmcache-unlinks");
  EXPECT_THAT(finding.text, HasSubstr("LMCache 0.3.9 under Python 3.11.7"));
  EXPECT_THAT(finding.text, HasSubstr("issue 4234"));
  EXPECT_EQ(finding.details["modules"].size(), 1u);
}

TEST_F(PythonCheckTest, DoesNotTakeANewerPythonForACure) {
  install_python("3.13.0");
  install_lmcache(engine_module, attaches);
  EXPECT_THAT(remarks(check()), ElementsAre("warning lmcache-unlinks"));
  install_lmcache(engine_module, attaches_untracked);
  EXPECT_THAT(remarks(check()), IsEmpty());
}

TEST_F(PythonCheckTest, LooksAtBothOfLmcachesClients) {
  install_python("3.12.1");
  install_lmcache(server_module, maps);
  EXPECT_THAT(remarks(check()), IsEmpty());
  install_lmcache(server_module, attaches);
  EXPECT_THAT(remarks(check()), ElementsAre("warning lmcache-unlinks"));
  install_lmcache(engine_module, attaches);
  EXPECT_EQ(found(check(), "lmcache-unlinks").details["modules"].size(), 2u);
}

TEST_F(PythonCheckTest, IsAtEaseWhereNothingCanBeUnlinked) {
  install_python("3.11.7");
  install_lmcache(engine_module, attaches);
  const auto report = check(false);
  EXPECT_THAT(remarks(report), IsEmpty());
  EXPECT_THAT(found(report, "lmcache-mounted").text, HasSubstr("cannot from here"));
}

TEST_F(PythonCheckTest, SaysWhenLmcachesTextCannotBeFound) {
  install_python("3.11.7");
  folder_.write("packages/lmcache-0.3.9.dist-info/METADATA", "Name: lmcache\n");
  EXPECT_THAT(remarks(check()), ElementsAre("warning lmcache-unknown"));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor
