// SPDX-License-Identifier: Apache-2.0
// The admin port as its callers meet it, over a Control that only remembers.
#include "admin/admin_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <httplib.h>

#include <atomic>
#include <future>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "admin/endpoints.h"
#include "admin/fake_control.h"
#include "testing/log_recorder.h"

namespace hyperpod::emulator::admin {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

class AdminServerTest : public testing::Test {
 protected:
  AdminServerTest() {
    auto server = AdminServer::start("127.0.0.1:0", control_);
    EXPECT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    // cpp-httplib sets up what its threads share in its first request, on either side. That is safe
    // on several threads, but ThreadSanitizer, which sees that library from outside, cannot tell.
    EXPECT_EQ(get("/healthz").status, 200);
  }

  struct Answer {
    int status = 0;
    std::string content_type;
    std::string text;
    std::string allow;

    json body() const { return json::parse(text); }
  };

  Answer ask(const std::string& method, const std::string& target, const std::string& body = "",
             const httplib::Headers& headers = {}) {
    httplib::Client client(server_->url());
    httplib::Request request;
    request.method = method;
    request.path = target;
    request.headers = headers;
    request.body = body;
    if (method == "POST" || method == "PUT" || !body.empty()) {
      request.headers.emplace("Content-Type", "application/json");
    }
    const auto result = client.send(request);
    if (!result) return {0, "", httplib::to_string(result.error()), ""};
    return {result->status, result->get_header_value("Content-Type"), result->body,
            result->get_header_value("Allow")};
  }
  Answer get(const std::string& target) { return ask("GET", target); }

  // The members of an error, "STATUS error field", with the message checked to be a sentence.
  static std::string error_of(const Answer& answer) {
    const json body = json::parse(answer.text, nullptr, false);
    if (!body.is_object()) return fmt::format("{} {}", answer.status, answer.text);
    EXPECT_THAT(body.value("message", ""), SizeIs(testing::Gt(10u)));
    EXPECT_EQ(answer.content_type, "application/json");
    return fmt::format("{} {} {}", answer.status, body.value("error", "?"),
                       body.value("field", "-"));
  }

  FakeControl control_;
  std::unique_ptr<AdminServer> server_;
};

JournalEntry entry(std::string key, int status = 200) {
  JournalEntry made;
  made.connection = 1;
  made.peer = "127.0.0.1:43210";
  made.operation = JournalOperation::lease;
  made.bucket = std::string("b");
  made.key = std::move(key);
  made.status = status;
  return made;
}

std::vector<std::string> keys_in(const json& list) {
  std::vector<std::string> keys;
  for (const json& each : list) keys.push_back(each.at("key"));
  return keys;
}

TEST_F(AdminServerTest, TellsHealthAndReadiness) {
  EXPECT_EQ(get("/healthz").text, "{\"status\":\"ok\"}\n");
  EXPECT_EQ(get("/readyz").text, "{\"status\":\"ready\"}\n");
  control_.ready_ = false;
  EXPECT_EQ(error_of(get("/readyz")), "503 not_ready -");
  EXPECT_EQ(get("/healthz").status, 200);
}

TEST_F(AdminServerTest, ShowsTheState) {
  control_.options_.capacity = 4096;
  control_.options_.block_size = 1024;
  control_.blocks_.blocks = 4;
  control_.blocks_.objects = {{"b", "k", {{1024, 1000}}, 1000, 1, 7}};
  control_.live_.leases = {{"id", "b", "k", 1500us}};
  control_.live_.waiters = {{"b", "absent", 5s}};
  control_.namespaces_ = {{"my run", 2, 3, 40, {20, 9}, {30}}};
  control_.blocks_.runs = {{0, 1, BlockRun::Owner::free, "", ""},
                           {1, 1, BlockRun::Owner::object, "b", "k"},
                           {2, 2, BlockRun::Owner::put, "b", "coming"}};
  const Answer answer = get("/v1/state");
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(answer.text,
            R"({"capacity":4096,"block_size":1024,"objects":[)"
            R"({"bucket":"b","key":"k","bytes":1000,"fragments":[{"offset":1024,"length":1000}],)"
            R"("pins":1,"last_use":7}],"buckets":["b"],)"
            R"("leases":[{"id":"id","bucket":"b","key":"k","time_left_ms":2}],)"
            R"("waiters":[{"bucket":"b","key":"absent","time_left_ms":5000}],)"
            R"("namespaces":[{"name":"my run","num_ranks":2,"steps_retained":3,"bytes":40,)"
            R"("complete_steps":[20,9],"incomplete_steps":[30]}],)"
            R"("blocks":[{"first_block":0,"blocks":1,"owner":"free","bucket":"","key":""},)"
            R"({"first_block":1,"blocks":1,"owner":"object","bucket":"b","key":"k"},)"
            R"({"first_block":2,"blocks":2,"owner":"put","bucket":"b","key":"coming"}]})"
            "\n");
}

TEST_F(AdminServerTest, ShowsNamesThatAreNoUtf8) {
  control_.blocks_.objects = {{"\xff", "k", {{0, 1}}, 1, 0, 1}};
  EXPECT_THAT(get("/v1/state").body().at("buckets"), ElementsAre("\xef\xbf\xbd"));
}

TEST_F(AdminServerTest, SelectsObjectsAndLeasesByName) {
  constexpr std::uint64_t block = 1 << 20;
  control_.blocks_.blocks = 1024;
  control_.blocks_.objects = {{"a", "k", {{0, 1}}, 1, 0, 0},
                              {"b", "k", {{block, 1}}, 1, 0, 1},
                              {"b", "l", {{2 * block, 1}}, 1, 0, 2}};
  control_.live_.leases = {{"1", "a", "k", 1s}, {"2", "b", "l", 2s}};
  EXPECT_THAT(keys_in(get("/v1/objects").body().at("objects")), ElementsAre("k", "k", "l"));
  EXPECT_THAT(keys_in(get("/v1/objects?bucket=b").body().at("objects")), ElementsAre("k", "l"));
  EXPECT_THAT(keys_in(get("/v1/objects?bucket=b&key=l").body().at("objects")), ElementsAre("l"));
  EXPECT_THAT(keys_in(get("/v1/objects?end_block=1").body().at("objects")), ElementsAre("k"));
  EXPECT_THAT(keys_in(get("/v1/objects?limit=2").body().at("objects")), ElementsAre("k", "k"));
  EXPECT_THAT(keys_in(get("/v1/objects?bucket=b&limit=1").body().at("objects")), ElementsAre("k"));
  EXPECT_THAT(keys_in(get("/v1/leases").body().at("leases")), ElementsAre("k", "l"));
  EXPECT_THAT(keys_in(get("/v1/leases?key=l").body().at("leases")), ElementsAre("l"));
}

TEST_F(AdminServerTest, ShowsEveryFigureOfTheStatistics) {
  // All members are numbers side by side: each must appear, and each once.
  auto* const member = reinterpret_cast<std::uint64_t*>(&control_.statistics_);
  constexpr std::size_t members = sizeof(Statistics) / sizeof(std::uint64_t);
  for (std::size_t i = 0; i < members; ++i) member[i] = 1000 + i;
  const json shown = get("/v1/statistics").body();
  ASSERT_EQ(shown.size(), members);
  std::vector<std::uint64_t> values;
  for (const json& value : shown) values.push_back(value);
  std::ranges::sort(values);
  for (std::size_t i = 0; i < members; ++i) EXPECT_EQ(values[i], 1000 + i);
  EXPECT_EQ(shown.at("live_leases"), control_.statistics_.live_leases);
}

TEST_F(AdminServerTest, ShowsOneRequestWithItsHeads) {
  const std::string request = "GET /v1/x HTTP/1.1\r\nHost: h\r\nAuthorization: Basic abc\r\n\r\n";
  control_.journal_.record(entry("k1"), request, "HTTP/1.1 404 Not Found\r\n\r\n");
  control_.journal_.record(entry("k2", 0), "\xff\x16", "");
  control_.journal_.record(entry("k3"));

  const json first = get("/v1/journal/1").body();
  EXPECT_EQ(first.at("key"), "k1");
  EXPECT_EQ(first.at("request_head"),
            "GET /v1/x HTTP/1.1\r\nHost: h\r\nAuthorization: [redacted]\r\n\r\n");
  EXPECT_EQ(first.at("response_head"), "HTTP/1.1 404 Not Found\r\n\r\n");
  const json second = get("/v1/journal/2").body();
  EXPECT_EQ(second.at("request_head"), "\xef\xbf\xbd\x16");
  EXPECT_FALSE(second.contains("response_head"));
  EXPECT_FALSE(get("/v1/journal/3").body().contains("request_head"));
  // Lists stay short.
  EXPECT_FALSE(get("/v1/journal").body().at("entries").at(0).contains("request_head"));

  for (const char* gone : {"0", "4", "18446744073709551615"}) {
    EXPECT_EQ(error_of(get(fmt::format("/v1/journal/{}", gone))), "404 not_found -") << gone;
  }
  for (const char* wrong : {"-1", "1.5", "last", "18446744073709551616", "%00", "1%20"}) {
    EXPECT_EQ(error_of(get(fmt::format("/v1/journal/{}", wrong))), "400 invalid_request sequence")
        << wrong;
  }
}

TEST_F(AdminServerTest, ShowsTheJournalByFilter) {
  control_.journal_.record(entry("k1"));
  control_.journal_.record(entry("k2", 504));
  JournalEntry put = entry("a b", 201);
  put.operation = JournalOperation::put;
  put.bucket = std::string("c");
  put.connection = 2;
  put.fault = "slow";
  control_.journal_.record(put);

  const json all = get("/v1/journal").body();
  EXPECT_EQ(all.at("recorded"), 3);
  EXPECT_EQ(all.at("dropped"), 0);
  EXPECT_EQ(all.at("last_sequence"), 3);
  EXPECT_FALSE(all.contains("met"));
  EXPECT_EQ(all.at("entries").at(0), json::parse(entry_to_json(control_.journal_.entries()[0])));
  const auto keys = [&](const std::string& query) {
    return keys_in(get("/v1/journal?" + query).body().at("entries"));
  };
  EXPECT_THAT(keys("operation=put"), ElementsAre("a b"));
  EXPECT_THAT(keys("bucket=c"), ElementsAre("a b"));
  EXPECT_THAT(keys("key=a%20b"), ElementsAre("a b"));
  EXPECT_THAT(keys("connection=2"), ElementsAre("a b"));
  EXPECT_THAT(keys("status=504"), ElementsAre("k2"));
  EXPECT_THAT(keys("fault=slow"), ElementsAre("a b"));
  EXPECT_THAT(keys("after=1"), ElementsAre("k2", "a b"));
  EXPECT_THAT(keys("after=1&limit=1"), ElementsAre("k2"));
  EXPECT_THAT(keys("operation=lease&status=200"), ElementsAre("k1"));
  EXPECT_THAT(keys("operation=release"), ElementsAre());
  EXPECT_THAT(keys("last=2"), ElementsAre("k2", "a b"));
  EXPECT_THAT(keys("last=1&operation=lease"), ElementsAre("k2"));
  EXPECT_THAT(keys("last=2&after=2"), ElementsAre("a b"));
  EXPECT_THAT(keys("last=0"), ElementsAre());
}

TEST_F(AdminServerTest, WritesTheJournalAsLinesWhenAsked) {
  control_.journal_.record(entry("k1"));
  control_.journal_.record(entry("k2"));
  const std::string lines = entry_to_json(control_.journal_.entries()[0]) + "\n" +
                            entry_to_json(control_.journal_.entries()[1]) + "\n";
  const Answer by_parameter = get("/v1/journal?format=jsonl");
  EXPECT_EQ(by_parameter.text, lines);
  EXPECT_EQ(by_parameter.content_type, "application/x-ndjson");
  EXPECT_EQ(ask("GET", "/v1/journal", "", {{"Accept", "application/x-ndjson"}}).text, lines);
  EXPECT_EQ(ask("GET", "/v1/journal", "", {{"Accept", "application/jsonl"}}).text, lines);
  EXPECT_EQ(
      ask("GET", "/v1/journal?format=json", "", {{"Accept", "application/jsonl"}}).content_type,
      "application/json");
}

TEST_F(AdminServerTest, WaitsForEntries) {
  control_.journal_.record(entry("there"));
  EXPECT_EQ(get("/v1/journal?wait_ms=60000&key=there").body().at("met"), true);

  auto waiting = std::async(std::launch::async, [&] {
    return get("/v1/journal?wait_ms=60000&count=3&key=awaited").body();
  });
  for (int i = 0; i < 3; ++i) {
    control_.journal_.record(entry("other"));
    control_.journal_.record(entry("awaited"));
  }
  const json met = waiting.get();
  EXPECT_EQ(met.at("met"), true);
  EXPECT_THAT(met.at("entries"), SizeIs(3));

  const json missed = get("/v1/journal?wait_ms=1&count=4&key=awaited").body();
  EXPECT_EQ(missed.at("met"), false);
  EXPECT_THAT(missed.at("entries"), SizeIs(3));
}

TEST_F(AdminServerTest, StopEndsAWait) {
  auto waiting = std::async(std::launch::async, [&] { return get("/v1/journal?wait_ms=60000"); });
  // Another request that has been answered tells nothing of the first, so the wait may have begun
  // or not; both must end soon.
  EXPECT_EQ(get("/healthz").status, 200);
  server_->stop();
  EXPECT_EQ(waiting.wait_for(30s), std::future_status::ready);
}

TEST_F(AdminServerTest, RefusesParametersThatMeanNothing) {
  EXPECT_EQ(error_of(get("/v1/journal?opration=put")), "400 invalid_request opration");
  EXPECT_EQ(error_of(get("/v1/journal?operation=get")), "400 invalid_request operation");
  EXPECT_EQ(error_of(get("/v1/journal?status=ok")), "400 invalid_request status");
  EXPECT_EQ(error_of(get("/v1/journal?status=")), "400 invalid_request status");
  EXPECT_EQ(error_of(get("/v1/journal?connection=-1")), "400 invalid_request connection");
  EXPECT_EQ(error_of(get("/v1/journal?after=1.5")), "400 invalid_request after");
  EXPECT_EQ(error_of(get("/v1/journal?limit=99999999999999999999")), "400 invalid_request limit");
  EXPECT_EQ(error_of(get("/v1/journal?last=10001")), "400 invalid_request last");
  EXPECT_EQ(error_of(get("/v1/journal?last=1&limit=1")), "400 invalid_request last");
  EXPECT_EQ(error_of(get("/v1/journal?format=xml")), "400 invalid_request format");
  EXPECT_EQ(error_of(get("/v1/journal?count=1")), "400 invalid_request count");
  EXPECT_EQ(error_of(get("/v1/journal?wait_ms=60001")), "400 invalid_request wait_ms");
  EXPECT_EQ(error_of(get("/v1/journal?status=1&status=2")), "400 invalid_request status");
  EXPECT_EQ(error_of(get("/healthz?x=1")), "400 invalid_request x");
}

TEST_F(AdminServerTest, ShowsTotals) {
  JournalEntry hit = entry("k");
  hit.fault = "slow";
  hit.held = 1s;
  hit.bytes_out = 10;
  control_.journal_.record(hit);
  control_.journal_.record(entry("k", 504));
  control_.journal_.count({LeaseChange::What::granted, 1, "b"});
  const json totals = get("/v1/journal/totals").body();
  EXPECT_EQ(totals.at("recorded"), 2);
  EXPECT_EQ(totals.at("all").at("leases"), 2);
  EXPECT_EQ(totals.at("all").at("faults"), 1);
  EXPECT_EQ(totals.at("by_operation"), json::parse(R"([{"operation":"lease","requests":2,"held":1,
                "by_status":[{"status":200,"requests":1},{"status":504,"requests":1}]}])"));
  ASSERT_THAT(totals.at("by_connection"), SizeIs(1));
  EXPECT_EQ(totals.at("by_connection").at(0).at("connection"), 1);
  EXPECT_EQ(totals.at("by_connection").at(0).at("bytes_out"), 10);
  EXPECT_EQ(totals.at("by_connection").at(0).at("leases_live"), 1);
  EXPECT_EQ(totals.at("by_bucket").at(0).at("bucket"), "b");
}

constexpr const char* slow =
    R"({"name":"slow","match":{"operation":"lease"},"effects":{"delay":"1s"}})";
constexpr const char* broken = R"({"name":"broken","effects":{"status":500}})";

TEST_F(AdminServerTest, AddsFaultsOneOrSeveral) {
  const Answer one = ask("POST", "/v1/faults", slow);
  EXPECT_EQ(one.status, 201);
  EXPECT_EQ(one.body().at("faults").at(0).at("counts").at("fired"), 0);
  EXPECT_EQ(
      ask("POST", "/v1/faults", fmt::format("[{},{}]", broken, R"({"effects":{"reset":true}})"))
          .status,
      201);
  const auto list = control_.faults_.list();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].fault.match.operation, FaultOperation::lease);
  EXPECT_EQ(list[1].fault.name, "broken");
  EXPECT_FALSE(list[2].fault.name.empty());
}

TEST_F(AdminServerTest, KeepsAFaultThatAnotherRequestHasAdded) {
  // A request that fails must leave alone what others have added while it was tried.
  ASSERT_EQ(ask("POST", "/v1/faults", slow).status, 201);
  std::atomic<bool> done{false};
  auto failing = std::async(std::launch::async, [&] {
    while (!done) ask("POST", "/v1/faults", fmt::format("[{},{}]", broken, slow));
  });
  for (int i = 0; i < 50; ++i) {
    Fault fault;
    fault.name = fmt::format("mine-{}", i);
    fault.script = {Effects{}};
    fault.script[0].ending = ResetConnection{};
    ASSERT_TRUE(control_.faults_.add(fault));
  }
  done = true;
  failing.get();
  EXPECT_EQ(control_.faults_.list().size(), 51u);
}

TEST_F(AdminServerTest, TellsWhatRuns) {
  control_.options_.admin_token = "";
  control_.options_.capacity = 64 << 20;
  const json info = get("/v1/info").body();
  EXPECT_THAT(info.at("version").get<std::string>(), testing::MatchesRegex("[0-9]+[.][0-9]+.*"));
  EXPECT_EQ(info.at("uptime_ms"), 5000);
  EXPECT_EQ(info.at("url"), "http://127.0.0.1:9200");
  EXPECT_EQ(info.at("options").at("cache.capacity"), "64MiB");
  EXPECT_EQ(info.at("options").at("emulator.behaviour.miss_status"), "504");
}

TEST_F(AdminServerTest, IsNotReadyWithoutTheNameOfTheSegmentOrRoom) {
  control_.segment_.linked = false;
  EXPECT_EQ(error_of(get("/readyz")), "503 not_ready -");
  EXPECT_EQ(get("/healthz").status, 200);
  control_.segment_.linked = true;
  EXPECT_EQ(get("/readyz").status, 200);
  control_.statistics_.used_bytes = control_.statistics_.capacity_bytes;
  EXPECT_EQ(error_of(get("/readyz")), "503 not_ready -");
  control_.statistics_.evictable_bytes = control_.options_.block_size;
  EXPECT_EQ(get("/readyz").status, 200);
}

TEST_F(AdminServerTest, OffersTheScenariosThatComeWithIt) {
  const json scenarios = get("/v1/scenarios").body().at("scenarios");
  EXPECT_THAT(scenarios, SizeIs(testing::Gt(20u)));
  std::set<std::string> names;
  for (const json& scenario : scenarios) {
    EXPECT_FALSE(scenario.at("description").get<std::string>().empty()) << scenario.at("name");
    EXPECT_TRUE(names.insert(scenario.at("name")).second) << scenario.at("name");
    const Answer added = ask("POST", "/v1/faults", scenario.at("faults").dump());
    EXPECT_EQ(added.status, 201) << scenario.at("name") << added.text;
    for (const json& fault : scenario.at("faults")) {
      EXPECT_TRUE(control_.faults_.remove(fault.at("name").get<std::string>()));
    }
  }
}

TEST_F(AdminServerTest, ServesThePageWithAPolicyThatLetsNothingElseIn) {
  std::size_t size = 0;
  for (const char* path : {"/", "/page.css", "/page.js"}) {
    const Answer file = get(path);
    EXPECT_EQ(file.status, 200) << path;
    size += file.text.size();
    EXPECT_THAT(file.text, testing::Not(HasSubstr("https://"))) << path;
  }
  EXPECT_LT(size, 100u * 1024);
  httplib::Client client(server_->url());
  const auto page = client.Get("/");
  EXPECT_THAT(page->get_header_value("Content-Security-Policy"),
              AllOf(HasSubstr("default-src 'none'"), HasSubstr("frame-ancestors 'none'")));
  EXPECT_THAT(page->body, testing::Not(HasSubstr("<script>")));
}

TEST_F(AdminServerTest, AddsAllFaultsOfARequestOrNone) {
  ASSERT_EQ(ask("POST", "/v1/faults", slow).status, 201);
  EXPECT_EQ(error_of(ask("POST", "/v1/faults", fmt::format("[{},{}]", broken, slow))),
            "400 invalid_request name");
  EXPECT_EQ(control_.faults_.list().size(), 1u);
}

TEST_F(AdminServerTest, ReplacesAndRemovesFaults) {
  ASSERT_EQ(ask("POST", "/v1/faults", slow).status, 201);
  control_.faults_.decide({.operation = FaultOperation::lease});
  EXPECT_EQ(get("/v1/faults/slow").body().at("counts"), json({{"matched", 1}, {"fired", 1}}));
  EXPECT_EQ(error_of(get("/v1/faults/none")), "404 not_found name");

  EXPECT_EQ(ask("PUT", "/v1/faults", fmt::format(R"({{"faults":[{},{}]}})", broken, slow)).status,
            200);
  const json list = get("/v1/faults").body().at("faults");
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list.at(0).at("name"), "broken");
  EXPECT_EQ(list.at(1).at("counts").at("fired"), 0);

  EXPECT_EQ(ask("DELETE", "/v1/faults/broken").status, 200);
  EXPECT_EQ(error_of(ask("DELETE", "/v1/faults/broken")), "404 not_found name");
  ASSERT_EQ(control_.faults_.list().size(), 1u);
  EXPECT_EQ(ask("DELETE", "/v1/faults").text, "{\"faults\":[]}\n");
  EXPECT_TRUE(control_.faults_.list().empty());
}

TEST_F(AdminServerTest, FindsAFaultByAnyName) {
  Fault fault;
  fault.name = "a/b c%2F?";
  fault.script = {Effects{}};
  fault.script[0].ending = ResetConnection{};
  ASSERT_TRUE(control_.faults_.add(fault));
  EXPECT_EQ(get("/v1/faults/a%2Fb%20c%252F%3F").body().at("name"), fault.name);
  EXPECT_EQ(ask("DELETE", "/v1/faults/a%2Fb%20c%252F%3f").status, 200);
  EXPECT_EQ(error_of(get("/v1/faults/")), "404 not_found -");
  EXPECT_EQ(error_of(get("/v1/faults/a/b")), "404 not_found -");
}

TEST_F(AdminServerTest, NamesTheFieldOfAFaultThatIsWrong) {
  EXPECT_EQ(error_of(ask("POST", "/v1/faults", R"({"effects":{"dealy":"1s"}})")),
            "400 invalid_request faults[0].effects.dealy");
  EXPECT_EQ(error_of(ask("PUT", "/v1/faults",
                         R"([{"match":{"probability":2},"effects":{"reset":true}}])")),
            "400 invalid_request faults[0].match.probability");
  EXPECT_EQ(error_of(ask("POST", "/v1/faults", "{")), "400 invalid_request -");
  EXPECT_EQ(error_of(ask("POST", "/v1/faults", "")), "400 invalid_request -");
  EXPECT_EQ(error_of(ask("POST", "/v1/faults", "7")), "400 invalid_request faults");
  EXPECT_TRUE(control_.faults_.list().empty());
}

TEST_F(AdminServerTest, MovesAManualClock) {
  const json before = get("/v1/clock").body();
  EXPECT_EQ(before.at("kind"), "manual");
  const Answer after = ask("POST", "/v1/clock", R"({"advance_ms":30000})");
  EXPECT_EQ(after.status, 200);
  EXPECT_EQ(after.body().at("now_us").get<std::int64_t>(),
            before.at("now_us").get<std::int64_t>() + 30'000'000);
  EXPECT_EQ(control_.clock().now(), ManualClock().now() + 30s);
}

TEST_F(AdminServerTest, RefusesToMoveAClockBackOrNowhere) {
  EXPECT_EQ(error_of(ask("POST", "/v1/clock", R"({"advance_ms":-1})")),
            "400 invalid_request advance_ms");
  EXPECT_EQ(error_of(ask("POST", "/v1/clock", R"({"advance_ms":0.5})")),
            "400 invalid_request advance_ms");
  EXPECT_EQ(error_of(ask("POST", "/v1/clock", R"({"advance_ms":1e30})")),
            "400 invalid_request advance_ms");
  EXPECT_EQ(error_of(ask("POST", "/v1/clock", R"({"advance_ms":9223372036854775807})")),
            "400 invalid_request advance_ms");
  EXPECT_EQ(error_of(ask("POST", "/v1/clock", "{}")), "400 invalid_request advance_ms");
  EXPECT_EQ(error_of(ask("POST", "/v1/clock", R"({"advance":1})")), "400 invalid_request advance");
  EXPECT_EQ(error_of(ask("POST", "/v1/clock", "[]")), "400 invalid_request -");
  EXPECT_EQ(control_.clock().now(), ManualClock().now());
}

TEST(AdminServer, DoesNotMoveARealClock) {
  FakeControl control(std::make_shared<RealClock>());
  const auto server = AdminServer::start("127.0.0.1:0", control);
  ASSERT_TRUE(server) << server.error().message;
  httplib::Client client((*server)->url());
  EXPECT_EQ(json::parse(client.Get("/v1/clock")->body).at("kind"), "real");
  EXPECT_EQ(client.Post("/v1/clock", R"({"advance_ms":1})", "application/json")->status, 409);
}

TEST_F(AdminServerTest, ShowsAndShakesTheSegment) {
  control_.segment_ = {"name", 4096, 42, 0640, true, true};
  EXPECT_EQ(get("/v1/segment").text,
            "{\"name\":\"name\",\"size\":4096,\"inode\":42,\"mode\":\"0640\",\"linked\":true,"
            "\"intact\":true}\n");
  EXPECT_EQ(ask("POST", "/v1/segment", R"({"incident":"unlink_segment"})").status, 200);
  EXPECT_EQ(ask("POST", "/v1/segment", R"({"incident":"change_mode","mode":"0000"})").status, 200);
  EXPECT_EQ(ask("POST", "/v1/segment", R"({"incident":"empty_segment","lasting":"2s"})").status,
            200);
  ASSERT_EQ(control_.caused_.size(), 3u);
  EXPECT_EQ(control_.caused_[0].incident, Incident::unlink_segment);
  EXPECT_EQ(control_.caused_[1].mode, 0u);
  EXPECT_EQ(control_.caused_[2].lasting, 2s);
}

TEST_F(AdminServerTest, RefusesIncidentsThatAreNone) {
  EXPECT_EQ(error_of(ask("POST", "/v1/segment", "{}")), "400 invalid_request incident");
  EXPECT_EQ(error_of(ask("POST", "/v1/segment", R"({"incident":"fire"})")),
            "400 invalid_request incident");
  EXPECT_EQ(error_of(ask("POST", "/v1/segment", R"({"incident":"change_mode"})")),
            "400 invalid_request mode");
  EXPECT_EQ(error_of(ask("POST", "/v1/segment", R"({"incident":"change_mode","mode":"8"})")),
            "400 invalid_request mode");
  EXPECT_EQ(error_of(ask("POST", "/v1/segment", R"({"incident":"restart","delay":"1s"})")),
            "400 invalid_request delay");
  EXPECT_TRUE(control_.caused_.empty());
  control_.trouble_ = Error{ErrorCode::segment_unusable, "there is no room for another segment"};
  EXPECT_EQ(error_of(ask("POST", "/v1/segment", R"({"incident":"recreate_segment"})")),
            "500 failed -");
}

TEST_F(AdminServerTest, ResetsAllOrWhatIsNamed) {
  EXPECT_EQ(ask("POST", "/v1/reset").status, 204);
  EXPECT_EQ(ask("POST", "/v1/reset", "{}").status, 204);
  EXPECT_EQ(ask("POST", "/v1/reset", R"({"only":["journal","counters"]})").status, 204);
  EXPECT_EQ(ask("POST", "/v1/reset", R"({"only":["objects","leases","faults"]})").status, 204);
  EXPECT_EQ(error_of(ask("POST", "/v1/reset", R"({"only":["everything"]})")),
            "400 invalid_request only");
  EXPECT_EQ(error_of(ask("POST", "/v1/reset", R"({"only":"journal"})")),
            "400 invalid_request only");
  EXPECT_EQ(ask("POST", "/v1/reset", R"({"only":["journal"]})" + std::string("\0 x", 3)).status,
            400);
  EXPECT_EQ(error_of(ask("POST", "/v1/reset", R"({"journal":true})")),
            "400 invalid_request journal");
  const auto selected = [&](std::size_t i) {
    const ResetSelection& reset = control_.resets_.at(i);
    return fmt::format("{:d}{:d}{:d}{:d}{:d}", reset.objects, reset.leases, reset.faults,
                       reset.journal, reset.counters);
  };
  ASSERT_EQ(control_.resets_.size(), 4u);
  EXPECT_EQ(selected(0), "11111");
  EXPECT_EQ(selected(1), "11111");
  EXPECT_EQ(selected(2), "00011");
  EXPECT_EQ(selected(3), "11100");
}

TEST_F(AdminServerTest, TellsWhatIsNotThere) {
  EXPECT_EQ(error_of(get("/none")), "404 not_found -");
  EXPECT_EQ(error_of(get("/v1/kv/b/k")), "404 not_found -");
  EXPECT_EQ(error_of(ask("POST", "/v1/kv/b/k", "body")), "404 not_found -");
  const Answer refused = ask("DELETE", "/v1/clock");
  EXPECT_EQ(error_of(refused), "405 method_not_allowed -");
  EXPECT_EQ(refused.allow, "GET, POST");
  EXPECT_EQ(error_of(ask("POST", "/v1/faults", std::string(longest_body + 1, ' '))),
            "413 body_too_large -");
}

TEST(AdminServer, WarnsWhenOtherMachinesCanReachIt) {
  const auto log = std::make_shared<test::LogRecorder>();
  FakeControl control;
  control.options_.log = log;
  ASSERT_TRUE(AdminServer::start("127.0.0.1:0", control));
  EXPECT_THAT(log->text(), testing::Not(HasSubstr("warn")));
  ASSERT_TRUE(AdminServer::start("0.0.0.0:0", control));
  EXPECT_THAT(log->text(), AllOf(HasSubstr("warn"), HasSubstr("0.0.0.0:0")));
}

TEST(AdminServer, RefusesAnAddressThatIsNone) {
  FakeControl control;
  const auto server = AdminServer::start("nowhere", control);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, ErrorCode::invalid_option);
}

// --- The description against what is served -----------------------------------------------------

// Whether `value` is what `schema` says, member for member; the path of the first that is not.
std::string difference(const json& document, const json& schema, const json& value,
                       const std::string& path) {
  if (schema.contains("$ref")) {
    const json::json_pointer at(schema["$ref"].get<std::string>().substr(1));
    return difference(document, document.at(at), value, path);
  }
  if (schema.contains("enum")) {
    return std::ranges::count(schema["enum"], value) == 1 ? "" : path + " is not among the values";
  }
  if (schema.contains("oneOf")) {
    for (const json& one : schema["oneOf"]) {
      if (difference(document, one, value, path).empty()) return "";
    }
    return path + " is not of any of the kinds";
  }
  const std::string type = schema.value("type", "");
  const bool fits = type == "object"    ? value.is_object()
                    : type == "array"   ? value.is_array()
                    : type == "string"  ? value.is_string()
                    : type == "integer" ? value.is_number_integer()
                    : type == "number"  ? value.is_number()
                    : type == "boolean" ? value.is_boolean()
                                        : false;
  if (!fits) return path + " is not of type " + type;
  for (std::size_t i = 0; type == "array" && i < value.size(); ++i) {
    const auto wrong =
        difference(document, schema.at("items"), value[i], fmt::format("{}[{}]", path, i));
    if (!wrong.empty()) return wrong;
  }
  if (type != "object") return "";
  for (const json& name : schema.value("required", json::array())) {
    if (!value.contains(name)) return path + "." + name.get<std::string>() + " is missing";
  }
  for (const auto& [name, member] : value.items()) {
    if (schema["additionalProperties"].is_object()) {
      const auto wrong =
          difference(document, schema["additionalProperties"], member, path + "." + name);
      if (!wrong.empty()) return wrong;
      continue;
    }
    if (!schema.at("properties").contains(name)) return path + "." + name + " is not described";
    const auto wrong = difference(document, schema["properties"][name], member, path + "." + name);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

class DescribedTest : public AdminServerTest {
 protected:
  DescribedTest() {
    control_.blocks_.blocks = 1024;
    control_.blocks_.objects = {{"b", "k", {{0, 1}}, 1, 1, 1}};
    control_.live_.leases = {{"id", "b", "k", 1s}};
    control_.live_.waiters = {{"b", "absent", 5s}};
    control_.namespaces_ = {{"my run", 2, 3, 40, {20, 9}, {30}}};
    control_.blocks_.runs = {{0, 1, BlockRun::Owner::object, "b", "k"}};
    control_.journal_.record(entry("k"), "POST / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    const auto faults = faults_from_json(fmt::format(
        R"([{}, {{"name":"all","match":{{"bucket":"b","key":"k*","connection":1,"nth":2,
            "probability":0.5,"seed":7}},"script":[{{"delay":{{"low":"1s","high":"2s"}}}},
            {{"delay":{{"median":"1s","sigma":0.5}}}}, {{"status":503,"retry_after":"2s"}}]}}])",
        slow));
    EXPECT_TRUE(faults) << faults.error().message;
    EXPECT_TRUE(control_.faults_.replace(*faults));
    document_ = get("/openapi.json").body();
  }

  static std::string concrete(std::string path) {
    if (const auto name = path.find("{name}"); name != path.npos) path.replace(name, 6, "slow");
    if (const auto at = path.find("{sequence}"); at != path.npos) path.replace(at, 10, "1");
    return path;
  }

  // A body that the operation takes.
  static std::string body_for(const std::string& path) {
    if (path == "/v1/faults") return R"({"effects":{"reset":true}})";
    if (path == "/v1/clock") return R"({"advance_ms":1})";
    if (path == "/v1/segment") return R"({"incident":"restart"})";
    return "";
  }

  json document_;
};

TEST_F(DescribedTest, ServesExactlyTheMethodsThatAreDescribed) {
  EXPECT_EQ(document_.at("openapi"), "3.1.0");
  EXPECT_EQ(document_.at("paths").size(), 22u);
  for (const auto& [path, operations] : document_.at("paths").items()) {
    for (const char* method : {"get", "put", "post", "delete", "patch", "options", "trace"}) {
      std::string upper(method);
      std::ranges::transform(upper, upper.begin(),
                             [](char c) { return static_cast<char>(c - 32); });
      if (path == "/v1/events" && upper == "GET") continue;  // does not end
      const Answer answer = ask(upper, concrete(path));
      EXPECT_EQ(operations.contains(method), answer.status != 405)
          << upper << " " << path << ": " << answer.status;
      EXPECT_NE(answer.status, 404) << upper << " " << path;
      if (path.find("{name}") != path.npos || upper == "PUT" || upper == "DELETE") {
        EXPECT_TRUE(control_.faults_.replace(*faults_from_json(fmt::format("[{}]", slow))));
      }
    }
  }
}

TEST_F(DescribedTest, DescribesEveryRoute) {
  for (const Route& route : admin_routes()) {
    std::string method(route.method);
    std::ranges::transform(method, method.begin(),
                           [](char c) { return static_cast<char>(c + 32); });
    EXPECT_TRUE(document_.at("paths").at(std::string(route.path)).contains(method)) << route.path;
  }
}

TEST_F(DescribedTest, AnswersAsDescribed) {
  for (const auto& [path, operations] : document_.at("paths").items()) {
    for (const auto& [method, operation] : operations.items()) {
      std::string upper = method;
      std::ranges::transform(upper, upper.begin(),
                             [](char c) { return static_cast<char>(c - 32); });
      if (path == "/v1/events") continue;  // does not end
      const std::string where = upper + " " + path;
      const std::string body = operation.contains("requestBody") ? body_for(path) : "";
      if (!body.empty()) {
        const json& schema = operation["requestBody"]["content"]["application/json"]["schema"];
        EXPECT_EQ(difference(document_, schema, json::parse(body), where), "");
      }
      const Answer answer = ask(upper, concrete(path), body);
      const std::string status = std::to_string(answer.status);
      ASSERT_TRUE(operation["responses"].contains(status))
          << where << ": " << status << answer.text;
      const json& described = operation["responses"][status];
      if (answer.text.empty()) {
        EXPECT_FALSE(described.contains("content")) << where;
        continue;
      }
      ASSERT_TRUE(described["content"].contains(answer.content_type)) << where;
      const json& schema = described["content"][answer.content_type]["schema"];
      if (!schema.empty()) {
        EXPECT_EQ(difference(document_, schema, answer.body(), where), "");
      }
      ASSERT_TRUE(control_.faults_.replace(*faults_from_json(fmt::format("[{}]", slow))));
    }
  }
}

TEST_F(DescribedTest, DescribesItsErrors) {
  const json& schema = document_.at("components").at("schemas").at("Error");
  for (const Answer& answer : {get("/nowhere"), get("/v1/journal?status=x")}) {
    EXPECT_EQ(difference(document_, schema, answer.body(), ""), "");
  }
}

TEST_F(DescribedTest, AnswersAWaitAsDescribed) {
  const json schema{{"$ref", "#/components/schemas/Journal"}};
  EXPECT_EQ(difference(document_, schema, get("/v1/journal?wait_ms=1").body(), ""), "");
}

TEST_F(DescribedTest, TakesExactlyTheParametersThatAreDescribed) {
  for (const Route& route : admin_routes()) {
    for (const QueryParameter& parameter : route.query) {
      const Answer answer = get(fmt::format("{}?{}=0", route.path, parameter.name));
      EXPECT_THAT(answer.text, testing::Not(HasSubstr("is unknown; /v1"))) << parameter.name;
    }
  }
  const json& parameters = document_["paths"]["/v1/journal"]["get"]["parameters"];
  EXPECT_EQ(parameters.size(), 12u);
}

// The names that a refusal of `faults` lists.
std::vector<std::string> known_names(const std::string& faults) {
  const auto refused = faults_from_json(faults);
  std::vector<std::string> names;
  if (refused) return names;
  const std::string& message = refused.error().message;
  const std::string_view before = "known are ";
  std::istringstream list(message.substr(message.find(before) + before.size()));
  for (std::string name; std::getline(list >> std::ws, name, ',');) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

TEST_F(DescribedTest, DescribesExactlyTheMembersOfAFault) {
  const auto described = [&](const char* schema) {
    std::vector<std::string> names;
    for (const auto& [name, member] :
         document_["components"]["schemas"][schema]["properties"].items()) {
      names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
  };
  EXPECT_EQ(described("NewFault"), known_names(R"([{"?":1}])"));
  EXPECT_EQ(described("Match"), known_names(R"([{"match":{"?":1}}])"));
  EXPECT_EQ(described("Effects"), known_names(R"([{"effects":{"?":1}}])"));
}

}  // namespace
}  // namespace hyperpod::emulator::admin
