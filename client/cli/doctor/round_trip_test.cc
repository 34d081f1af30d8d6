// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "cli/doctor/checks.h"
#include "cli/doctor/test_support.h"
#include "hyperpod/emulator/emulator.h"
#include "testing/fake_daemon.h"

namespace hyperpod::client::cli::doctor {
namespace {

using namespace std::chrono_literals;
using emulator::Emulator;
using testing::answer;
using ::testing::ElementsAre;
using testing::FakeDaemon;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::lease_body;
using testing::SeenRequest;
using testing::TestSegment;

SegmentLook look_at(const std::string& name) {
  struct stat status {};
  if (stat(("/dev/shm/" + name).c_str(), &status) != 0) ADD_FAILURE() << "no segment " << name;
  return {memory::SegmentIdentity{status.st_dev, status.st_ino}, true};
}

DaemonAddress address_of(const std::string& url, const std::string& segment) {
  DaemonAddress daemon;
  daemon.host = "127.0.0.1";
  daemon.port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  daemon.segment = segment;
  return daemon;
}

Report check(const std::string& url, const std::string& segment, const SegmentLook& look,
             const Machine& machine = machine_with(), const ClientOptions& options = {}) {
  Report report;
  check_round_trip(machine, options, address_of(url, segment), look, report);
  return report;
}

Report check(FakeDaemon& daemon) {
  return check(daemon.url(), daemon.segment_name(), look_at(daemon.segment_name()));
}

// Keeps what is put at the start of its segment, and grants leases of it.
void store_what_is_put(FakeDaemon& daemon) {
  daemon.on_put([&daemon](const SeenRequest& request) {
    daemon.segment().write(0, request.body);
    return answer(200);
  });
  daemon.grant("L1", {{0, 100}, {100, 3996}});
}

class RoundTripTest : public ::testing::Test {
 protected:
  RoundTripTest() : emulator_(start()) {}

  static Emulator start() {
    auto started = Emulator::start(emulator::Options::for_test());
    if (!started) throw std::runtime_error(started.error().message);
    return *std::move(started);
  }

  Emulator emulator_;
};

TEST_F(RoundTripTest, LeavesOneObjectAndNoLease) {
  const auto report = check(emulator_.url(), emulator_.shm_name(), look_at(emulator_.shm_name()));
  EXPECT_THAT(remarks(report), IsEmpty());
  const auto finding = found(report, "round-trip");
  EXPECT_THAT(finding.text, HasSubstr("no delete"));
  for (const char* call : {"stored", "leased", "read", "released"}) {
    EXPECT_GT(finding.details["ms"][call], 0) << call;
  }
  EXPECT_EQ(emulator_.statistics().objects, 1u);
  EXPECT_EQ(emulator_.statistics().leases_granted, 1u);
  EXPECT_EQ(emulator_.statistics().leases_released, 1u);
}

TEST_F(RoundTripTest, AsksTheDaemonEvenWithoutASegment) {
  const auto report = check(emulator_.url(), "absent", {});
  EXPECT_THAT(remarks(report), IsEmpty());
  EXPECT_THAT(found(report, "round-trip").text, HasSubstr("not read"));
  EXPECT_EQ(emulator_.statistics().leases_released, 1u);
}

TEST_F(RoundTripTest, RemarksOnSlowCalls) {
  Machine machine = machine_with();
  machine.patience.slow = 1ns;
  EXPECT_THAT(
      remarks(check(emulator_.url(), emulator_.shm_name(), look_at(emulator_.shm_name()), machine)),
      ElementsAre("warning round-trip-slow"));
}

TEST_F(RoundTripTest, FindsThatTheSegmentIsNotTheDaemons) {
  const TestSegment other(TestSegment::unique_name("other"), 1 << 20);
  const auto report = check(emulator_.url(), other.name(), look_at(other.name()));
  EXPECT_THAT(remarks(report), ElementsAre("problem segment-foreign"));
  EXPECT_EQ(emulator_.statistics().live_leases, 0u);
}

TEST_F(RoundTripTest, FindsALeaseThatEndsTooEarly) {
  ClientOptions options;
  options.lease_ttl = 1ns;
  EXPECT_THAT(remarks(check(emulator_.url(), emulator_.shm_name(), look_at(emulator_.shm_name()),
                            machine_with(), options)),
              ::testing::Contains("problem lease-expired"));
}

TEST(RoundTrip, FindsALeaseBeyondTheSegment) {
  FakeDaemon daemon;
  daemon.grant("L1", {{FakeDaemon::segment_size, 4096}});
  const auto report = check(daemon);
  EXPECT_THAT(remarks(report), ElementsAre("problem lease-failed"));
  EXPECT_THAT(found(report, "lease-failed").remedy, HasSubstr("another daemon's"));
  EXPECT_THAT(daemon.released(), ElementsAre("L1"));
}

TEST(RoundTrip, FindsADaemonThatDoesNotStore) {
  FakeDaemon daemon;
  daemon.on_put([](const SeenRequest&) { return answer(404); });
  EXPECT_THAT(remarks(check(daemon)), ElementsAre("problem store-refused"));
  daemon.on_put([](const SeenRequest&) { return answer(507); });
  EXPECT_THAT(found(check(daemon), "store-refused").remedy, HasSubstr("capacity"));
  daemon.on_put([](const SeenRequest&) { return answer(409); });
  EXPECT_THAT(remarks(check(daemon)), ElementsAre("problem store-refused"));
  daemon.on_put([](const SeenRequest&) { return std::nullopt; });
  EXPECT_THAT(remarks(check(daemon)), ElementsAre("problem store-failed"));
}

TEST(RoundTrip, FindsADaemonThatLosesWhatItStored) {
  FakeDaemon daemon;  // which misses whatever is asked for
  EXPECT_THAT(remarks(check(daemon)), ElementsAre("problem lookup-missed"));
  EXPECT_THAT(remarks(check(daemon.url(), "absent", {})), ElementsAre("problem lookup-missed"));
}

TEST(RoundTrip, FindsADaemonThatRefusesLeases) {
  FakeDaemon daemon;
  daemon.on_lease([](const SeenRequest&) { return answer(503); });
  EXPECT_THAT(remarks(check(daemon)), ElementsAre("problem lease-failed"));
  EXPECT_THAT(remarks(check(daemon.url(), "absent", {})), ElementsAre("problem lease-failed"));
}

TEST(RoundTrip, FindsADaemonThatDoesNotRelease) {
  FakeDaemon daemon;
  store_what_is_put(daemon);
  EXPECT_THAT(remarks(check(daemon)), IsEmpty()) << "it is right as far as that";
  daemon.on_release([](const SeenRequest&) { return answer(404); });
  EXPECT_THAT(remarks(check(daemon)), ElementsAre("problem release-failed"));
}

TEST(RoundTrip, FindsThatTheSegmentWasReplacedMeanwhile) {
  FakeDaemon daemon;
  store_what_is_put(daemon);
  daemon.on_lease([&daemon](const SeenRequest&) {
    daemon.replace_segment();
    return answer(200, lease_body("L1", {{0, 4096}}));
  });
  EXPECT_THAT(remarks(check(daemon)), ElementsAre("problem segment-replaced"));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor
