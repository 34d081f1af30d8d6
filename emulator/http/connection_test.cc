// SPDX-License-Identifier: Apache-2.0
// How the data port speaks HTTP: connections, versions, forms, codings and their order.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "testing/daemon.h"

namespace hyperpod::emulator::http {
namespace {

using test::chunked_head;
using test::Daemon;
using test::get_request;
using test::id_of;
using test::lease_request;
using test::put_head;
using test::put_request;
using test::random_bytes;
using test::release_request;
using test::test_options;
using test::WireClient;

using namespace std::chrono_literals;
using namespace std::string_literals;

constexpr std::uint64_t block = 64 * 1024;

class Connection : public testing::Test {
 protected:
  Connection() { options.capacity = 32 * block; }

  Daemon& daemon() {
    if (!daemon_) daemon_.emplace(options);
    return *daemon_;
  }
  WireClient& client() {
    if (!client_) client_.emplace(daemon().connect());
    return *client_;
  }
  bool in_step() { return client().ask(get_request()).error() == "not_found"; }

  Options options = test_options(std::make_shared<ManualClock>());

 private:
  std::optional<Daemon> daemon_;
  std::optional<WireClient> client_;
};

// --- Keep-alive and order
// -----------------------------------------------------------------------

TEST_F(Connection, ServesRequestAfterRequest) {
  for (int i = 0; i < 200; ++i) {
    const auto path = "b/" + std::to_string(i);
    ASSERT_EQ(client().ask(put_request(path, "bytes")).status, 200);
    const auto grant = client().ask(lease_request(path));
    ASSERT_EQ(client().ask(release_request(id_of(grant))).status, 200);
  }
  EXPECT_EQ(daemon().statistics().accepted_connections, 1u);
  EXPECT_EQ(daemon().statistics().requests, 600u);
}

TEST_F(Connection, IsClosedAfterAnAnswerIfAskedTo) {
  const auto reply = client().ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(reply.status, 404);
  EXPECT_TRUE(reply.closes());
  EXPECT_EQ(client().receive_until_closed(), "");
}

TEST_F(Connection, AnswersNothingBehindARequestToClose) {
  client().send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + put_request("b/k", "x"));
  EXPECT_EQ(client().receive().status, 404);
  EXPECT_EQ(client().receive_until_closed(), "");
  EXPECT_EQ(daemon().statistics().puts_stored, 0u);
}

TEST_F(Connection, AnswersPipelinedRequestsInOrder) {
  std::string requests;
  for (int i = 0; i < 30; ++i) {
    const auto path = "b/" + std::to_string(i);
    requests += put_request(path, random_bytes(200, 7)) + lease_request(path) +
                release_request("unknown") + get_request() + lease_request("b/absent");
  }
  client().send(requests);
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(client().receive().status, 200);
    ASSERT_NE(id_of(client().receive()), "");
    ASSERT_EQ(client().receive().error(), "unknown_lease");
    ASSERT_EQ(client().receive().error(), "not_found");
    ASSERT_EQ(client().receive().error(), "absent");
  }
}

TEST_F(Connection, AnswersAPeerThatIsDoneSending) {
  client().send(put_request("b/k", "bytes") + lease_request("b/k"));
  client().close_sending();
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(client().receive_until_closed(), "");
}

TEST_F(Connection, AnswersTwoLeaseRequestsThatComeAtOnce) {
  ASSERT_EQ(client().ask(put_request("b/k", "bytes")).status, 200);
  client().send(lease_request("b/k") + lease_request("b/absent"));
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(client().receive().error(), "absent");
  EXPECT_TRUE(in_step());
}

TEST_F(Connection, AnswersOneRequestOfAPeerThatIsDoneSending) {
  ASSERT_EQ(client().ask(put_request("b/k", "bytes")).status, 200);
  client().send(lease_request("b/k"));
  client().close_sending();
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(client().receive_until_closed(), "");
}

TEST_F(Connection, SendsALongAnswerAsThePeerTakesIt) {
  constexpr std::uint64_t blocks = 16 * 1024;
  options.block_size = 4096;
  options.capacity = blocks * options.block_size;
  options.placement = Placement::scattered;
  const auto object = random_bytes(blocks / 2 * options.block_size);
  ASSERT_EQ(client().ask(put_request("b/k", object)).status, 200);

  client().send(lease_request("b/k"));
  // It has been begun, and does not fit what lies between.
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.requests == 2; }));
  const auto grant = client().receive();
  EXPECT_GT(grant.body.size(), 200'000u);
  EXPECT_EQ(daemon().leased_bytes(grant), object);
  EXPECT_EQ(client().ask(release_request(id_of(grant))).status, 200);
}

TEST_F(Connection, TakesRequestsByteByByte) {
  const auto requests = put_request("b/k", "bytes") + lease_request("b/k") + get_request();
  for (const char c : requests) client().send({&c, 1});
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(daemon().leased_bytes(client().receive()), "bytes");
  EXPECT_EQ(client().receive().status, 404);
}

TEST_F(Connection, OverlooksEmptyLinesBeforeARequest) {
  EXPECT_EQ(client().ask("\r\n\r\n" + get_request()).status, 404);
  EXPECT_EQ(client().ask("\r\n" + get_request()).status, 404);
}

TEST_F(Connection, OverlooksAnEmptyLineThatComesInTwoPieces) {
  EXPECT_EQ(client().ask(get_request() + "\r").status, 404);
  // Answered, so the carriage return has been seen alone.
  EXPECT_EQ(client().ask("\n" + get_request()).status, 404);
}

// --- Versions and forms
// -------------------------------------------------------------------------

TEST_F(Connection, OfHttp10IsClosedAfterItsAnswer) {
  client().send("GET / HTTP/1.0\r\n\r\n" + get_request());
  const auto reply = client().receive();
  EXPECT_EQ(reply.status, 404);
  EXPECT_TRUE(reply.closes());
  EXPECT_EQ(client().receive_until_closed(), "");
}

TEST_F(Connection, OfHttp10IsKeptIfAskedTo) {
  const auto reply = client().ask(
      "PUT /v1/kv/b/k HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nbytes");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.fields.at("connection"), "keep-alive");
  EXPECT_TRUE(in_step());
}

TEST_F(Connection, UnderstandsTheAbsoluteForm) {
  client().send(
      "PUT http://10.0.0.1:9200/v1/kv/b/a%2Fb HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(client().ask(lease_request("b/a%2Fb")).status, 200);
}

TEST_F(Connection, MayBeOfIpv6) {
  options.listen = "[::1]:0";
  EXPECT_THAT(daemon().emulator().url(), testing::MatchesRegex("http://\\[::1\\]:[0-9]+"));
  WireClient v6(daemon().emulator().port(), "::1");
  EXPECT_EQ(v6.ask(get_request()).status, 404);
}

TEST_F(Connection, MayBeOfEitherFamilyOnTheWildcardAddress) {
  options.listen = "[::]:0";
  EXPECT_THAT(daemon().emulator().url(), testing::MatchesRegex("http://\\[::1\\]:[0-9]+"));
  WireClient v6(daemon().emulator().port(), "::1");
  EXPECT_EQ(v6.ask(put_request("b/k", "x")).status, 200);
  WireClient v4(daemon().emulator().port(), "127.0.0.1");
  EXPECT_EQ(v4.ask(lease_request("b/k")).status, 200);
}

// --- Expect
// -------------------------------------------------------------------------------------

TEST_F(Connection, TellsAPeerThatAsksFirstToContinue) {
  EXPECT_EQ(client().ask(put_head("b/k", 5, "Expect: 100-continue\r\n")).status, 100);
  EXPECT_EQ(daemon().statistics().puts_in_flight, 1u);
  EXPECT_EQ(client().ask("bytes").status, 200);
  EXPECT_EQ(daemon().leased_bytes(client().ask(lease_request("b/k"))), "bytes");
}

TEST_F(Connection, TellsAPeerThatAsksFirstWhyItNeedNotContinue) {
  client().ask(put_request("b/k", "bytes"));
  const auto exists = client().ask(put_head("b/k", 5, "Expect: 100-continue\r\n"));
  EXPECT_EQ(exists.status, 409);
  EXPECT_TRUE(exists.closes());
  client().close_sending();
  EXPECT_EQ(client().receive_until_closed(), "");

  auto other = daemon().connect();
  const auto large = other.ask(put_head("b/l", options.capacity + 1, "Expect: 100-continue\r\n"));
  EXPECT_EQ(large.status, 413);
  EXPECT_TRUE(large.closes());
}

TEST_F(Connection, TakesNothingOfARefusedBodyForARequest) {
  client().ask(put_request("b/k", "bytes"));
  const auto smuggled = put_request("b/smuggled", "x");
  client().send(put_head("b/k", smuggled.size(), "Expect: 100-continue\r\n") + smuggled);
  EXPECT_EQ(client().receive().status, 409);
  EXPECT_EQ(client().receive_until_closed(), "");
  EXPECT_EQ(daemon().statistics().puts_stored, 1u);
}

TEST_F(Connection, RefusesExpectationsIfToldTo) {
  options.behaviour.honour_expect = false;
  const auto reply = client().ask(put_head("b/k", 5, "Expect: 100-continue\r\n"));
  EXPECT_EQ(reply.status, 417);
  EXPECT_TRUE(reply.closes());
  EXPECT_EQ(daemon().connect().ask(put_request("b/k", "x")).status, 200);
}

TEST_F(Connection, OfHttp10IsNotToldToContinue) {
  client().send(
      "PUT /v1/kv/b/k HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nbytes");
  EXPECT_EQ(client().receive().status, 200);
}

// --- Chunks
// -------------------------------------------------------------------------------------

/// `body` in chunks of varying size, with extensions and trailers here and there.
std::string in_chunks(std::string_view body, std::size_t seed) {
  std::string coded;
  for (std::size_t size = seed; !body.empty(); size = (size * 7 + seed) % 5000 + 1) {
    const auto chunk = body.substr(0, size);
    coded += fmt::format("{:x}{}\r\n{}\r\n", chunk.size(), size % 3 == 0 ? ";e=\"x\"" : "", chunk);
    body.remove_prefix(chunk.size());
  }
  return coded + "0\r\n" + (seed % 2 == 0 ? "Checksum: none\r\n" : "") + "\r\n";
}

TEST_F(Connection, StoresChunkedBodiesInEveryPlacementHoweverTheyAreSplit) {
  for (const auto placement :
       {Placement::contiguous, Placement::scattered, Placement::worst_case}) {
    options = test_options(options.clock);
    options.placement = placement;
    Daemon daemon_here(options);
    auto sender = daemon_here.connect();
    for (const std::size_t seed : {1, 2, 13, 1000}) {
      const auto body = random_bytes(2 * block + seed, static_cast<unsigned>(seed));
      const auto path = "b/" + std::to_string(seed);
      const auto request = chunked_head(path) + in_chunks(body, seed) + get_request();
      for (std::size_t at = 0; at < request.size(); at += 311 * seed + 1) {
        sender.send(std::string_view(request).substr(at, 311 * seed + 1));
      }
      ASSERT_EQ(sender.receive().status, 200);
      ASSERT_EQ(sender.receive().status, 404);
      EXPECT_EQ(daemon_here.leased_bytes(sender.ask(lease_request(path))), body);
    }
  }
}

TEST_F(Connection, StoresAChunkedBodyThatComesByteByByte) {
  const auto request = chunked_head("b/k") + "3;x\r\nabc\r\n00a\r\ndefghijklm\r\n0\r\nT: x\r\n\r\n";
  for (const char c : request) client().send({&c, 1});
  EXPECT_EQ(client().receive().status, 200);
  EXPECT_EQ(daemon().leased_bytes(client().ask(lease_request("b/k"))), "abcdefghijklm");
}

TEST_F(Connection, RefusesChunkedBodiesIfToldTo) {
  options.behaviour.accept_chunked = false;
  const auto reply = client().ask(chunked_head("b/k") + "5\r\nbytes\r\n0\r\n\r\n");
  EXPECT_EQ(reply.status, 411);
  EXPECT_EQ(reply.error(), "length_required");
  EXPECT_TRUE(in_step());
  EXPECT_EQ(client().ask(lease_request("b/k")).status, 504);
}

TEST_F(Connection, StaysInStepWhenAChunkedBodyExists) {
  client().ask(put_request("b/k", "bytes"));
  client().send(chunked_head("b/k") + in_chunks(random_bytes(3 * block), 5));
  EXPECT_EQ(client().receive().status, 409);
  EXPECT_TRUE(in_step());
}

TEST_F(Connection, StaysInStepWhenAChunkedBodyFindsNoRoomHalfway) {
  client().ask(put_request("b/pinned", random_bytes(30 * block)));
  client().ask(lease_request("b/pinned"));
  client().send(chunked_head("b/k") + in_chunks(random_bytes(5 * block), 4999));
  EXPECT_EQ(client().receive().status, 507);
  EXPECT_TRUE(in_step());
  EXPECT_EQ(daemon().statistics().used_bytes, 30 * block);
  EXPECT_EQ(daemon().statistics().puts_in_flight, 0u);
}

TEST_F(Connection, RefusesAChunkedBodyThatOutgrowsTheSegment) {
  client().send(chunked_head("b/k") + in_chunks(random_bytes(options.capacity + 1), 4999));
  EXPECT_EQ(client().receive().status, 413);
  EXPECT_TRUE(in_step());
  EXPECT_EQ(daemon().statistics().used_bytes, 0u);
}

TEST_F(Connection, IsClosedWhenARefusedBodyIsTooLongToRead) {
  options.limits.drain_bytes = 100'000;
  client().ask(put_request("b/k", "bytes"));
  for (const auto& request : {put_request("b/k", random_bytes(1'000'000)),
                              chunked_head("b/k") + in_chunks(random_bytes(1'000'000), 4999)}) {
    auto sender = daemon().connect();
    sender.try_send(request);
    const auto reply = sender.receive();
    EXPECT_EQ(reply.status, 409);
    EXPECT_TRUE(reply.closes());
  }
}

// --- How many
// -----------------------------------------------------------------------------------

TEST_F(Connection, BeyondTheLimitIsClosedAtOnce) {
  options.limits.connections = 2;
  auto other = daemon().connect();
  EXPECT_EQ(client().ask(get_request()).status, 404);
  EXPECT_EQ(other.ask(get_request()).status, 404);
  EXPECT_EQ(daemon().connect().receive_until_closed(), "");
  EXPECT_TRUE(in_step());
  EXPECT_EQ(daemon().statistics().peak_connections, 2u);

  other.close();
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 1; }));
  EXPECT_EQ(daemon().connect().ask(get_request()).status, 404);
}

TEST_F(Connection, BeyondTheLimitIsClosedByWhicheverThread) {
  options.limits.connections = 8;
  options.threads = 4;
  for (int round = 0; round < 20; ++round) {
    std::vector<WireClient> clients;
    for (int i = 0; i < 40; ++i) clients.push_back(daemon().connect());
    const auto accepted = static_cast<std::uint64_t>(40 * (round + 1));
    EXPECT_TRUE(
        daemon().reaches([&](const Statistics& s) { return s.accepted_connections == accepted; }));
    EXPECT_LE(daemon().statistics().peak_connections, 8u);
    clients.clear();
    ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
  }
}

TEST_F(Connection, IsCountedWhileItIsOpen) {
  std::vector<WireClient> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(daemon().connect());
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 50; }));
  clients.clear();
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
  EXPECT_EQ(daemon().statistics().peak_connections, 50u);
  EXPECT_EQ(daemon().statistics().accepted_connections, 50u);
}

}  // namespace
}  // namespace hyperpod::emulator::http
