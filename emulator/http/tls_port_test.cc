// SPDX-License-Identifier: Apache-2.0
// The data port over TLS.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "testing/daemon.h"

namespace hyperpod::emulator::http::tls_port_test {
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

constexpr std::uint64_t block = 64 * 1024;

class TlsPort : public testing::Test {
 protected:
  TlsPort() { options.tls.self_signed_directory = directory; }
  ~TlsPort() override { std::filesystem::remove_all(directory); }

  Daemon& daemon() {
    if (!daemon_) daemon_.emplace(options);
    return *daemon_;
  }
  WireClient connect(const std::string& host = "127.0.0.1") {
    return WireClient(daemon().emulator().port(), host, directory + "/ca.pem");
  }

  const std::string directory =
      fmt::format("{}tls_port_test.{}.{}", testing::TempDir(), getpid(),
                  testing::UnitTest::GetInstance()->current_test_info()->name());
  const std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Options options = test_options(clock);

 private:
  std::optional<Daemon> daemon_;
};

TEST_F(TlsPort, ServesAsThePlainOneDoes) {
  auto client = connect();
  EXPECT_THAT(daemon().emulator().url(), testing::StartsWith("https://127.0.0.1:"));
  EXPECT_EQ(client.ask(put_request("b/k", "bytes")).status, 200);
  EXPECT_EQ(client.ask(put_request("b/k", "other")).status, 409);
  const auto grant = client.ask(lease_request("b/k"));
  EXPECT_EQ(daemon().leased_bytes(grant), "bytes");
  EXPECT_EQ(client.ask(release_request(id_of(grant))).status, 200);
  EXPECT_EQ(client.ask(release_request(id_of(grant))).status, 404);
}

TEST_F(TlsPort, ServesIpv6) {
  options.listen = "[::]:0";
  EXPECT_EQ(connect("::1").ask(get_request()).status, 404);
  EXPECT_EQ(connect("127.0.0.1").ask(get_request()).status, 404);
}

TEST_F(TlsPort, StoresLargeBodiesOfEitherKindInEveryPlacement) {
  for (const auto placement : {Placement::contiguous, Placement::worst_case}) {
    options.placement = placement;
    options.shm_name += "_";
    Daemon here(options);
    WireClient client(here.emulator().port(), "127.0.0.1", directory + "/ca.pem");
    const auto body = random_bytes(300 * block + 5);
    ASSERT_EQ(client.ask(put_request("b/counted", body)).status, 200);
    EXPECT_TRUE(here.leased_bytes(client.ask(lease_request("b/counted"))) == body);
    const auto framed = fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", body.size(), body);
    ASSERT_EQ(client.ask(chunked_head("b/chunked") + framed).status, 200);
    EXPECT_TRUE(here.leased_bytes(client.ask(lease_request("b/chunked"))) == body);
  }
}

TEST_F(TlsPort, AnswersPipelinedRequestsInOrder) {
  auto client = connect();
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += put_request("b/k", "bytes") + lease_request("b/k");
  client.send(requests);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(client.receive().status, i == 0 ? 200 : 409);
    ASSERT_EQ(client.receive().status, 200);
  }
}

TEST_F(TlsPort, HoldsAndGrants) {
  auto client = connect();
  client.send(lease_request("b/k", "timeout_ms=5000") + put_request("b/other", "pipelined"));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.waiters == 1; }));
  EXPECT_EQ(connect().ask(put_request("b/k", "bytes")).status, 200);
  EXPECT_EQ(daemon().leased_bytes(client.receive()), "bytes");
  EXPECT_EQ(client.receive().status, 200);
}

TEST_F(TlsPort, HasAnsweredWhenAdvanceReturns) {
  auto client = connect();
  client.send(lease_request("b/k", "timeout_ms=5000"));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.waiters == 1; }));
  clock->advance(5s);
  EXPECT_EQ(daemon().statistics().requests, 1u);
  EXPECT_EQ(client.receive().status, 504);
}

TEST_F(TlsPort, ForgetsAHeldRequestWhenItsConnectionCloses) {
  auto client = connect();
  client.send(lease_request("b/k", "timeout_ms=5000"));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.waiters == 1; }));
  client.close();
  EXPECT_TRUE(daemon().reaches([](const Statistics& s) { return s.waiters_dropped == 1; }));
}

TEST_F(TlsPort, KeepsABodyInOrderThatFollowsAHeadPipelinedBehindAHold) {
  auto client = connect();
  const auto body = random_bytes(200'000);
  client.send(lease_request("b/k", "timeout_ms=5000") + put_head("b/other", body.size()));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.waiters == 1; }));
  EXPECT_EQ(connect().ask(put_request("b/k", "x")).status, 200);
  EXPECT_EQ(client.receive().status, 200);
  for (std::size_t at = 0; at < body.size(); at += 10'000) {
    client.send(std::string_view(body).substr(at, 10'000));
  }
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(daemon().leased_bytes(client.ask(lease_request("b/other"))) == body);
}

TEST_F(TlsPort, ClosesWithACloseNotify) {
  auto client = connect();
  const auto reply = client.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(reply.closes());
  EXPECT_EQ(client.receive_until_closed(), "") << "and not cut off";
}

TEST_F(TlsPort, DoesNotWaitLongForAPeerThatDoesNotClose) {
  auto client = connect();
  client.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  clock->advance(2s);
  clock->advance(2s);
  EXPECT_EQ(daemon().statistics().open_connections, 0u);
}

TEST_F(TlsPort, LetsAPeerThatSendsARefusedBodyReadTheAnswer) {
  auto client = connect();
  // More than the buffers between hold, so that an early reset would be noticed.
  client.try_send(put_request("b/k", random_bytes(options.capacity + 1)));
  EXPECT_EQ(client.receive().status, 413);
}

TEST_F(TlsPort, AbortsABodyThatStalls) {
  auto client = connect();
  client.send(put_head("b/k", 3 * block) + random_bytes(block));
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  // The time counts from the last byte read, of which the figures tell nothing; there are several
  // records to be read.
  for (int i = 0; i < 20 && daemon().statistics().puts_in_flight > 0; ++i) clock->advance(30s);
  EXPECT_EQ(daemon().statistics().used_bytes, 0u);
  EXPECT_EQ(daemon().statistics().open_connections, 0u);
}

TEST_F(TlsPort, CutsOffAHandshakeThatStalls) {
  auto client = daemon().connect();  // plain, and says nothing
  ASSERT_TRUE(daemon().reaches([](const Statistics& s) { return s.open_connections == 1; }));
  clock->advance(10s);
  EXPECT_EQ(client.receive_until_closed(), "");
  EXPECT_EQ(daemon().statistics().open_connections, 0u);
}

TEST_F(TlsPort, AnswersNothingToPlainHttp) {
  auto client = daemon().connect();
  client.send(put_request("b/k", "bytes"));
  EXPECT_THAT(client.receive_until_closed(), testing::Not(testing::HasSubstr("HTTP/1.1 200")));
  EXPECT_EQ(connect().ask(lease_request("b/k")).status, 504);
}

TEST_F(TlsPort, ServesManyAtOnce) {
  options.threads = 2;
  daemon();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      auto client = connect();
      const auto body = random_bytes(block + 100, static_cast<unsigned>(i));
      for (int round = 0; round < 10; ++round) {
        const auto path = fmt::format("b/{}-{}", i, round);
        EXPECT_EQ(client.ask(put_request(path, body)).status, 200);
        const auto grant = client.ask(lease_request(path));
        EXPECT_TRUE(daemon().leased_bytes(grant) == body);
        EXPECT_EQ(client.ask(release_request(id_of(grant))).status, 200);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace hyperpod::emulator::http::tls_port_test
