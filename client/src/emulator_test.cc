// SPDX-License-Identifier: Apache-2.0
// The client against the emulator in-process, where time matters under its manual clock.
#include "hyperpod/emulator/emulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/client/client.h"
#include "testing/fake_daemon.h"
#include "testing/tls_server.h"
#include "transport/tls.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using emulator::Emulator;
using testing::eventually;
using ::testing::HasSubstr;
using testing::make_client;

std::vector<std::byte> object(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  std::mt19937_64 random(seed);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

class EmulatorTest : public ::testing::Test {
 protected:
  void start() {
    client_.reset();
    emulator_.reset();
    auto started = Emulator::start(emulator_options_);
    if (!started) throw std::runtime_error(started.error().message);
    emulator_.emplace(*std::move(started));
    options_.remote_url = emulator_->url();
    options_.shared_memory_name = emulator_->shm_name();
    options_.logger = testing::quiet_logger();
    client_.emplace(make_client(options_));
  }

  void start_with_manual_clock() {
    clock_ = std::make_shared<ManualClock>();
    emulator_options_.clock = clock_;
    options_.clock = clock_;
    start();
  }

  // Every lease that was granted has been released.
  void expect_no_lease_left() {
    EXPECT_TRUE(testing::settles(*client_));
    const auto statistics = emulator_->statistics();
    EXPECT_EQ(statistics.live_leases, 0u);
    EXPECT_EQ(statistics.leases_released, statistics.leases_granted);
    EXPECT_EQ(statistics.releases_unknown, 0u);
    EXPECT_EQ(statistics.requests_rejected, 0u);
    EXPECT_EQ(client_->statistics().lease_released, client_->statistics().lease_acquired);
  }

  emulator::Options emulator_options_ = emulator::Options::for_test();
  ClientOptions options_;
  std::shared_ptr<ManualClock> clock_;
  std::optional<Emulator> emulator_;
  std::optional<Client> client_;
};

TEST_F(EmulatorTest, ReadsBackWhatWasStoredWhereverItsBlocksLie) {
  for (const auto placement : {emulator::Placement::contiguous, emulator::Placement::scattered,
                               emulator::Placement::worst_case}) {
    emulator_options_.placement = placement;
    start();
    unsigned seed = 0;
    for (const std::size_t size :
         {1u, 27u, 28u, 29u, 65535u, 65536u, 65537u, 200'000u, 3'000'000u}) {
      const auto key = "org/model@8@0@" + std::to_string(size) + "@half@tag%1 ä+";
      const auto stored = object(size, ++seed);
      ASSERT_EQ(client_->put(key, stored), PutOutcome::stored);
      std::vector<std::byte> read(size);
      const auto got = client_->get(key, read);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_EQ(got->size, size);
      EXPECT_EQ(read, stored);
      EXPECT_EQ(client_->exists(key), true);
    }
    expect_no_lease_left();
  }
}

TEST_F(EmulatorTest, SharesTheCopyOfALargeObjectAmongThreads) {
  options_.copy_threads = 3;
  start();
  const auto stored = object((5 << 20) + 1, 1);
  ASSERT_EQ(client_->put("key", stored), PutOutcome::stored);
  std::vector<std::thread> callers;
  std::atomic<int> right{0};
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      const auto got = client_->get("key");
      right += got && std::ranges::equal(got->bytes(), stored);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(right, 3);
  expect_no_lease_left();
}

TEST_F(EmulatorTest, ReadsChunksWhoseHeaderStraddlesFragments) {
  emulator_options_.placement = emulator::Placement::worst_case;
  start();
  const ChunkLayout layout{
      MemoryFormat::kv_2ltd,
      {{ElementType::bfloat16, {2, 4, 64, 128}}, {ElementType::uint8, {2, 1, 64, 64}}}};
  const auto payload = object(layout.payload_bytes(), 1);
  ASSERT_EQ(client_->put_chunk("chunk", layout, payload), PutOutcome::stored);
  const auto lease = *client_->acquire("chunk");
  EXPECT_LT(lease->fragments()[0].size(), chunk_header_bytes(2)) << "or this tests nothing";
  std::vector<std::byte> read(payload.size());
  const auto got = client_->get_chunk("chunk", read, layout);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->layout, layout);
  EXPECT_EQ(read, payload);
}

TEST_F(EmulatorTest, LeavesAStoredObjectAsItWas) {
  start();
  const auto first = object(100'000, 1);
  EXPECT_EQ(client_->put("key", first), PutOutcome::stored);
  EXPECT_EQ(client_->put("key", object(100'000, 2)), PutOutcome::already_stored);
  const auto got = client_->get("key");
  ASSERT_TRUE(got && got->is_hit());
  EXPECT_TRUE(std::ranges::equal(got->bytes(), first));
}

TEST_F(EmulatorTest, TellsWhatTheDaemonRefuses) {
  emulator_options_.capacity = 1 << 20;
  start();
  EXPECT_EQ(client_->put("empty", {}).error().status, 400);
  EXPECT_EQ(client_->put("huge", object(2 << 20, 1)).error().code, ErrorCode::too_large);
  ASSERT_EQ(client_->put("pinned", object(900'000, 1)), PutOutcome::stored);
  const auto lease = *client_->acquire("pinned");
  const auto full = client_->put("more", object(500'000, 1));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::refused);
  EXPECT_EQ(full.error().status, 507);
}

TEST_F(EmulatorTest, GetsAMissWhenTheHoldEnds) {
  start_with_manual_clock();
  Result<ObjectOutcome> got;
  std::thread reader([&] { got = client_->get("absent"); });
  ASSERT_TRUE(eventually([&] { return emulator_->statistics().waiters == 1; }));
  clock_->advance(5s - 1ms);
  EXPECT_EQ(emulator_->statistics().waiters, 1u);
  clock_->advance(1ms);
  reader.join();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->status, GetStatus::miss);
  EXPECT_EQ(client_->statistics().connections_open, 1u) << "the connection is kept";
}

TEST_F(EmulatorTest, GetsAHeldObjectTheMomentItIsStored) {
  start_with_manual_clock();
  const auto stored = object(100'000, 1);
  Result<ObjectOutcome> got;
  std::thread reader([&] { got = client_->get("soon"); });
  ASSERT_TRUE(eventually([&] { return emulator_->statistics().waiters == 1; }));
  clock_->advance(3s);
  ASSERT_EQ(client_->put("soon", stored), PutOutcome::stored);
  reader.join();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(std::ranges::equal(got->bytes(), stored));
  expect_no_lease_left();
}

TEST_F(EmulatorTest, AsksWithoutAHold) {
  start_with_manual_clock();
  EXPECT_EQ(client_->exists("absent", {.wait = 0ms}), false);
}

TEST_F(EmulatorTest, PinsAnObjectUntilTheTtlHasPassed) {
  start_with_manual_clock();
  client_->put("key", object(1000, 1));
  auto lease = *client_->acquire("key");
  clock_->advance(30s - 1ns);
  EXPECT_TRUE(lease->is_valid());
  EXPECT_EQ(emulator_->statistics().live_leases, 1u);
  clock_->advance(1ns);
  EXPECT_FALSE(lease->is_valid()) << "the client is never later than the daemon";
  clock_->advance(1s);
  EXPECT_EQ(emulator_->statistics().live_leases, 0u);
  const auto released = lease->release();
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().status, 404);
  EXPECT_EQ(client_->statistics().lease_release_failed, 1u);
}

TEST_F(EmulatorTest, LeavesNothingBehindWhenItGivesUp) {
  clock_ = std::make_shared<ManualClock>();
  emulator_options_.clock = clock_;  // stands still, so the daemon never answers
  options_.lease_wait_timeout = 100ms;
  start();
  const auto found = client_->exists("absent");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::timed_out);
  EXPECT_TRUE(eventually([&] { return emulator_->statistics().waiters_dropped == 1; }));
  client_->put("absent", object(10, 1));
  EXPECT_EQ(emulator_->statistics().leases_granted, 0u);
}

TEST_F(EmulatorTest, KeepsEveryByteRightForManyThreadsUnderEviction) {
  emulator_options_.capacity = 4 << 20;
  emulator_options_.placement = emulator::Placement::worst_case;
  options_.max_concurrent_requests = 6;
  start();
  std::atomic<int> hits{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 60; ++i) {
        const unsigned number = random() % 40;
        const auto key = "key" + std::to_string(number);
        const auto expected = object(100'000 + number * 5000, number);
        if (random() % 2 == 0) {
          const auto put = client_->put(key, expected);
          EXPECT_TRUE(put || put.error().status == 507);
          continue;
        }
        const auto got = client_->get(key, {.wait = 0ms});
        // On a busy machine eight threads wait for six places longer than a get may.
        EXPECT_TRUE(got || got.error().code == ErrorCode::timed_out) << got.error().message;
        if (!got || !got->is_hit()) continue;
        ++hits;
        EXPECT_TRUE(std::ranges::equal(got->bytes(), expected)) << key;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(hits, 0);
  EXPECT_GT(emulator_->statistics().evictions, 0u);
  EXPECT_LE(emulator_->statistics().peak_connections, 6u);
  expect_no_lease_left();
}

TEST_F(EmulatorTest, GetsAndStoresInBatches) {
  start();
  std::vector<std::string> keys;
  std::vector<std::vector<std::byte>> objects;
  std::vector<PutItem> puts;
  for (unsigned i = 0; i < 30; ++i) {
    keys.push_back("batch" + std::to_string(i));
    objects.push_back(object(10'000 + i, i));
  }
  for (unsigned i = 0; i < 30; ++i) puts.push_back({keys[i], objects[i]});
  for (const auto& outcome : client_->batched_put(puts)) EXPECT_EQ(outcome, PutOutcome::stored);
  keys.push_back("absent");
  objects.emplace_back(10);
  std::vector<std::vector<std::byte>> read;
  for (const auto& o : objects) read.emplace_back(o.size());
  std::vector<GetItem> gets;
  for (unsigned i = 0; i < keys.size(); ++i) gets.push_back({keys[i], read[i]});
  const auto outcomes = client_->batched_get(gets, {.wait = 0ms});
  for (unsigned i = 0; i < 30; ++i) {
    ASSERT_TRUE(outcomes[i]) << outcomes[i].error().message;
    EXPECT_TRUE(outcomes[i]->is_hit());
    EXPECT_EQ(read[i], objects[i]);
  }
  EXPECT_EQ(outcomes[30]->status, GetStatus::miss);
  EXPECT_EQ(client_->batched_contains(keys, {.wait = 0ms}).hits, 30u);
  expect_no_lease_left();
}

TEST_F(EmulatorTest, SpeaksIpv6) {
  emulator_options_.listen = "[::1]:0";
  start();
  EXPECT_THAT(emulator_->url(), HasSubstr("[::1]"));
  ASSERT_EQ(client_->put("key", object(1000, 1)), PutOutcome::stored);
  EXPECT_TRUE(client_->get("key")->is_hit());
}

TEST_F(EmulatorTest, ResumesAfterAStopAndANewStart) {
  start();
  const auto stored = object(1000, 1);
  ASSERT_EQ(client_->put("key", stored), PutOutcome::stored);
  ASSERT_TRUE(client_->get("key")->is_hit());
  emulator_options_.listen = "127.0.0.1:" + std::to_string(emulator_->port());
  emulator_options_.shm_name = emulator_->shm_name();
  emulator_->stop();
  EXPECT_EQ(client_->get("key").error().code, ErrorCode::segment_missing);
  EXPECT_EQ(client_->put("key", stored).error().code, ErrorCode::unreachable);
  emulator_.emplace(*Emulator::start(emulator_options_));
  EXPECT_EQ(client_->get("key", {.wait = 0ms})->status, GetStatus::miss);
  ASSERT_EQ(client_->put("key", stored), PutOutcome::stored);
  EXPECT_TRUE(std::ranges::equal(client_->get("key")->bytes(), stored));
}

class TlsTest : public EmulatorTest {
 protected:
  TlsTest() {
    directory_ = ::testing::TempDir() + "hyperpod_client_tls_" + std::to_string(getpid());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    emulator_options_.tls.self_signed_directory = directory_;
  }
  ~TlsTest() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

TEST_F(TlsTest, StoresAndReadsOverHttps) {
  options_.tls.ca_file = directory_ + "/ca.pem";
  start();
  EXPECT_THAT(emulator_->url(), HasSubstr("https://"));
  const auto stored = object(3'000'000, 1);
  ASSERT_EQ(client_->put("key", stored), PutOutcome::stored);
  for (int i = 0; i < 3; ++i) {
    const auto got = client_->get("key");
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_TRUE(std::ranges::equal(got->bytes(), stored));
  }
  EXPECT_EQ(emulator_->statistics().accepted_connections, 1u);
  expect_no_lease_left();
}

// RFC 6066, section 3: a server name is never an address.
TEST_F(TlsTest, SendsNoServerNameForAnAddressAndResumesItsSession) {
  start();  // makes the certificates
  const testing::TlsServer server(directory_ + "/cert.pem", directory_ + "/key.pem");
  options_.tls.ca_file = directory_ + "/ca.pem";
  options_.remote_url = "https://127.0.0.1:" + std::to_string(server.port());
  auto by_address = make_client(options_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(by_address.exists("absent"), false);
  options_.remote_url = "https://localhost:" + std::to_string(server.port());
  auto by_name = make_client(options_);
  EXPECT_EQ(by_name.exists("absent"), false);
  const auto handshakes = server.handshakes();
  ASSERT_EQ(handshakes.size(), 4u);
  EXPECT_EQ(handshakes[0].server_name, std::nullopt);
  EXPECT_FALSE(handshakes[0].resumed);
  EXPECT_TRUE(handshakes[1].resumed);
  EXPECT_TRUE(handshakes[2].resumed);
  EXPECT_EQ(handshakes[3].server_name, "localhost");
}

// What becomes of a TLS handshake with the server on `port` of this host.
tl::expected<bool, transport::TransportFailure> shake_hands(transport::TlsStream& stream,
                                                            std::uint16_t port) {
  const base::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = htons(port),
                      .sin_addr = {htonl(INADDR_LOOPBACK)},
                      .sin_zero = {}};
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return false;
  }
  constexpr std::string_view request = "GET / HTTP/1.1\r\n\r\n";
  tl::expected<bool, transport::TransportFailure> done = false;
  while (true) {
    if (done && !*done) {
      done = stream.handshake();
      if (done && *done) stream.write(std::as_bytes(std::span(request)));
    }
    const auto out = stream.pending();
    if (::send(socket.get(), out.data(), out.size(), MSG_NOSIGNAL) < 0) return done;
    stream.consume(out.size());
    std::array<char, 4096> in;
    const ssize_t count = ::recv(socket.get(), in.data(), in.size(), 0);
    if (count <= 0) return done;  // the server has seen it as well
    stream.feed({in.data(), static_cast<std::size_t>(count)});
  }
}

// RFC 6066, section 3. Not every resolver knows such a name of this host, so none is asked.
TEST_F(TlsTest, ADotAtTheEndOfAHostNameIsForTheResolverAlone) {
  start();  // makes the certificates
  const testing::TlsServer server(directory_ + "/cert.pem", directory_ + "/key.pem");
  transport::TlsContext context({.ca_file = directory_ + "/ca.pem"}, "localhost.");
  transport::TlsStream stream(context);
  const auto done = shake_hands(stream, server.port());
  ASSERT_TRUE(done) << done.error().reason;
  EXPECT_TRUE(*done);
  ASSERT_EQ(server.handshakes().size(), 1u);
  EXPECT_EQ(server.handshakes()[0].server_name, "localhost");
  transport::TlsContext other({.ca_file = directory_ + "/ca.pem"}, "other.");
  transport::TlsStream stranger(other);
  EXPECT_FALSE(shake_hands(stranger, server.port())) << "the name is compared all the same";
}

TEST_F(TlsTest, DoesNotTakeAStreamThatWasCutOffForWhole) {
  start();  // makes the certificates
  options_.tls.ca_file = directory_ + "/ca.pem";
  constexpr std::string_view until_close =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
      R"({"id": "L", "offsets": [{"offset": 0, "len": 1}]})";
  for (const bool says_goodbye : {true, false}) {
    const testing::TlsServer server(directory_ + "/cert.pem", directory_ + "/key.pem", until_close,
                                    says_goodbye);
    options_.remote_url = "https://127.0.0.1:" + std::to_string(server.port());
    auto client = make_client(options_);
    const auto exists = client.exists("key");
    if (says_goodbye) {
      EXPECT_EQ(exists, true);
    } else {
      EXPECT_EQ(exists.error().code, ErrorCode::malformed_response);
    }
  }
  const testing::TlsServer whole(directory_ + "/cert.pem", directory_ + "/key.pem",
                                 testing::TlsServer::miss, false);
  options_.remote_url = "https://127.0.0.1:" + std::to_string(whole.port());
  EXPECT_EQ(make_client(options_).exists("absent"), false) << "its length tells that it is whole";
}

TEST_F(TlsTest, RefusesADaemonThatNobodyVouchesFor) {
  start();
  const auto put = client_->put("key", object(1, 1));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::unreachable);
  EXPECT_THAT(put.error().message, HasSubstr("certificate"));
}

TEST_F(TlsTest, TakesAnyCertificateIfToldTo) {
  options_.tls.verify_server = false;
  start();
  EXPECT_EQ(client_->put("key", object(1, 1)), PutOutcome::stored);
}

TEST_F(TlsTest, TellsACaFileThatIsMissing) {
  options_.tls.ca_file = "/nowhere.pem";
  start();
  for (int i = 0; i < 4; ++i) {  // more often than a daemon may fail
    const auto put = client_->put("key", object(1, 1));
    EXPECT_EQ(put.error().code, ErrorCode::invalid_option);
    EXPECT_THAT(put.error().message,
                HasSubstr("the CA file /nowhere.pem cannot be read: No such file or directory"));
  }
}

TEST_F(TlsTest, TellsACaFileThatHoldsNoCertificate) {
  options_.tls.ca_file = directory_ + "/none.pem";
  std::ofstream(options_.tls.ca_file) << "none";
  start();
  const auto put = client_->put("key", object(1, 1));
  EXPECT_EQ(put.error().code, ErrorCode::invalid_option);
  EXPECT_THAT(put.error().message, HasSubstr("/none.pem holds no certificate in PEM"));
}

TEST_F(TlsTest, IsBackAtItsDeadline) {
  clock_ = std::make_shared<ManualClock>();
  emulator_options_.clock = clock_;
  options_.tls.ca_file = directory_ + "/ca.pem";
  options_.lease_wait_timeout = 100ms;
  start();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client_->exists("absent").error().code, ErrorCode::timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

}  // namespace
}  // namespace hyperpod::client
