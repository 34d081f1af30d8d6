// SPDX-License-Identifier: Apache-2.0
// What no client of ours sends: it is refused, costs nothing lasting, and nobody else notices.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <random>

#include "testing/daemon.h"

namespace hyperpod::emulator::http {
namespace {

using test::chunked_head;
using test::Daemon;
using test::get_request;
using test::lease_request;
using test::put_head;
using test::put_request;
using test::random_bytes;
using test::release_request;
using test::test_options;
using test::WireClient;

using namespace std::chrono_literals;
using namespace std::string_literals;

class Hostile : public testing::Test {
 protected:
  Daemon& daemon() {
    if (!daemon_) daemon_.emplace(options);
    return *daemon_;
  }

  /// Sends `request` with a PUT behind it, and expects the status, a close and no stored PUT.
  void expect_refused(const std::string& request, int status) {
    SCOPED_TRACE(request.substr(0, 200));
    auto client = daemon().connect();
    client.try_send(request + put_request("b/smuggled", "x"));
    const auto reply = client.receive();
    EXPECT_EQ(reply.status, status);
    EXPECT_NE(reply.error(), "");
    EXPECT_TRUE(reply.closes());
    EXPECT_EQ(client.receive_until_closed(), "");
    client.close();
    expect_nothing_left();
  }

  void expect_nothing_left() {
    EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
    const auto now = daemon().statistics();
    EXPECT_EQ(now.puts_stored, 0u);
    EXPECT_EQ(now.puts_in_flight, 0u);
    EXPECT_EQ(now.used_bytes, 0u);
    EXPECT_EQ(now.waiters, 0u);
  }

  const std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Options options = test_options(clock);

 private:
  std::optional<Daemon> daemon_;
};

/// A PUT of HTTP/1.1 with these header lines.
std::string put_with(const std::string& lines) {
  return "PUT /v1/kv/b/k HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n";
}

// --- Heads
// --------------------------------------------------------------------------------------

TEST_F(Hostile, LengthAndCodingAtOnce) {
  const auto body = "5\r\nbytes\r\n0\r\n\r\n"s;
  expect_refused(put_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + body, 400);
  expect_refused(put_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + body, 400);
}

TEST_F(Hostile, LengthsThatDiffer) {
  expect_refused(put_with("Content-Length: 5\r\nContent-Length: 6\r\n") + "bytes", 400);
  expect_refused(put_with("Content-Length: 5, 6\r\n") + "bytes", 400);
}

TEST_F(Hostile, LengthsThatAreNone) {
  for (const char* length : {"", "x", "-5", "+5", "5x", "0x5", "5 5", "18446744073709551616"}) {
    expect_refused(put_with("Content-Length: "s + length + "\r\n") + "bytes", 400);
  }
}

TEST_F(Hostile, CodingsThatAreUnknown) {
  expect_refused(put_with("Transfer-Encoding: gzip, chunked\r\n"), 501);
  expect_refused(put_with("Transfer-Encoding: chunked, identity\r\n"), 501);
  expect_refused(put_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400);
  expect_refused(put_with("Transfer-Encoding : chunked\r\n"), 400);
}

TEST_F(Hostile, BareLineFeeds) {
  expect_refused("GET / HTTP/1.1\nHost: h\n\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: h\r\n\n", 400);
  // Where what is whole is served without a look for its end.
  const auto lease = "POST /v1/kv/b/k/leases HTTP/1.1"s;
  expect_refused(lease + "\nHost: h\r\n\r\n", 400);
  expect_refused(lease + "\r\nHost: h\nX: y\r\n\r\n", 400);
  expect_refused(lease + "\r\nHost: h\n\r\n\r\n", 400);
  expect_refused(lease + "\r\nHost: h\n\n\r\n\r\n", 400);
}

TEST_F(Hostile, ControlCharacters) {
  expect_refused("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"s, 400);
  expect_refused(put_with("X: a\0b\r\n"s), 400);
  expect_refused(put_with("X\0: a\r\n"s), 400);
  expect_refused(put_with("X: a\rb\r\n"s), 400);
  expect_refused("\0\0\0\0"s, 400);
}

TEST_F(Hostile, HeadsWithoutHostOrWithTwo) {
  expect_refused("GET / HTTP/1.1\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
}

TEST_F(Hostile, OtherVersionsAndExpectations) {
  expect_refused("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505);
  expect_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
  expect_refused(put_with("Expect: the-unexpected\r\n"), 417);
  expect_refused("GET /\r\n\r\n", 400);
  expect_refused("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400);
}

TEST_F(Hostile, TlsAndOtherGreetings) {
  expect_refused("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s + random_bytes(500), 400);
  expect_refused("\x16", 400);
  expect_refused("SSH-2.0-OpenSSH_9.2\r\n\r\n", 400);
  expect_refused("{\"jsonrpc\":\"2.0\"}", 400);
}

TEST_F(Hostile, TargetsThatAreTooLong) {
  expect_refused("GET /" + std::string(16 * 1024, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414);
  expect_refused("GET /" + std::string(1 << 20, 'x'), 414);
}

TEST_F(Hostile, HeadsThatAreTooLong) {
  expect_refused(put_with("X: " + std::string(16 * 1024, 'x') + "\r\n"), 431);
  std::string fields;
  while (fields.size() < (1 << 20)) fields += "X: y\r\n";
  expect_refused(put_with(fields), 431);
}

TEST_F(Hostile, HeadsThatAreAsLongAsTheyMayBe) {
  const auto frame = put_head("b/k", 5, "X: \r\n").size();
  const auto fits = "X: " + std::string(options.limits.head_bytes - frame, 'x') + "\r\n";
  EXPECT_EQ(daemon().connect().ask(put_head("b/k", 5, fits) + "bytes").status, 200);
  EXPECT_EQ(daemon().connect().ask(put_head("b/l", 5, "X" + fits)).status, 431);
}

TEST_F(Hostile, TooManyHeaders) {
  std::string fields;  // beside the host
  for (int i = 0; i < 199; ++i) fields += "X: y\r\n";
  auto client = daemon().connect();
  EXPECT_EQ(client.ask("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n").status, 404);
  client.close();
  expect_refused("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "X: y\r\n\r\n", 431);
}

TEST_F(Hostile, HeadsBeyondLimitsThatAreOptions) {
  options.limits.head_bytes = 2000;
  options.limits.headers = 3;
  expect_refused("GET /" + std::string(2000, 'x'), 414);
  expect_refused("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x'), 431);
  expect_refused("GET / HTTP/1.1\r\nA: b\r\nC: d\r\nE: f\r\nHost: h\r\n\r\n", 431);
}

// --- Bodies
// -------------------------------------------------------------------------------------

TEST_F(Hostile, ChunksThatAreMalformed) {
  for (const char* body :
       {"x\r\n", "-5\r\nbytes\r\n0\r\n\r\n", "0x5\r\nbytes\r\n0\r\n\r\n",
        "5 \r\nbytes\r\n0\r\n\r\n", " 5\r\nbytes\r\n0\r\n\r\n",
        "10000000000000005\r\nbytes\r\n0\r\n\r\n", "\r\n", "5\nbytes\n0\n\n", "5\r\nbytes0\r\n\r\n",
        "4\r\nbytes\r\n0\r\n\r\n", "5\r\nbytes\r\n\r\n", "5;\n\r\nbytes\r\n0\r\n\r\n",
        "5\r\nbytes\r\n0\r\nX\n\r\n\r\n", "5\r\nbytes\r\n0\r\n\rX"}) {
    expect_refused(put_with("Transfer-Encoding: chunked\r\n") + body, 400);
  }
  EXPECT_EQ(daemon().statistics().requests_rejected, 14u);
}

TEST_F(Hostile, ChunksThatAreMalformedWhereTheBodyIsNotWanted) {
  expect_refused("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 404);
}

TEST_F(Hostile, AChunkOfAnImpossibleSize) {
  auto client = daemon().connect();
  client.send(put_with("Transfer-Encoding: chunked\r\n") + "ffffffffffffffff\r\n");
  client.try_send(random_bytes(options.capacity + 1));
  client.close_sending();
  EXPECT_EQ(client.receive_until_closed(), "") << "cut short, so there is nobody to answer";
  expect_nothing_left();
}

TEST_F(Hostile, EndlessExtensionsTrailersAndZeros) {
  const auto endless = std::string(100'000, '0');
  expect_refused(put_with("Transfer-Encoding: chunked\r\n") + endless, 400);
  expect_refused(put_with("Transfer-Encoding: chunked\r\n") + "5;" + endless, 400);
  expect_refused(put_with("Transfer-Encoding: chunked\r\n") + "0\r\n" + endless, 400);
}

TEST_F(Hostile, ABodyOfAnImpossibleLength) {
  expect_refused(put_with("Content-Length: 18446744073709551615\r\n"), 413);
  expect_refused(
      "POST /v1/kv/b/k/leases HTTP/1.1\r\nHost: h\r\n"
      "Content-Length: 18446744073709551615\r\n\r\n",
      504);
}

TEST_F(Hostile, ARefusalLeavesNothingOfABodyToBeTakenForARequest) {
  auto client = daemon().connect();
  ASSERT_EQ(client.ask(put_request("b/k", "bytes")).status, 200);
  const auto smuggled = put_request("b/smuggled", "x");
  client.send(put_request("b/k", smuggled + smuggled) + get_request());
  EXPECT_EQ(client.receive().status, 409);
  EXPECT_EQ(client.receive().status, 404);
  EXPECT_EQ(daemon().statistics().puts_stored, 1u);
}

// --- Many
// ---------------------------------------------------------------------------------------

TEST_F(Hostile, HalfSentHeadsAreGoneAfterTheirTime) {
  std::vector<WireClient> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(daemon().connect());
    clients.back().send(put_request("b/k", "x").substr(0, static_cast<std::size_t>(i) % 150 + 1));
  }
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 200; }));
  EXPECT_EQ(daemon().connect().ask(get_request()).status, 404);
  clock->advance(10s);  // for those whose first byte had been read by now
  for (auto& client : clients) client.close();
  expect_nothing_left();
}

TEST_F(Hostile, ABurstOfTwoThousandConnections) {
  options.threads = 2;
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  // Both ends are in this process.
  const auto at_once = std::min<std::size_t>(2000, (descriptors.rlim_cur - 100) / 2);
  for (std::size_t done = 0; done < 2000; done += at_once) {
    std::vector<WireClient> clients;
    for (std::size_t i = 0; i < at_once; ++i) clients.push_back(daemon().connect());
    clients.push_back(daemon().connect());
    EXPECT_EQ(clients.back().ask(get_request()).status, 404);
    EXPECT_TRUE(
        daemon().reaches([&](const Statistics& s) { return s.open_connections > at_once; }));
  }
  expect_nothing_left();
}

TEST_F(Hostile, AnythingAtAll) {
  std::mt19937 random(1);
  const std::vector<std::string> seeds{
      put_request("b/k", "bytes"), chunked_head("b/k") + "5\r\nbytes\r\n0\r\n\r\n",
      lease_request("b/k", "timeout_ms=0"), release_request("AAAAAAAAAAAAAAAAAAAAAA"),
      put_head("b/k", 5, "Expect: 100-continue\r\n") + "bytes"};
  for (int i = 0; i < 500; ++i) {
    auto request = seeds[random() % seeds.size()];
    for (auto changes = random() % 8; changes > 0; --changes) {
      const auto at = random() % request.size();
      if (random() % 2 == 0) {
        request[at] = "\r\n\0 :%/;\xff,0"[random() % 12];
      } else {
        request.insert(at, request.substr(random() % request.size(), random() % 20));
      }
    }
    auto client = daemon().connect();
    client.try_send(request);
    client.close_sending();
    client.receive_until_closed();
  }
  EXPECT_EQ(daemon().connect().ask(get_request()).status, 404);
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 0; }));
  EXPECT_EQ(daemon().statistics().puts_in_flight, 0u);
}

}  // namespace
}  // namespace hyperpod::emulator::http
