// SPDX-License-Identifier: Apache-2.0
// What each fault does to requests and connections, put in by each of the three faces: a scenario
// in the options, the plan of a running emulator, and the admin port.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "testing/daemon.h"

namespace hyperpod::emulator {
namespace {

using test::Daemon;
using test::get_request;
using test::id_of;
using test::lease_request;
using test::patience;
using test::put_request;
using test::random_bytes;
using test::release_request;
using test::Reply;
using test::test_options;
using test::WireClient;

using namespace std::chrono_literals;
using nlohmann::json;
using testing::Each;
using testing::HasSubstr;

enum class Face { scenario, in_process, admin_port };

class FaultEffects : public testing::TestWithParam<Face> {
 protected:
  /// Starts the daemon with one fault in force, given as JSON without its name, which is "f".
  void start(std::string_view fault) {
    auto document = json::parse(fault);
    document["name"] = "f";
    const auto text = json{{"faults", {document}}}.dump();
    if (GetParam() == Face::scenario) {
      const auto file =
          std::filesystem::temp_directory_path() / fmt::format("{}.json", options.shm_name);
      std::ofstream(file) << text;
      const auto loaded = load_scenario(file);
      std::filesystem::remove(file);
      ASSERT_TRUE(loaded) << loaded.error().message;
      options.faults = *loaded;
    }
    if (GetParam() == Face::admin_port) options.admin = "127.0.0.1:0";
    daemon.emplace(options);
    if (GetParam() == Face::in_process) {
      const auto faults = faults_from_json(text);
      ASSERT_TRUE(faults) << faults.error().message;
      ASSERT_TRUE(daemon->emulator().faults().replace(*faults));
    }
    if (GetParam() == Face::admin_port) {
      const auto& url = daemon->emulator().admin_url();
      WireClient admin(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
      const auto answer = admin.ask(fmt::format(
          "PUT /v1/faults HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
          "Content-Length: {}\r\n\r\n{}",
          text.size(), text));
      ASSERT_EQ(answer.status, 200) << answer.body;
    }
  }

  WireClient connect() { return daemon->connect(); }
  void expect_fired(std::uint64_t times) {
    EXPECT_EQ(daemon->emulator().faults().counts("f").fired, times);
  }
  /// A daemon with the fault, and an object b/k of 1,000 bytes stored in it.
  WireClient with_object(std::string_view fault) {
    start(fault);
    auto client = connect();
    EXPECT_EQ(client.ask(put_request("b/k", bytes)).status, 200);
    return client;
  }
  std::uint64_t inode() const {
    struct stat info {};
    return ::stat(("/dev/shm/" + options.shm_name).c_str(), &info) == 0 ? info.st_ino : 0;
  }
  bool journal_reaches(const std::function<bool(const Journal&)>& condition) {
    return daemon->emulator().journal().wait_until(condition,
                                                   std::chrono::steady_clock::now() + patience);
  }

  const std::string bytes = random_bytes(1000);
  const std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Options options = test_options(clock);
  std::optional<Daemon> daemon;
};

INSTANTIATE_TEST_SUITE_P(Faces, FaultEffects,
                         testing::Values(Face::scenario, Face::in_process, Face::admin_port));

// --- Answers
// --------------------------------------------------------------------------------------

TEST_P(FaultEffects, AStatusAnswersInPlaceOfTheDaemon) {
  start(R"({"match":{"operation":"put"},"effects":{"status":503,"retry_after":"7s"}})");
  auto client = connect();
  const auto answer = client.ask(put_request("b/k", "x"));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.fields.at("retry-after"), "7");
  EXPECT_EQ(client.ask(lease_request("b/k")).status, 504) << "nothing was stored";
  const auto hit = daemon->emulator().journal().entries({.fault = "f"});
  ASSERT_EQ(hit.size(), 1u);
  EXPECT_EQ(hit[0].operation, JournalOperation::put) << "as asked, though nothing was stored";
  expect_fired(1);
}

TEST_P(FaultEffects, AScriptIsDoneInOrderAndThenOver) {
  start(R"({"match":{"operation":"put"},"script":[{"status":500},{},{"status":429,"body":"{}"}]})");
  auto client = connect();
  EXPECT_EQ(client.ask(put_request("b/1", "x")).status, 500);
  EXPECT_EQ(client.ask(put_request("b/1", "x")).status, 200);
  const auto third = client.ask(put_request("b/3", "x"));
  EXPECT_EQ(third.status, 429);
  EXPECT_EQ(third.body, "{}");
  EXPECT_EQ(client.ask(put_request("b/3", "x")).status, 200);
}

TEST_P(FaultEffects, AMissCanBeA404) {
  start(R"({"match":{"operation":"lease"},"effects":{"status":404}})");
  EXPECT_EQ(connect().ask(lease_request("b/k")).status, 404);
}

TEST_P(FaultEffects, ADelayRunsOnTheEmulatorsClock) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"delay":"10s"}})");
  client.send(lease_request("b/k"));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.leases_granted == 1; }));
  clock->advance(10s - 1ms);
  EXPECT_TRUE(client.is_silent());
  clock->advance(1ms);
  EXPECT_FALSE(client.is_silent()) << "advance returns once the response has been sent";
  EXPECT_EQ(client.receive().status, 200);
}

TEST_P(FaultEffects, AResetEndsTheConnectionWithoutAnAnswer) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"reset":true}})");
  client.send(lease_request("b/k"));
  EXPECT_EQ(client.receive_until_closed(), "");
  EXPECT_TRUE(journal_reaches([](const Journal& journal) {
    const auto hit = journal.entries({.fault = "f"});
    return hit.size() == 1 && hit[0].end == ConnectionEnd::reset_by_fault && hit[0].status == 0;
  }));
}

TEST_P(FaultEffects, AnAnswerCanBeCutShort) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"close_after_bytes":9}})");
  client.send(lease_request("b/k"));
  EXPECT_EQ(client.receive_until_closed(), "HTTP/1.1 ");
}

TEST_P(FaultEffects, AnAnswerCanNeverCome) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"never_answer":true}})");
  client.send(lease_request("b/k"));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.leases_granted == 1; }));
  clock->advance(1h);
  EXPECT_TRUE(client.is_silent());
  client.close();
  EXPECT_TRUE(daemon->reaches([](const Statistics& s) { return s.open_connections == 0; }));
  EXPECT_EQ(daemon->statistics().leases_abandoned, 1u);
}

TEST_P(FaultEffects, AnAnswerCanDribble) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"dribble":"100ms"}})");
  client.send(lease_request("b/k"));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.leases_granted == 1; }));
  clock->advance(1s);
  EXPECT_TRUE(journal_reaches([](const Journal& journal) { return journal.recorded() == 1; }))
      << "the PUT alone has ended";
  clock->advance(60s);
  EXPECT_EQ(client.receive().status, 200);
}

TEST_P(FaultEffects, ADelayCanBeDrawn) {
  auto client = with_object(R"({"match":{"operation":"lease"},"script":
      [{"delay":{"low":"2s","high":"3s"}},{"delay":{"median":"20ms","sigma":0.5}}]})");
  const auto time_of_answer = [&](Duration step) {
    const auto granted = daemon->statistics().leases_granted;
    const auto begin = clock->now();
    client.send(lease_request("b/k"));
    EXPECT_TRUE(
        daemon->reaches([=](const Statistics& s) { return s.leases_granted == granted + 1; }));
    for (int i = 0; i < 5000 && client.is_silent(); ++i) clock->advance(step);
    EXPECT_EQ(client.receive().status, 200);
    return clock->now() - begin;
  };
  const auto uniform = time_of_answer(100ms);
  EXPECT_GE(uniform, 2s);
  EXPECT_LE(uniform, 3s + 100ms);
  EXPECT_GT(time_of_answer(1ms), 0ms);
  expect_fired(2);
}

// --- Bodies
// ---------------------------------------------------------------------------------------

TEST_P(FaultEffects, ABodyCanBeLeftUnread) {
  start(R"({"match":{"operation":"put"},"effects":{"stop_reading_after":100}})");
  auto client = connect();
  client.send(put_request("b/k", bytes));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  clock->advance(1min);
  EXPECT_TRUE(client.is_silent());
  client.close();
  clock->advance(1h);
  EXPECT_TRUE(daemon->reaches([](const Statistics& s) { return s.puts_in_flight == 0; }));
  EXPECT_EQ(daemon->statistics().objects, 0u);
}

TEST_P(FaultEffects, AConnectionCanBeResetInTheMiddleOfABody) {
  start(R"({"match":{"operation":"put","first":1},"effects":{"reset_after":2}})");
  auto client = connect();
  client.send(put_request("b/k", bytes));
  EXPECT_EQ(client.receive_until_closed(), "");
  EXPECT_TRUE(journal_reaches([](const Journal& journal) {
    const auto hit = journal.entries({.fault = "f"});
    return hit.size() == 1 && hit[0].end == ConnectionEnd::reset_by_fault && hit[0].status == 0;
  }));
  EXPECT_EQ(daemon->statistics().objects, 0u);
  expect_fired(1);
  EXPECT_EQ(connect().ask(put_request("b/k", bytes)).status, 200);
}

TEST_P(FaultEffects, ABodyOfJustSoManyBytesIsCutOffAsWell) {
  start(R"({"match":{"operation":"put","first":1},"effects":{"reset_after":3}})");
  auto client = connect();
  client.send(put_request("b/k", "abc"));
  EXPECT_EQ(client.receive_until_closed(), "");
  EXPECT_EQ(daemon->statistics().objects, 0u);
}

TEST_P(FaultEffects, ABodyOfJustSoManyBytesIsNotStoredWhereNoMoreAreRead) {
  start(R"({"match":{"operation":"put"},"effects":{"stop_reading_after":3}})");
  auto client = connect();
  client.send(put_request("b/k", "abc"));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  clock->advance(1min);
  EXPECT_TRUE(client.is_silent());
  EXPECT_EQ(daemon->statistics().objects, 0u);
}

TEST_P(FaultEffects, TheJournalNamesTheObjectOfAReleaseThatAFaultAnswers) {
  auto client = with_object(R"({"match":{"operation":"release"},"effects":{"status":500}})");
  const auto grant = client.ask(lease_request("b/k"));
  EXPECT_EQ(client.ask(release_request(id_of(grant))).status, 500);
  const auto entries = daemon->emulator().journal().entries({.key = "k", .fault = "f"});
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].bucket, "b");
}

TEST_P(FaultEffects, BandwidthIsLimited) {
  start(R"({"match":{"operation":"put"},"effects":{"bytes_per_second":1000}})");
  auto client = connect();
  client.send(put_request("b/k", random_bytes(5000)));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  clock->advance(4s);
  EXPECT_TRUE(client.is_silent());
  EXPECT_EQ(daemon->statistics().puts_in_flight, 1u);
  clock->advance(2s);
  EXPECT_EQ(client.receive().status, 200);
}

// --- Leases
// ---------------------------------------------------------------------------------------

TEST_P(FaultEffects, AGrantCanBeWrongInEachWay) {
  const std::map<std::string, std::function<bool(const Reply&)>> defects{
      {"truncated_json", [](const Reply& r) { return !json::accept(r.body); }},
      {"wrong_content_type",
       [](const Reply& r) { return r.fields.at("content-type") != "application/json"; }},
      {"missing_id", [](const Reply& r) { return !json::parse(r.body).contains("id"); }},
      {"missing_offsets", [](const Reply& r) { return !json::parse(r.body).contains("offsets"); }},
      {"negative_offset",
       [](const Reply& r) { return json::parse(r.body)["offsets"][0]["offset"] < 0; }},
      {"out_of_range_offset",
       [this](const Reply& r) {
         const auto last = json::parse(r.body)["offsets"].back();
         return last["offset"].get<std::uint64_t>() + last["len"].get<std::uint64_t>() >
                options.capacity;
       }},
      {"overlapping_fragments",
       [](const Reply& r) {
         const auto offsets = json::parse(r.body)["offsets"];
         return offsets.size() == 2 && offsets[0] == offsets[1];
       }},
      {"oversized_total",
       [this](const Reply& r) {
         std::uint64_t sum = 0;
         const auto offsets = json::parse(r.body)["offsets"];
         for (const auto& fragment : offsets) {
           const auto length = fragment["len"].get<std::uint64_t>();
           if (fragment["offset"].get<std::uint64_t>() + length > options.capacity) return false;
           sum += length;
         }
         return sum > options.capacity;
       }},
      {"zero_length_fragment",
       [](const Reply& r) { return json::parse(r.body)["offsets"].back()["len"] == 0; }},
      {"wrong_total",
       [](const Reply& r) { return json::parse(r.body)["offsets"][0]["len"] != 1000; }},
  };
  json script = json::array();
  for (const auto& [defect, shows] : defects) script.push_back({{"grant_defect", defect}});
  auto client = with_object(json{{"match", {{"operation", "lease"}}}, {"script", script}}.dump());
  for (const auto& [defect, shows] : defects) {
    const auto answer = client.ask(lease_request("b/k"));
    EXPECT_EQ(answer.status, 200) << defect;
    EXPECT_TRUE(shows(answer)) << defect << ": " << answer.body;
  }
  const auto entries = daemon->emulator().journal().entries({.fault = "f"});
  ASSERT_EQ(entries.size(), defects.size());
  for (const auto& entry : entries) {
    EXPECT_EQ(client.ask(release_request(entry.lease_id)).status, 200) << "the lease is real";
  }
}

TEST_P(FaultEffects, TheRealTtlCanBeShorter) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"real_ttl":"2s"}})");
  const auto id = id_of(client.ask(lease_request("b/k", "ttl_s=30.0")));
  clock->advance(2s);
  EXPECT_EQ(client.ask(release_request(id)).status, 404);
  EXPECT_EQ(daemon->statistics().leases_expired, 1u);
}

TEST_P(FaultEffects, ALeaseCanBeForgotten) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"forget_lease":true}})");
  const auto id = id_of(client.ask(lease_request("b/k")));
  EXPECT_EQ(client.ask(release_request(id)).status, 404);
  EXPECT_EQ(daemon->statistics().pinned_bytes, 0u);
  EXPECT_EQ(daemon->statistics().leases_dropped, 1u);
}

TEST_P(FaultEffects, AnObjectCanGoUnderItsLeaseAndLeaveAStamp) {
  auto client = with_object(
      R"({"match":{"operation":"lease"},"effects":{"evict_under_lease":true,"poison":"GONE"}})");
  const auto grant = client.ask(lease_request("b/k"));
  EXPECT_EQ(daemon->leased_bytes(grant).substr(0, 8), "GONEGONE");
  EXPECT_EQ(daemon->statistics().objects, 0u);
  EXPECT_EQ(client.ask(lease_request("b/k")).status, 504);
}

TEST_P(FaultEffects, ExpiryCanTakeTheObjectAndLeaveAStamp) {
  auto client = with_object(R"({"match":{"operation":"lease"},"effects":{"poison":"LATE"}})");
  const auto grant = client.ask(lease_request("b/k", "ttl_s=30.0"));
  EXPECT_EQ(daemon->leased_bytes(grant), bytes);
  clock->advance(30s);
  EXPECT_EQ(daemon->leased_bytes(grant).substr(0, 4), "LATE");
  EXPECT_EQ(daemon->statistics().objects, 0u);
}

TEST_P(FaultEffects, AHoldCanLastTooLong) {
  start(R"({"match":{"operation":"lease"},"effects":{"hold_longer":"3s"}})");
  auto client = connect();
  client.send(lease_request("b/k", "timeout_ms=5000&ttl_s=30.0"));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.waiters == 1; }));
  clock->advance(5s);
  EXPECT_TRUE(client.is_silent());
  clock->advance(3s);
  EXPECT_EQ(client.receive().status, 504);
}

TEST_P(FaultEffects, AReleaseIsMatchedByTheNamesOfItsObject) {
  auto client =
      with_object(R"({"match":{"operation":"release","key":"k*"},"effects":{"status":500}})");
  EXPECT_EQ(client.ask(put_request("b/other", "x")).status, 200);
  const auto id = id_of(client.ask(lease_request("b/k")));
  const auto other = id_of(client.ask(lease_request("b/other")));
  EXPECT_EQ(client.ask(release_request(other)).status, 200);
  EXPECT_EQ(client.ask(release_request(id)).status, 500);
  EXPECT_EQ(daemon->statistics().live_leases, 1u);
}

// --- Connections
// ----------------------------------------------------------------------------------

TEST_P(FaultEffects, ConnectionsAboveALimitAreClosed) {
  if (GetParam() == Face::admin_port) options.threads = 2;
  start(R"({"match":{"operation":"connect"},"effects":{"connections_above":2}})");
  auto first = connect();
  auto second = connect();
  EXPECT_EQ(first.ask(get_request()).status, 404);
  EXPECT_EQ(second.ask(get_request()).status, 404);
  EXPECT_EQ(connect().receive_until_closed(), "");
  first.close();
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.open_connections == 1; }));
  EXPECT_EQ(connect().ask(get_request()).status, 404);
}

TEST_P(FaultEffects, ConnectionsAboveALimitCanBeLeftWaiting) {
  start(
      R"({"match":{"operation":"connect"},"effects":{"connections_above":1,"leave_unaccepted":true}})");
  auto first = connect();
  EXPECT_EQ(first.ask(get_request()).status, 404);
  auto second = connect();
  second.send(get_request());
  EXPECT_EQ(first.ask(get_request()).status, 404);
  EXPECT_TRUE(second.is_silent());
  first.close();
  EXPECT_EQ(second.receive().status, 404);
}

TEST_P(FaultEffects, AConnectionIsMatchedByItsNumber) {
  start(R"({"match":{"operation":"put","connection":2},"effects":{"status":500}})");
  auto first = connect();
  EXPECT_EQ(first.ask(put_request("b/1", "x")).status, 200);
  auto second = connect();
  EXPECT_EQ(second.ask(put_request("b/2", "x")).status, 500);
  EXPECT_EQ(first.ask(put_request("b/3", "x")).status, 200);
}

TEST_P(FaultEffects, ANewConnectionCanBeReset) {
  start(R"({"match":{"operation":"connect","nth":1},"effects":{"reset":true}})");
  EXPECT_EQ(connect().receive_until_closed(), "");
  EXPECT_EQ(connect().ask(get_request()).status, 404);
  expect_fired(1);
}

TEST_P(FaultEffects, ANewConnectionCanBeServedLate) {
  start(R"({"match":{"operation":"connect"},"effects":{"delay":"10s"}})");
  auto client = connect();
  client.send(get_request());
  int seconds = 0;
  for (; seconds < 1000 && client.is_silent(); ++seconds) clock->advance(1s);
  EXPECT_EQ(client.receive().status, 404);
  EXPECT_GE(seconds, 10);
}

TEST_P(FaultEffects, ANewConnectionCanBeMetWithSilence) {
  start(R"({"match":{"operation":"connect","nth":1},"effects":{"never_answer":true}})");
  auto silenced = connect();
  silenced.send(get_request());
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.open_connections == 1; }));
  EXPECT_EQ(connect().ask(get_request()).status, 404);
  clock->advance(1h);
  EXPECT_TRUE(silenced.is_silent());
  silenced.close();
  EXPECT_TRUE(daemon->reaches([](const Statistics& s) { return s.open_connections == 0; }));
}

TEST_P(FaultEffects, AConnectionCanBeLeftWaitingForAnother) {
  start(R"({"match":{"operation":"connect","nth":1},"effects":{"leave_unaccepted":true}})");
  auto waiting = connect();
  waiting.send(get_request());
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.accepted_connections == 1; }));
  auto served = connect();
  EXPECT_EQ(served.ask(get_request()).status, 404);
  EXPECT_TRUE(waiting.is_silent());
  served.close();
  EXPECT_EQ(waiting.receive().status, 404);
}

// --- Whom it meets
// --------------------------------------------------------------------------------

TEST_P(FaultEffects, RequestsAreMetByTheirNames) {
  start(R"({"match":{"operation":"put","bucket":"a?c","key":"*/x"},"effects":{"status":500}})");
  auto client = connect();
  EXPECT_EQ(client.ask(put_request("abc/m%2Fx", "x")).status, 500);
  EXPECT_EQ(client.ask(put_request("ac/m%2Fx", "x")).status, 200);
  EXPECT_EQ(client.ask(put_request("abc/x", "x")).status, 200);
}

TEST_P(FaultEffects, RequestsAreMetByTheirNumber) {
  struct Case {
    const char* selection;
    std::string met;  // of six requests
  };
  for (const auto& [selection, met] : {Case{R"("nth":2)", ".x...."}, Case{R"("every":3)", "..x..x"},
                                       Case{R"("first":2)", "xx...."}}) {
    start(fmt::format(R"({{"match":{{{}}},"effects":{{"status":503}}}})", selection));
    auto client = connect();
    std::string seen;
    for (int i = 0; i < 6; ++i) {
      seen += client.ask(lease_request("b/k")).status == 503 ? 'x' : '.';
    }
    EXPECT_EQ(seen, met) << selection;
    daemon.reset();
  }
}

TEST_P(FaultEffects, RequestsAreMetByTheChanceThatTheSeedGives) {
  constexpr auto fault = R"({"match":{"probability":0.5,"seed":7},"effects":{"status":503}})";
  FaultPlan plan;
  ASSERT_TRUE(plan.replace(*faults_from_json(fmt::format("[{}]", fault))));
  start(fault);
  auto client = connect();
  for (int i = 0; i < 40; ++i) {
    const bool met = plan.decide({.operation = FaultOperation::lease}).has_value();
    EXPECT_EQ(client.ask(lease_request("b/k")).status, met ? 503 : 504) << i;
  }
}

// --- The segment and the daemon
// -------------------------------------------------------------------

TEST_P(FaultEffects, TheSegmentCanBeUnlinked) {
  auto client =
      with_object(R"({"match":{"operation":"lease"},"effects":{"incident":"unlink_segment"}})");
  EXPECT_EQ(client.ask(lease_request("b/k")).status, 200) << "served from the orphan";
  EXPECT_EQ(inode(), 0u);
  EXPECT_FALSE(daemon->emulator().segment().linked);
}

TEST_P(FaultEffects, TheSegmentCanBeRecreated) {
  auto client =
      with_object(R"({"match":{"operation":"lease"},"effects":{"incident":"recreate_segment"}})");
  const auto before = inode();
  const auto grant = client.ask(lease_request("b/k"));
  EXPECT_NE(inode(), before);
  EXPECT_EQ(daemon->leased_bytes(grant), std::string(1000, '\0'));
  const auto next = random_bytes(2000, 2);
  EXPECT_EQ(client.ask(put_request("b/next", next)).status, 200);
  daemon->emulator().faults().clear();
  EXPECT_EQ(daemon->leased_bytes(client.ask(lease_request("b/next"))), next);
}

TEST_P(FaultEffects, TheSegmentCanBeEmptyForAWhile) {
  auto client = with_object(
      R"({"match":{"operation":"lease"},"effects":{"incident":"empty_segment","lasting":"5s"}})");
  const auto before = inode();
  const auto grant = client.ask(lease_request("b/k"));
  EXPECT_EQ(std::filesystem::file_size("/dev/shm/" + options.shm_name), 0u);
  clock->advance(5s);
  EXPECT_EQ(inode(), before);
  EXPECT_EQ(daemon->leased_bytes(grant), bytes);
}

TEST_P(FaultEffects, TheSegmentIsEmptyForAsLongAsWasSaidLast) {
  const auto empty = [&](std::chrono::milliseconds lasting) {
    return daemon->emulator().cause({.incident = Incident::empty_segment, .lasting = lasting});
  };
  start(R"({"effects":{}})");
  const auto before = inode();
  ASSERT_TRUE(empty(500ms));
  clock->advance(400ms);
  ASSERT_TRUE(empty(3s));
  clock->advance(2s);
  EXPECT_NE(inode(), before);
  clock->advance(1s);
  EXPECT_EQ(inode(), before);
  ASSERT_TRUE(empty(1s));
  ASSERT_TRUE(daemon->emulator().cause({.incident = Incident::unlink_segment}));
  clock->advance(1s);
  EXPECT_FALSE(std::filesystem::exists("/dev/shm/" + options.shm_name)) << "the name has gone";
}

TEST_P(FaultEffects, TheSegmentsModeCanChange) {
  auto client = with_object(
      R"({"match":{"operation":"lease"},"effects":{"incident":"change_mode","mode":"0000"}})");
  client.ask(lease_request("b/k"));
  EXPECT_EQ(daemon->emulator().segment().mode, 0u);
}

TEST_P(FaultEffects, EveryObjectCanGo) {
  auto client =
      with_object(R"({"match":{"operation":"lease"},"effects":{"incident":"drop_objects"}})");
  EXPECT_EQ(client.ask(lease_request("b/k")).status, 504);
  EXPECT_EQ(daemon->statistics().used_bytes, 0u);
}

TEST_P(FaultEffects, TheDaemonCanRestart) {
  auto client =
      with_object(R"({"match":{"operation":"release","nth":1},"effects":{"incident":"restart"}})");
  auto held = connect();
  held.send(lease_request("b/late", "timeout_ms=5000&ttl_s=30.0"));
  ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.waiters == 1; }));
  const auto id = id_of(client.ask(lease_request("b/k")));
  const auto before = inode();
  client.try_send(release_request(id));
  EXPECT_EQ(client.receive_until_closed(), "") << "a dead daemon says nothing";
  EXPECT_EQ(held.receive_until_closed(), "");
  EXPECT_TRUE(journal_reaches([](const Journal& journal) { return journal.recorded() == 4; }));
  for (const auto& entry : daemon->emulator().journal().newest({}, 2)) {
    EXPECT_EQ(entry.status, 0);
    EXPECT_EQ(entry.end, ConnectionEnd::closed_by_us) << name_of(entry.operation);
  }
  EXPECT_NE(inode(), before);
  EXPECT_EQ(inode(), daemon->emulator().segment().inode);
  auto again = connect();
  EXPECT_EQ(again.ask(release_request(id)).status, 404);
  EXPECT_EQ(again.ask(lease_request("b/k")).status, 504);
  EXPECT_EQ(again.ask(put_request("b/k", bytes)).status, 200);
  EXPECT_EQ(daemon->leased_bytes(again.ask(lease_request("b/k"))), bytes);
}

TEST_P(FaultEffects, ARequestThatRestartsTheDaemonIsNotServedByTheNextOne) {
  start(R"({"match":{"operation":"put","nth":1},"effects":{"incident":"restart"}})");
  auto client = connect();
  client.try_send(put_request("b/k", bytes));
  EXPECT_EQ(client.receive_until_closed(), "");
  EXPECT_TRUE(journal_reaches([](const Journal& journal) { return journal.recorded() == 1; }));
  EXPECT_EQ(daemon->emulator().journal().entries().at(0).end, ConnectionEnd::closed_by_us);
  EXPECT_EQ(daemon->statistics().puts_stored, 0u);
  EXPECT_EQ(connect().ask(lease_request("b/k")).status, 504);
}

TEST_P(FaultEffects, AResponseCutShortIsClosedNotReset) {
  auto client =
      with_object(R"({"match":{"operation":"lease"},"effects":{"close_after_bytes":10}})");
  client.send(lease_request("b/k"));
  EXPECT_EQ(client.receive_until_closed().size(), 10u);
  const auto hit = daemon->emulator().journal().entries({.fault = "f"});
  ASSERT_EQ(hit.size(), 1u);
  EXPECT_EQ(hit[0].end, ConnectionEnd::closed_by_us);
}

TEST_P(FaultEffects, AConnectionLeftWaitingTakesThePlaceThatBecomesFree) {
  options.limits.connections = 3;
  options.threads = 4;
  start(R"({"match":{"operation":"connect","every":3},"effects":{"leave_unaccepted":true}})");
  auto always = connect();
  EXPECT_EQ(always.ask(get_request()).status, 404);
  for (int round = 0; round < 50; ++round) {
    auto first = connect();
    EXPECT_EQ(first.ask(get_request()).status, 404);
    auto waiting = connect();
    waiting.send(get_request());
    const auto accepted = static_cast<std::uint64_t>(3 * round + 3);
    ASSERT_TRUE(
        daemon->reaches([&](const Statistics& s) { return s.accepted_connections == accepted; }));
    auto second = connect();
    EXPECT_EQ(second.ask(get_request()).status, 404);
    first.close();  // the only place that there is
    EXPECT_EQ(waiting.receive().status, 404);
    waiting.close();
    second.close();
    ASSERT_TRUE(daemon->reaches([](const Statistics& s) { return s.open_connections == 1; }));
  }
}

// --- Control
// --------------------------------------------------------------------------------------

TEST(Control, ResetClearsWhatIsSelected) {
  Daemon daemon;
  auto client = daemon.connect();
  client.ask(put_request("b/k", "x"));
  const auto id = id_of(client.ask(lease_request("b/k")));
  daemon.emulator().reset({.objects = false, .faults = false, .journal = false, .counters = false});
  EXPECT_EQ(client.ask(release_request(id)).status, 404);
  EXPECT_EQ(daemon.statistics().objects, 1u);
  EXPECT_EQ(daemon.emulator().journal().recorded(), 3u);
  daemon.emulator().reset();
  EXPECT_EQ(daemon.statistics().objects, 0u);
  EXPECT_EQ(daemon.statistics().puts_stored, 0u);
  EXPECT_EQ(daemon.emulator().journal().recorded(), 0u);
  EXPECT_EQ(client.ask(put_request("b/k", "x")).status, 200);
}

TEST(Control, CausesNothingThatCannotBe) {
  Daemon daemon;
  const auto refusal = [&](const Effects& effects) {
    const auto caused = daemon.emulator().cause(effects);
    return caused ? "" : caused.error().message;
  };
  EXPECT_THAT(refusal({}), testing::HasSubstr("incident is missing"));
  EXPECT_THAT(refusal({.incident = Incident::empty_segment}), testing::HasSubstr("lasting"));
  EXPECT_THAT(refusal({.incident = Incident::empty_segment, .lasting = -1s}),
              testing::HasSubstr("lasting"));
  EXPECT_THAT(refusal({.incident = Incident::change_mode}), testing::HasSubstr("mode"));
  EXPECT_THAT(refusal({.incident = Incident::change_mode, .mode = 01777}),
              testing::HasSubstr("mode"));
  EXPECT_THAT(refusal({.incident = Incident::restart, .mode = 0600}), testing::HasSubstr("mode"));
  EXPECT_EQ(refusal({.incident = Incident::drop_objects, .ending = ResetConnection{}}), "")
      << "other effects do not count";
  daemon.emulator().stop();
  for (const auto incident :
       {Incident::restart, Incident::recreate_segment, Incident::unlink_segment}) {
    EXPECT_THAT(refusal({.incident = incident}), testing::HasSubstr("has been stopped"));
  }
}

TEST(Control, StateShowsObjectsLeasesWaitersAndBlocks) {
  auto clock = std::make_shared<ManualClock>();
  Daemon daemon(test_options(clock));
  auto client = daemon.connect();
  auto holder = daemon.connect();
  client.ask(put_request("b/k", random_bytes(100'000)));
  client.ask(lease_request("b/k", "ttl_s=30.0"));
  holder.send(lease_request("b/later", "timeout_ms=5000&ttl_s=30.0"));
  ASSERT_TRUE(daemon.reaches([](const Statistics& s) { return s.waiters == 1; }));
  clock->advance(2s);
  const State state = daemon.emulator().state();
  EXPECT_THAT(state.buckets, testing::ElementsAre("b"));
  ASSERT_EQ(state.objects.size(), 1u);
  EXPECT_EQ(state.objects[0].bytes, 100'000u);
  EXPECT_EQ(state.objects[0].pins, 1u);
  ASSERT_EQ(state.leases.size(), 1u);
  EXPECT_EQ(state.leases[0].time_left, 28s);
  ASSERT_EQ(state.waiters.size(), 1u);
  EXPECT_EQ(state.waiters[0].key, "later");
  EXPECT_EQ(state.waiters[0].time_left, 3s);
  std::uint64_t next = 0;
  for (const BlockRun& run : state.blocks) {
    EXPECT_EQ(run.first_block, next);
    next += run.blocks;
  }
  EXPECT_EQ(next * state.block_size, state.capacity);
}

TEST(Control, TheJournalTellsWhoseLeasesLive) {
  Daemon daemon;
  auto first = daemon.connect();
  first.ask(put_request("a/k", "x"));
  first.ask(put_request("b/k", "x"));
  first.ask(lease_request("a/k"));
  auto second = daemon.connect();
  const auto id = id_of(second.ask(lease_request("b/k")));
  second.send(lease_request("b/later", "timeout_ms=60000&ttl_s=30.0"));
  ASSERT_TRUE(daemon.reaches([](const Statistics& s) { return s.waiters == 1; }));
  EXPECT_EQ(first.ask(release_request(id)).status, 200) << "over another connection";
  first.ask(put_request("b/later", "x"));
  EXPECT_EQ(second.receive().status, 200);
  const Journal& journal = daemon.emulator().journal();
  const auto by_connection = journal.totals_by_connection();
  EXPECT_EQ(by_connection.at(1).leases_live, 1u);
  EXPECT_EQ(by_connection.at(2).leases_granted, 2u);
  EXPECT_EQ(by_connection.at(2).leases_released, 1u);
  EXPECT_EQ(journal.totals_by_bucket().at("a").leases_live, 1u);
  EXPECT_EQ(journal.totals_by_bucket().at("b").leases_live, 1u);
}

/// Every fault there is on random requests: whatever goes wrong, no lease is lost count of.
TEST(Storm, LeasesAreConserved) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  // Each at its own rhythm, so that every one is met.
  const std::map<std::string, std::vector<std::string>> effects{
      {"lease",
       {R"("grant_defect":"truncated_json")",
        R"("grant_defect":"wrong_content_type")",
        R"("grant_defect":"missing_id")",
        R"("grant_defect":"missing_offsets")",
        R"("grant_defect":"negative_offset")",
        R"("grant_defect":"out_of_range_offset")",
        R"("grant_defect":"overlapping_fragments")",
        R"("grant_defect":"oversized_total")",
        R"("grant_defect":"zero_length_fragment")",
        R"("grant_defect":"wrong_total")",
        R"("real_ttl":"1ms")",
        R"("forget_lease":true)",
        R"("evict_under_lease":true,"poison":"X")",
        R"("real_ttl":"1ms","poison":"Y")",
        R"("hold_longer":"3ms")",
        R"("reset":true)",
        R"("never_answer":true)",
        R"("close_after_bytes":30)",
        R"("dribble":"1ms")",
        R"("status":404)",
        R"("incident":"drop_objects")",
        R"("incident":"unlink_segment")",
        R"("incident":"recreate_segment")",
        R"("incident":"restart")",
        R"("incident":"empty_segment","lasting":"2ms")",
        R"("incident":"change_mode","mode":"0600")"}},
      {"release",
       {R"("status":500)", R"("close_after_bytes":5)", R"("delay":"1ms")", R"("reset":true)",
        R"("never_answer":true)"}},
      {"put",
       {R"("status":503,"retry_after":"1s","body":"{}")", R"("stop_reading_after":100)",
        R"("bytes_per_second":1000000)", R"("delay":{"low":"0ms","high":"2ms"})",
        R"("delay":{"median":"1ms","sigma":0.5})"}},
      {"connect",
       {R"("delay":"1ms")", R"("reset":true)", R"("never_answer":true)", R"("connections_above":3)",
        R"("connections_above":3,"leave_unaccepted":true)"}},
  };
  std::string faults;
  unsigned rhythm = seed % 5;
  for (const auto& [operation, all] : effects) {
    for (const std::string& effect : all) {
      faults += fmt::format(R"({}{{"match":{{"operation":"{}","every":{}}},"effects":{{{}}}}})",
                            faults.empty() ? "" : ",", operation, 5 + rhythm++ % 7, effect);
    }
  }
  Options options = test_options();
  options.capacity = 4 << 20;
  options.journal_entries = 100'000;
  options.threads = 2;
  options.faults = *faults_from_json("[" + faults + "]");
  Daemon daemon(options);
  std::atomic<bool> over{false};
  const auto all_fired = [&] {
    return std::ranges::all_of(daemon.emulator().faults().list(),
                               [](const auto& listed) { return listed.counts.fired > 0; });
  };
  // Far away: a slow machine makes the storm long, and nothing else.
  const auto deadline = std::chrono::steady_clock::now() + 5 * patience;
  const auto worker = [&](unsigned number) {
    std::mt19937 random(seed + number);
    auto client = daemon.connect();
    while (!over) {
      try {
        const auto key = fmt::format("b{}/{}", random() % 3, random() % 10);
        client.ask(put_request(key, random_bytes(500 + random() % 5000, number)));
        const auto grant = client.ask(lease_request(key, "timeout_ms=5&ttl_s=0.2"));
        if (grant.status == 200 && random() % 4 != 0) {
          client.ask(release_request(json::parse(grant.body)["id"].get<std::string>()));
        }
      } catch (const std::exception&) {
        client = daemon.connect();  // a fault has hit the connection or the response
      }
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned number = 0; number < 4; ++number) threads.emplace_back(worker, number);
  // Those whose response never comes are cut off when nobody has had one for a while.
  const auto stands_still = [&] {
    const auto before = daemon.emulator().journal().recorded();
    return !daemon.emulator().journal().wait_until(
        [&](const Journal& journal) { return journal.recorded() > before; },
        std::chrono::steady_clock::now() + 100ms);
  };
  const auto least_end = [&] {
    const auto totals = daemon.emulator().journal().totals();
    return std::min({totals.leases_released, totals.leases_expired, totals.leases_dropped,
                     totals.leases_abandoned});
  };
  while ((!all_fired() || least_end() == 0) && std::chrono::steady_clock::now() < deadline) {
    if (!stands_still()) continue;
    ASSERT_TRUE(daemon.emulator().cause({.incident = Incident::restart}));
  }
  over = true;
  for (const auto& [fault, counts] : daemon.emulator().faults().list()) {
    EXPECT_GT(counts.fired, 0u) << fault_to_json(fault, counts);
  }
  daemon.emulator().faults().clear();
  while (!threads.empty()) {
    ASSERT_TRUE(daemon.emulator().cause({.incident = Incident::restart}));
    threads.pop_back();
  }
  EXPECT_TRUE(daemon.reaches([](const Statistics& s) { return s.open_connections == 0; }));

  const Journal& journal = daemon.emulator().journal();
  const auto ended = [](const JournalTotals& t) {
    return t.leases_released + t.leases_expired + t.leases_dropped;
  };
  EXPECT_TRUE(daemon.emulator().journal().wait_until(
      [](const Journal& j) { return j.totals().leases_live == 0; }, deadline + patience));
  const auto totals = journal.totals();
  EXPECT_GT(totals.leases_granted, 100u);
  EXPECT_GT(least_end(), 0u);
  EXPECT_EQ(totals.leases_granted, ended(totals));
  std::uint64_t granted = 0;
  for (const auto& [connection, of_one] : journal.totals_by_connection()) {
    EXPECT_EQ(of_one.leases_granted, ended(of_one) + of_one.leases_live) << connection;
    granted += of_one.leases_granted;
  }
  EXPECT_EQ(granted, totals.leases_granted);
  for (const auto& [bucket, of_one] : journal.totals_by_bucket()) {
    EXPECT_EQ(of_one.leases_granted, ended(of_one)) << bucket;
    granted -= of_one.leases_granted;
  }
  EXPECT_EQ(granted, 0u);
  // Each grant that a request took is in its entry, once.
  std::set<std::string> ids;
  for (const auto& entry : journal.entries({.operation = JournalOperation::lease})) {
    if (entry.lease_id.empty()) continue;
    EXPECT_TRUE(ids.insert(entry.lease_id).second);
  }
  EXPECT_LE(ids.size(), totals.leases_granted);
  EXPECT_GT(ids.size(), totals.leases_granted / 2);

  const auto s = daemon.statistics();
  EXPECT_EQ(s.leases_granted, totals.leases_granted);
  EXPECT_EQ(s.leases_abandoned, totals.leases_abandoned);
  EXPECT_EQ(s.pinned_bytes, 0u);
  EXPECT_EQ(totals.requests, journal.recorded());
  EXPECT_EQ(journal.dropped(), 0u);
}

}  // namespace
}  // namespace hyperpod::emulator
