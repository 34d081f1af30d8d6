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
#include <thread>

#include "http/testing/daemon.h"

namespace hyperpod::emulator {
namespace {

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
          "PUT /v1/faults HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}", text.size(), text));
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
  EXPECT_FALSE(client.is_silent()) << "advance returns once the answer has been sent";
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
  client.receive_until_closed();
  EXPECT_EQ(held.receive_until_closed(), "");
  EXPECT_NE(inode(), before);
  EXPECT_EQ(inode(), daemon->emulator().segment().inode);
  auto again = connect();
  EXPECT_EQ(again.ask(release_request(id)).status, 404);
  EXPECT_EQ(again.ask(lease_request("b/k")).status, 504);
  EXPECT_EQ(again.ask(put_request("b/k", bytes)).status, 200);
  EXPECT_EQ(daemon->leased_bytes(again.ask(lease_request("b/k"))), bytes);
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

/// Random faults on random requests: whatever goes wrong, no lease is lost count of.
TEST(Storm, LeasesAreConserved) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Options options = test_options();
  options.faults = *faults_from_json(fmt::format(
      R"([{{"match":{{"operation":"lease","probability":0.1,"seed":{0}}},"effects":{{"reset":true}}}},
          {{"match":{{"operation":"lease","probability":0.1,"seed":{0}}},"effects":{{"forget_lease":true}}}},
          {{"match":{{"operation":"lease","probability":0.1,"seed":{0}}},"effects":{{"evict_under_lease":true,"poison":"X"}}}},
          {{"match":{{"operation":"lease","probability":0.1,"seed":{0}}},"effects":{{"real_ttl":"1ms","poison":"Y"}}}},
          {{"match":{{"operation":"lease","probability":0.1,"seed":{0}}},"effects":{{"grant_defect":"truncated_json"}}}},
          {{"match":{{"operation":"lease","probability":0.02,"seed":{0}}},"effects":{{"incident":"restart"}}}},
          {{"match":{{"operation":"lease","probability":0.02,"seed":{0}}},"effects":{{"incident":"drop_objects"}}}},
          {{"match":{{"operation":"release","probability":0.2,"seed":{0}}},"effects":{{"status":500}}}},
          {{"match":{{"operation":"release","probability":0.1,"seed":{0}}},"effects":{{"close_after_bytes":5}}}},
          {{"match":{{"operation":"put","probability":0.2,"seed":{0}}},"effects":{{"status":503}}}},
          {{"match":{{"operation":"put","probability":0.1,"seed":{0}}},"effects":{{"delay":{{"low":"0ms","high":"2ms"}}}}}}])",
      seed % 1'000'000));
  Daemon daemon(options);
  const auto worker = [&](unsigned number) {
    std::mt19937 random(seed + number);
    auto client = daemon.connect();
    for (int i = 0; i < 150; ++i) {
      try {
        const auto key = fmt::format("b/{}", random() % 10);
        client.ask(put_request(key, random_bytes(500 + random() % 5000, number)));
        const auto grant = client.ask(lease_request(key, "timeout_ms=5&ttl_s=0.5"));
        if (grant.status == 200 && random() % 4 != 0) {
          client.ask(release_request(json::parse(grant.body)["id"].get<std::string>()));
        }
      } catch (const std::exception&) {
        client = daemon.connect();  // a fault has hit the connection or the answer
      }
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned number = 0; number < 4; ++number) threads.emplace_back(worker, number);
  threads.clear();
  EXPECT_TRUE(daemon.reaches([](const Statistics& s) { return s.live_leases == 0; }));
  const auto s = daemon.statistics();
  EXPECT_GT(s.leases_granted, 100u);
  EXPECT_EQ(s.leases_granted, s.leases_released + s.leases_expired + s.leases_dropped);
  EXPECT_EQ(s.pinned_bytes, 0u);
  const auto totals = daemon.emulator().journal().totals();
  EXPECT_LE(totals.leases_granted, s.leases_granted);
  EXPECT_EQ(totals.requests, daemon.emulator().journal().recorded());
  for (const auto& listed : daemon.emulator().faults().list()) {
    EXPECT_GT(listed.counts.matched, 0u) << listed.fault.name;
  }
}

}  // namespace
}  // namespace hyperpod::emulator
