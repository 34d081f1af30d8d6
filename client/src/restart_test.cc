// SPDX-License-Identifier: Apache-2.0
// A daemon that dies in the middle of traffic and comes back: no wrong byte, no hang, and service
// resumes.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <random>
#include <string>
#include <thread>

#include "hyperpod/base/unique_name.h"
#include "hyperpod/client/client.h"
#include "testing/fake_daemon.h"
#include "testing/process.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::make_client;
using testing::StandaloneEmulator;

// Words that tell the object and the place in it, so that no other byte of the segment fits.
std::vector<std::uint64_t> object(std::uint64_t number) {
  std::vector<std::uint64_t> words(20'000 + number % 7 * 3000);
  std::mt19937_64 random(number);
  for (auto& word : words) word = random();
  return words;
}

struct Counts {
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> slow{0};
};

// Puts and gets until told to stop. Half of the gets hold their lease for a while before copying.
void traffic(Client& client, unsigned seed, const std::atomic<bool>& stop, Counts& counts) {
  std::mt19937 random(seed);
  while (!stop) {
    const std::uint64_t number = random() % 200;
    const auto key = "object" + std::to_string(number);
    const auto expected = object(number);
    const auto begin = std::chrono::steady_clock::now();
    if (random() % 3 == 0) {
      std::ignore = client.put(key, std::as_bytes(std::span(expected)));
    } else {
      std::vector<std::uint64_t> read(expected.size());
      const auto lease = client.acquire(key, {.wait = 0ms});
      if (lease && *lease) {
        if (random() % 2 == 0) std::this_thread::yield();
        if ((*lease)->size() != read.size() * sizeof(std::uint64_t)) {
          counts.wrong += (*lease)->is_valid();
        } else if ((*lease)->copy_to(std::as_writable_bytes(std::span(read)))) {
          ++counts.hits;
          counts.wrong += read != expected;
        }
      }
    }
    counts.slow += std::chrono::steady_clock::now() - begin > 10s;
  }
}

TEST(Restart, OfAKilledDaemonYieldsNoWrongByteAndServiceResumes) {
  const auto shm_name = StandaloneEmulator::unique_name("restart");
  auto daemon = std::make_unique<StandaloneEmulator>(shm_name, "16MiB");
  const int port = daemon->port();
  ClientOptions options;
  options.remote_url = daemon->url();
  options.shared_memory_name = shm_name;
  options.timeout = 3s;
  options.logger = testing::quiet_logger();
  Counts counts;
  std::atomic<bool> stop{false};
  std::vector<Client> clients;
  clients.reserve(2);
  for (int i = 0; i < 2; ++i) clients.push_back(make_client(options));
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] { traffic(clients[t % 2], t, stop, counts); });
  }
  for (int round = 0; round < 2; ++round) {
    const auto before = counts.hits.load();
    EXPECT_TRUE(eventually([&] { return counts.hits > before + 100; })) << "round " << round;
    daemon->kill(SIGKILL);
    daemon->wait();
    daemon = std::make_unique<StandaloneEmulator>(shm_name, "16MiB", port);
  }
  const auto before = counts.hits.load();
  EXPECT_TRUE(eventually([&] { return counts.hits > before + 100; })) << "service resumes";
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts.wrong, 0u);
  EXPECT_EQ(counts.slow, 0u);
  for (Client& client : clients) client.close();
  daemon->kill(SIGTERM);
  EXPECT_EQ(daemon->wait(), 0);
}

TEST(Restart, BetweenLeaseAndCopyIsNoticed) {
  // Not a name that emulators of other tests clear away while this one's is dead.
  const auto shm_name = base::unique_name("hyperpod_restart_");
  auto daemon = std::make_unique<StandaloneEmulator>(shm_name, "16MiB");
  const int port = daemon->port();
  ClientOptions options;
  options.remote_url = daemon->url();
  options.shared_memory_name = shm_name;
  options.logger = testing::quiet_logger();
  auto client = make_client(options);
  const auto old_bytes = object(1);
  const auto new_bytes = object(2);
  ASSERT_EQ(client.put("key", std::as_bytes(std::span(old_bytes))), PutOutcome::stored);
  auto lease = *client.acquire("key");

  daemon->kill(SIGKILL);
  daemon->wait();
  std::vector<std::uint64_t> read(old_bytes.size());
  EXPECT_TRUE(lease->copy_to(std::as_writable_bytes(std::span(read))))
      << "a dead daemon writes no more";
  EXPECT_EQ(read, old_bytes);

  daemon = std::make_unique<StandaloneEmulator>(shm_name, "16MiB", port);
  ASSERT_TRUE(eventually([&] {
    return client.put("key", std::as_bytes(std::span(new_bytes))) == PutOutcome::stored;
  }));
  EXPECT_EQ(lease->copy_to(std::as_writable_bytes(std::span(read))).error().code,
            ErrorCode::lease_expired);
  lease.reset();
  EXPECT_TRUE(testing::settles(client));
  EXPECT_EQ(client.statistics().lease_lost, 1u);
  const auto got = client.get("key");
  ASSERT_TRUE(got && got->is_hit());
  EXPECT_TRUE(std::ranges::equal(got->bytes(), std::as_bytes(std::span(new_bytes))));
}

}  // namespace
}  // namespace hyperpod::client
