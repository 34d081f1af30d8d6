// SPDX-License-Identifier: Apache-2.0
// What a client sees of storing, leasing and releasing over one plain connection.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "testing/daemon.h"
#include "testing/log_recorder.h"

namespace hyperpod::emulator::http {
namespace {

using test::chunked_head;
using test::Daemon;
using test::fragments_of;
using test::get_request;
using test::id_of;
using test::lease_request;
using test::put_head;
using test::put_request;
using test::random_bytes;
using test::release_request;
using test::Reply;
using test::test_options;
using test::WireClient;

using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::HasSubstr;

class DataPort : public testing::Test {
 protected:
  DataPort() { options.capacity = 16 * block; }

  /// Started with `options` at first use.
  Daemon& daemon() {
    if (!daemon_) daemon_.emplace(options);
    return *daemon_;
  }
  WireClient& client() {
    if (!client_) client_.emplace(daemon().connect());
    return *client_;
  }

  Reply put(std::string_view path, std::string_view body) {
    return client().ask(put_request(path, body));
  }
  Reply lease(std::string_view path, std::string_view query = "timeout_ms=0&ttl_s=30.0") {
    return client().ask(lease_request(path, query));
  }
  Reply release(std::string_view id) { return client().ask(release_request(id)); }

  /// What is stored under `path`, leased and released again.
  std::string stored(std::string_view path) {
    const auto grant = lease(path);
    const auto bytes = daemon().leased_bytes(grant);
    EXPECT_EQ(release(id_of(grant)).status, 200);
    return bytes;
  }

  /// Whether the next request on the connection is answered as it should be.
  bool in_step() { return client().ask(get_request()).error() == "not_found"; }

  static constexpr std::uint64_t block = 64 * 1024;
  const std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Options options = test_options(clock);

 private:
  std::optional<Daemon> daemon_;
  std::optional<WireClient> client_;
};

void expect_refusal(const Reply& reply, int status, std::string_view error) {
  EXPECT_EQ(reply.status, status);
  EXPECT_EQ(reply.error(), error);
  EXPECT_EQ(reply.fields.at("content-type"), "application/json");
  EXPECT_GT(nlohmann::json::parse(reply.body).at("message").get<std::string>().size(), 10u);
}

// --- Store
// --------------------------------------------------------------------------------------

TEST_F(DataPort, StoresABodyByteForByte) {
  const auto body = random_bytes(5 * block + 123);
  const auto reply = put("bucket/key", body);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
  EXPECT_EQ(stored("bucket/key"), body);
}

TEST_F(DataPort, StoresABodyOfOneByteAndOneOfTheWholeSegment) {
  EXPECT_EQ(put("b/small", "x").status, 200);
  EXPECT_EQ(stored("b/small"), "x");
  const auto all = random_bytes(options.capacity);
  EXPECT_EQ(put("b/all", all).status, 200);
  EXPECT_EQ(stored("b/all"), all);
}

TEST_F(DataPort, StoresABodyThatComesMuchLaterAndInPieces) {
  const auto body = random_bytes(3000);
  client().send(put_head("b/k", body.size()));
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  for (std::size_t at = 0, size = 1; at < body.size(); at += size, size = size % 97 + 7) {
    client().send(std::string_view(body).substr(at, size));
  }
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(stored("b/k"), body);
}

TEST_F(DataPort, KeepsWhatIsStoredWhenAKeyIsStoredAgain) {
  put("b/k", "first");
  expect_refusal(put("b/k", random_bytes(3 * block)), 409, "exists");
  EXPECT_TRUE(in_step());
  EXPECT_EQ(stored("b/k"), "first");
  EXPECT_EQ(daemon().statistics().puts_existing, 1u);
}

TEST_F(DataPort, LooksForTheKeyBeforeItLooksAtTheBody) {
  put("b/k", "first");
  expect_refusal(put("b/k", ""), 409, "exists");
  expect_refusal(client().ask(chunked_head("b/k") + "0\r\n\r\n"), 409, "exists");
  EXPECT_TRUE(in_step());
  const auto too_large = client().ask(put_head("b/k", options.capacity + 1));
  expect_refusal(too_large, 409, "exists");
  EXPECT_TRUE(too_large.closes()) << "the body is not waited for";
  EXPECT_EQ(daemon().statistics().puts_existing, 3u);
}

TEST_F(DataPort, RefusesAnEmptyBody) {
  expect_refusal(put("b/k", ""), 400, "empty");
  const auto without_length = client().ask("PUT /v1/kv/b/k HTTP/1.1\r\nHost: h\r\n\r\n");
  expect_refusal(without_length, 400, "empty");
  expect_refusal(client().ask(chunked_head("b/k") + "0\r\n\r\n"), 400, "empty");
  EXPECT_EQ(lease("b/k").status, 504);
  const auto now = daemon().statistics();
  EXPECT_EQ(now.used_bytes, 0u);
  EXPECT_EQ(now.puts_refused, 3u);
  EXPECT_EQ(now.puts_aborted, 0u) << "no sender has cut anything short";
}

TEST_F(DataPort, RefusesABodyLargerThanTheSegmentBeforeItIsRead) {
  const auto reply = client().ask(put_head("b/k", options.capacity + 1));
  expect_refusal(reply, 413, "too_large");
  EXPECT_TRUE(reply.closes());
  client().close_sending();
  EXPECT_EQ(client().receive_until_closed(), "");
}

TEST_F(DataPort, LetsAPeerThatSendsARefusedBodyReadTheAnswer) {
  // Closing at once would reset the connection, and the response might never be seen.
  client().try_send(put_request("b/k", random_bytes(options.capacity + 1)));
  const auto reply = client().receive();
  expect_refusal(reply, 413, "too_large");
}

TEST_F(DataPort, RefusesABodyForWhichNoRoomCanBeMade) {
  put("b/pinned", random_bytes(10 * block));
  const auto grant = lease("b/pinned");
  const auto before = daemon().statistics();
  expect_refusal(put("b/k", random_bytes(7 * block)), 507, "no_room");
  EXPECT_TRUE(in_step());
  const auto after = daemon().statistics();
  EXPECT_EQ(after.used_bytes, before.used_bytes);
  EXPECT_EQ(after.objects, before.objects);
  EXPECT_EQ(after.evictions, 0u);

  release(id_of(grant));
  EXPECT_EQ(put("b/k", random_bytes(7 * block)).status, 200);
  EXPECT_EQ(lease("b/pinned").status, 504) << "not evicted";
}

TEST_F(DataPort, ChangesNothingUnderALeaseHoweverMuchIsStored) {
  const auto body = random_bytes(2 * block);
  put("b/pinned", body);
  const auto grant = lease("b/pinned");
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(put("b/" + std::to_string(i), random_bytes(3 * block)).status, 200);
  }
  EXPECT_GT(daemon().statistics().evictions, 30u);
  EXPECT_EQ(daemon().leased_bytes(grant), body);
  EXPECT_EQ(lease("b/pinned").status, 200);
}

TEST_F(DataPort, LeavesNothingOfAPutCutShort) {
  for (const bool reset : {false, true}) {
    auto sender = daemon().connect();
    sender.send(put_head("b/k", 8 * block) + random_bytes(3 * block));
    ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.used_bytes > 0; }));
    reset ? sender.reset() : sender.close();
    EXPECT_TRUE(daemon().reaches([](const Statistics& s) {
      return s.puts_in_flight == 0 && s.used_bytes == 0 && s.open_connections == 0;
    }));
  }
  EXPECT_EQ(daemon().statistics().puts_aborted, 2u);
  EXPECT_EQ(lease("b/k").status, 504);
}

TEST_F(DataPort, ShowsAnObjectOnlyWhenAllOfItHasCome) {
  auto sender = daemon().connect();
  sender.send(put_head("b/k", 100) + std::string(99, 'x'));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  EXPECT_EQ(lease("b/k").status, 504);
  sender.send("y");
  EXPECT_EQ(sender.receive().status, 200);
  EXPECT_EQ(stored("b/k"), std::string(99, 'x') + "y");
}

TEST_F(DataPort, StoresTheFirstCompleteOfTwoPutsOfOneKey) {
  auto slow = daemon().connect();
  slow.send(put_head("b/k", 2 * block) + std::string(block, 's'));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  EXPECT_EQ(put("b/k", std::string(2 * block, 'f')).status, 200);
  slow.send(std::string(block, 's'));
  expect_refusal(slow.receive(), 409, "exists");
  EXPECT_EQ(stored("b/k"), std::string(2 * block, 'f'));
  EXPECT_EQ(daemon().statistics().used_bytes, 2 * block);
}

TEST_F(DataPort, StoresTheFirstBegunOfTwoPutsIfToldTo) {
  options.behaviour.put_race = PutRace::first_begun;
  auto slow = daemon().connect();
  slow.send(put_head("b/k", 2) + "s");
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  expect_refusal(put("b/k", "ff"), 409, "exists");
  EXPECT_TRUE(in_step());
  slow.send("s");
  EXPECT_EQ(slow.receive().status, 200);
  EXPECT_EQ(stored("b/k"), "ss");
}

TEST_F(DataPort, ReadsPartOfABodyIntoEachFragment) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    options = test_options(clock);
    options.placement = placement;
    Daemon scattering(options);
    auto sender = scattering.connect();
    const auto body = random_bytes(6 * block + 17);
    ASSERT_EQ(sender.ask(put_request("b/k", body)).status, 200);
    const auto grant = sender.ask(lease_request("b/k"));
    EXPECT_EQ(fragments_of(grant), placement == Placement::contiguous  ? 1u
                                   : placement == Placement::scattered ? 7u
                                                                       : 8u);
    EXPECT_EQ(scattering.leased_bytes(grant), body);
  }
}

// Bodies up to a size are stored in one go, where all of them has come.
TEST_F(DataPort, StoresBodiesOfAnySizeHoweverTheyAreSent) {
  options.placement = Placement::worst_case;
  options.block_size = 16 * 1024;
  const auto check = [&](std::size_t size, std::size_t with_head) {
    const std::string path = "b/" + std::to_string(size) + "-" + std::to_string(with_head);
    const auto body = random_bytes(size);
    client().send(put_head(path, size) + body.substr(0, with_head));
    client().send(std::string_view(body).substr(with_head));
    EXPECT_EQ(client().receive().status, 200) << path;
    EXPECT_EQ(stored(path), body) << path;
    client().send(put_request(path, body));
    EXPECT_EQ(client().receive().error(), "exists") << path;
    EXPECT_TRUE(in_step()) << path;
    JournalFilter puts;
    puts.operation = JournalOperation::put;
    const auto entries = daemon().emulator().journal().entries(puts);
    ASSERT_GE(entries.size(), 2u);
    EXPECT_EQ(entries[entries.size() - 1].bytes_in, size) << path << ", refused";
    EXPECT_EQ(entries[entries.size() - 2].bytes_in, size) << path;
  };
  for (const std::size_t size : {2u, 4'096u, 8'000u, 8'100u, 8'192u, 50'000u, 262'144u, 262'145u}) {
    check(size, size);
    check(size, 0);
    check(size, size / 2);
  }
}

// --- Names
// --------------------------------------------------------------------------------------

TEST_F(DataPort, TakesAKeyForTheSameHoweverItIsEncoded) {
  put("b/model%2Fa@8@0@ff", "x");
  for (const char* path :
       {"b/model%2Fa@8@0@ff", "b/model%2fa%408%400%40ff", "%62/model%2Fa%408@0@ff"}) {
    EXPECT_EQ(lease(path).status, 200) << path;
  }
  EXPECT_EQ(daemon().statistics().objects, 1u);
}

TEST_F(DataPort, KeepsKeysThatDifferApart) {
  const std::vector<std::string> paths{"b/%40", "b/%2540",     "b/a+b",  "b/a%20b",
                                       "b/A",   "b/a",         "b/a%2F", "b/%2Fa",
                                       "c/a",   "b/%E2%82%AC", "b/..",   "b/leases"};
  for (const auto& path : paths) EXPECT_EQ(put(path, "of " + path).status, 200) << path;
  for (const auto& path : paths) EXPECT_EQ(stored(path), "of " + path);
  EXPECT_EQ(daemon().statistics().buckets, 2u);
}

TEST_F(DataPort, RefusesNamesThatCannotBeDecoded) {
  for (const char* path : {"b/%", "b/%4", "b/%zz", "%f/k", "b/%FF", "b/%C0%80"}) {
    expect_refusal(put(path, "body"), 400, "malformed_request");
    expect_refusal(lease(path), 400, "malformed_request");
  }
  EXPECT_EQ(daemon().statistics().used_bytes, 0u);
  EXPECT_EQ(daemon().statistics().requests_rejected, 12u);
}

// --- Lease
// --------------------------------------------------------------------------------------

TEST_F(DataPort, GrantsALeaseAsJson) {
  put("b/k", "bytes");
  const auto reply = lease("b/k");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.fields.at("content-type"), "application/json");
  EXPECT_THAT(id_of(reply), testing::MatchesRegex("[A-Za-z0-9_-]+"));
  const auto offsets = nlohmann::json::parse(reply.body).at("offsets");
  ASSERT_EQ(offsets.size(), 1u);
  EXPECT_EQ(offsets[0].at("len"), 5);
  EXPECT_TRUE(offsets[0].at("offset").is_number_unsigned());
}

TEST_F(DataPort, AnswersAMissAsAnOrdinaryThing) {
  expect_refusal(lease("b/k"), 504, "absent");
  EXPECT_TRUE(in_step());
  EXPECT_EQ(daemon().statistics().lease_misses, 1u);
}

TEST_F(DataPort, GivesEachLeaseOnAnObjectALifeOfItsOwn) {
  put("b/k", "bytes");
  const auto one = id_of(lease("b/k"));
  const auto two = id_of(lease("b/k"));
  EXPECT_NE(one, two);
  EXPECT_EQ(release(one).status, 200);
  const auto now = daemon().statistics();
  EXPECT_EQ(now.live_leases, 1u);
  EXPECT_EQ(now.pinned_bytes, block);
  EXPECT_EQ(release(two).status, 200);
  EXPECT_EQ(daemon().statistics().pinned_bytes, 0u);
}

TEST_F(DataPort, RefusesALeaseRequestWithNumbersThatAreNone) {
  put("b/k", "bytes");
  for (const char* query : {"timeout_ms=x", "timeout_ms=-1", "timeout_ms=1.5", "ttl_s=", "ttl_s=-1",
                            "ttl_s=nan", "ttl_s=inf", "ttl_s=1&ttl_s=1"}) {
    expect_refusal(lease("b/k", query), 400, "malformed_request");
  }
  EXPECT_EQ(daemon().statistics().live_leases, 0u);
  EXPECT_EQ(daemon().statistics().requests_rejected, 8u);
  const auto entries = daemon().emulator().journal().entries({.status = 400});
  ASSERT_EQ(entries.size(), 8u);
  EXPECT_EQ(entries[0].operation, JournalOperation::lease);
  EXPECT_EQ(entries[0].bucket, "b");
  EXPECT_EQ(entries[0].key, "k");
}

TEST_F(DataPort, GrantsALeaseWithoutQueryForThirtySeconds) {
  put("b/k", "bytes");
  const auto grant = client().ask("POST /v1/kv/b/k/leases HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(grant.status, 200);
  clock->advance(30s - 1ms);
  EXPECT_EQ(daemon().statistics().live_leases, 1u);
  clock->advance(1ms);
  EXPECT_EQ(daemon().statistics().live_leases, 0u);
}

TEST_F(DataPort, ReadsPastTheBodyOfARequestThatNeedsNone) {
  put("b/k", "bytes");
  client().send("POST /v1/kv/b/k/leases HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nbody1");
  EXPECT_EQ(client().receive().status, 200);
  client().send(
      "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n");
  EXPECT_EQ(client().receive().status, 404);
  EXPECT_TRUE(in_step());
}

// --- Release
// ------------------------------------------------------------------------------------

TEST_F(DataPort, ReleasesALeaseOnce) {
  put("b/k", "bytes");
  const auto id = id_of(lease("b/k"));
  const auto reply = release(id);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
  expect_refusal(release(id), 404, "unknown_lease");
}

TEST_F(DataPort, DoesNotKnowIdsThatItNeverGave) {
  for (const char* id : {"unknown", "", "AAAAAAAAAAAAAAAAAAAAAA", "a%2Fb", "%00"}) {
    expect_refusal(release(id), 404, "unknown_lease");
  }
}

TEST_F(DataPort, ReleasesALeaseOverAnotherConnection) {
  put("b/k", "bytes");
  const auto id = id_of(lease("b/k"));
  EXPECT_EQ(daemon().connect().ask(release_request(id)).status, 200);
}

TEST_F(DataPort, LetsALeaseLiveOnWhenItIsDeletedInsteadOfReleased) {
  put("b/k", "bytes");
  const auto id = id_of(lease("b/k"));
  for (const auto& target : {"/v1/kv/b/k/leases/" + id, "/v1/leases/" + id}) {
    const auto reply = client().ask("DELETE " + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
    expect_refusal(reply, 404, "not_found");
  }
  EXPECT_EQ(daemon().statistics().live_leases, 1u);
  EXPECT_EQ(release(id).status, 200);
}

// --- Everything else
// ----------------------------------------------------------------------------

TEST_F(DataPort, HasNothingToInspect) {
  put("b/k", "bytes");
  for (const char* target : {"/", "/health", "/metrics", "/stats", "/status", "/buckets", "/cache",
                             "/debug/vars", "/v1", "/v1/kv", "/v1/kv/b", "/v1/kv/b/k", "*"}) {
    expect_refusal(client().ask(get_request(target)), 404, "not_found");
  }
  EXPECT_EQ(client().ask("DELETE /v1/kv/b/k HTTP/1.1\r\nHost: h\r\n\r\n").status, 404);
  EXPECT_EQ(stored("b/k"), "bytes");
}

TEST_F(DataPort, AnswersHeadWithoutABody) {
  client().send("HEAD /v1/kv/b/k HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto reply = client().receive(true);
  EXPECT_EQ(reply.status, 404);
  EXPECT_NE(reply.fields.at("content-length"), "0");
  EXPECT_TRUE(in_step());
}

TEST_F(DataPort, AnswersWithTheStatusesItIsToldTo) {
  options.behaviour.miss_status = 404;
  options.behaviour.unknown_release_status = 410;
  options.behaviour.empty_put_status = 422;
  options.behaviour.no_room_status = 503;
  options.behaviour.too_large_status = 507;
  expect_refusal(lease("b/k"), 404, "absent");
  expect_refusal(release("unknown"), 410, "unknown_lease");
  expect_refusal(put("b/k", ""), 422, "empty");
  put("b/pinned", random_bytes(options.capacity));
  lease("b/pinned");
  expect_refusal(put("b/k", "x"), 503, "no_room");
  expect_refusal(client().ask(put_head("b/k", options.capacity + 1)), 507, "too_large");
}

TEST_F(DataPort, CountsEachRequestOnce) {
  put("b/k", "bytes");
  lease("b/k");
  lease("b/absent");
  EXPECT_TRUE(in_step());
  client().ask("GET / HTTP/1.1\r\n\r\n");
  const auto now = daemon().statistics();
  EXPECT_EQ(now.requests, 5u);
  EXPECT_EQ(now.requests_rejected, 1u);
  EXPECT_EQ(now.accepted_connections, 1u);
}

TEST_F(DataPort, CountsTheRequestsOfAllThreadsSinceTheyWereReset) {
  options.threads = 3;
  std::vector<WireClient> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(daemon().connect());
  const auto ask_all = [&] {
    for (auto& each : clients) each.ask(lease_request("b/absent", "timeout_ms=0"));
  };
  ask_all();
  EXPECT_EQ(daemon().statistics().requests, clients.size());
  daemon().emulator().reset({.objects = false, .counters = true});
  EXPECT_EQ(daemon().statistics().requests, 0u);
  ask_all();
  ask_all();
  EXPECT_EQ(daemon().statistics().requests, 2 * clients.size());
}

TEST_F(DataPort, KeepsTheHeadsOfRequestAndResponseInTheJournal) {
  const std::string request = put_request("b/k", "the body");
  EXPECT_EQ(client().ask(request).status, 200);
  const auto reply = lease("b/k");
  EXPECT_EQ(reply.status, 200);
  const Journal& journal = daemon().emulator().journal();
  const auto stored = journal.heads(1);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->request, request.substr(0, request.find("the body")));
  EXPECT_EQ(stored->response, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const auto leased = journal.heads(2);
  ASSERT_TRUE(leased);
  EXPECT_TRUE(leased->response.ends_with("\r\n\r\n")) << leased->response;
  EXPECT_THAT(leased->response, HasSubstr("Content-Type: application/json\r\n"));

  // What could not be understood is what one wants to see.
  auto second = daemon().connect();
  EXPECT_EQ(second.ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nrest").status, 400);
  ASSERT_TRUE(journal.heads(3));
  EXPECT_EQ(journal.heads(3)->request, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  auto third = daemon().connect();
  EXPECT_EQ(third.ask("\x16\x03\x01").status, 400);
  ASSERT_TRUE(journal.heads(4));
  EXPECT_EQ(journal.heads(4)->request, "\x16\x03\x01");
}

TEST_F(DataPort, KeepsNoHeadsWithoutAJournal) {
  options.journal_entries = 0;
  EXPECT_EQ(put("b/k", "x").status, 200);
  EXPECT_FALSE(daemon().emulator().journal().heads(1));
}

TEST_F(DataPort, LogsEachRefusalOnceAndTheRestForDebugging) {
  const auto log = std::make_shared<test::LogRecorder>();
  options.log = log;
  put("b/k", "bytes");
  put("b/k", "bytes");
  lease("b/absent");
  put("b/empty", "");
  put("b/" + std::string(2000, 'k'), "");
  client().ask(get_request("/v1/tokens?token=s3cret"));
  client().ask("nonsense\n");
  daemon().emulator().stop();
  const std::string lines = log->text();
  EXPECT_THAT(lines, HasSubstr("debug 200 PUT /v1/kv/b/k: ok\n"));
  EXPECT_THAT(lines, HasSubstr("debug 409 PUT /v1/kv/b/k: refused"));
  EXPECT_THAT(lines, HasSubstr("debug 504 POST /v1/kv/b/absent/leases"));
  EXPECT_THAT(lines, HasSubstr("info 400 PUT /v1/kv/b/empty: refused"));
  EXPECT_THAT(lines, HasSubstr("info 400 PUT /v1/kv/b/kkk"));
  EXPECT_THAT(lines, HasSubstr("kkk...: refused"));
  EXPECT_THAT(lines, HasSubstr("info 404 GET /v1/tokens?token=[redacted]: refused"));
  EXPECT_THAT(lines, HasSubstr("info 400 an unreadable request: refused"));
  const auto count = std::count(lines.begin(), lines.end(), '\n');
  EXPECT_EQ(count, 9) << "start, seven requests, stop:\n" << lines;
}

}  // namespace
}  // namespace hyperpod::emulator::http
