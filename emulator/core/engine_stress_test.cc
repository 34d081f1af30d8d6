// SPDX-License-Identifier: Apache-2.0
// Eight threads against one engine under the machine's clock. Every byte that is read under a live
// lease is checked, and at the end everything that was handed out is accounted for.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "core/engine.h"
#include "core/engine_test_support.h"

namespace hyperpod::emulator::core::engine_stress_test {
namespace {

using namespace std::chrono_literals;

constexpr int workers = 6;  // and a thread that runs the timers, and one that watches the figures
constexpr int most_steps = 100'000;
constexpr auto most_time = 800ms;
constexpr auto patience = 20s;
constexpr std::uint32_t keys = 24;
constexpr std::uint64_t blocks_in_all = 40;

std::string key_of(std::uint32_t number) { return "key " + std::to_string(number); }
std::string bucket_of(std::uint32_t number) { return number % 2 == 0 ? "even" : "odd"; }

// An object begins with four bytes of seed, from which all other bytes follow. The seed tells the
// key as well, so that an object's bytes can neither be torn nor be another's unnoticed.
constexpr std::uint64_t smallest = 4;

std::uint8_t byte_at(std::uint32_t seed, std::uint64_t at) {
  if (at < smallest) return static_cast<std::uint8_t>(seed >> (8 * at));
  return static_cast<std::uint8_t>((seed + at) * 0x9E3779B97F4A7C15ull >> 56);
}

// Memory is touched through atomics, because a reader whose lease has expired meanwhile may meet a
// writer: allowed, and noticed by the reader, but a data race if the bytes were plain.
void store_byte(std::byte& to, std::uint8_t value) {
  std::atomic_ref(to).store(std::byte{value}, std::memory_order_relaxed);
}
std::uint8_t load_byte(std::byte& from) {
  // Acquire, so that the clock is not read before the byte.
  return std::to_integer<std::uint8_t>(std::atomic_ref(from).load(std::memory_order_acquire));
}

/// Writes the next `count` bytes of the object, as far as there is room.
void write_pattern(Put& put, std::uint32_t seed, std::uint64_t count) {
  while (count > 0 && !put.window().empty()) {
    const auto window = put.window();
    const auto piece = std::min<std::uint64_t>(window.size(), count);
    for (std::uint64_t i = 0; i < piece; ++i) {
      store_byte(window[i], byte_at(seed, put.bytes_written() + i));
    }
    put.filled(piece);
    count -= piece;
  }
}

bool is_pattern_of(std::uint32_t key, const std::vector<std::uint8_t>& bytes) {
  if (bytes.size() < smallest) return false;
  std::uint32_t seed = 0;
  for (std::uint64_t i = 0; i < smallest; ++i) seed |= std::uint32_t{bytes[i]} << (8 * i);
  if (seed % keys != key) return false;
  for (std::uint64_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != byte_at(seed, i)) return false;
  }
  return true;
}

struct Tally {
  std::atomic<std::uint64_t> stored{0}, existing{0}, refused{0}, aborted{0};
  std::atomic<std::uint64_t> granted{0}, released{0}, checked{0}, too_late{0};
  std::atomic<std::uint64_t> held{0}, answered{0}, dropped{0};
  std::atomic<std::uint64_t> torn{0}, answered_after_drop{0}, inconsistent{0};
};

class EngineStress : public testing::TestWithParam<Placement> {
 protected:
  EngineStress()
      : options_(options_of(blocks_in_all, GetParam())), engine_(options_, blocks_, clock_) {}

  // --- The thread that runs the timers, as a server does ---

  void run_timers() {
    while (true) {
      {
        std::lock_guard lock(alarm_mutex_);
        rung_ = false;
      }
      const auto due = engine_.next_due();
      {
        std::unique_lock lock(alarm_mutex_);
        const auto called = [this] { return rung_ || stopping_; };
        if (due) {
          alarm_.wait_until(lock, *due, called);
        } else {
          alarm_.wait(lock, called);
        }
        if (stopping_) return;
      }
      engine_.run_due();
    }
  }

  void ring() {
    std::lock_guard lock(alarm_mutex_);
    rung_ = true;
    alarm_.notify_one();
  }

  void stop_timers() {
    std::lock_guard lock(alarm_mutex_);
    stopping_ = true;
    alarm_.notify_one();
  }

  // --- The thread that watches ---

  static bool is_consistent(const State& state) {
    return std::ranges::all_of(state.objects, [](const ObjectState& object) {
      std::uint64_t bytes = 0;
      for (const auto& fragment : object.fragments) bytes += fragment.length;
      return bytes == object.bytes && bytes >= smallest;
    });
  }

  void watch() {
    while (working_ > 0) {
      const Statistics now = engine_.statistics();
      const bool consistent =
          now.leases_granted == now.leases_released + now.leases_expired + now.live_leases &&
          now.used_bytes <= now.capacity_bytes && now.pinned_bytes <= now.used_bytes &&
          now.objects == now.puts_stored - now.evictions && (now.buckets > 0) == (now.objects > 0);
      if (!consistent || !is_consistent(engine_.state())) ++tally_.inconsistent;
      engine_.set_alarm([this] { ring(); });
      std::this_thread::yield();
    }
  }

  // --- The threads that work ---

  void work(std::uint32_t number) {
    std::minstd_rand random(number + 1);
    const auto end = clock_.now() + most_time;
    for (int step = 0; step < most_steps && clock_.now() < end; ++step) {
      const auto key = static_cast<std::uint32_t>(random() % keys);
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          put(key, random);
          break;
        case 3:
          hold(key, random);
          break;
        default:
          lease(key, random);
          break;
      }
    }
    --working_;
  }

  void put(std::uint32_t key, std::minstd_rand& random) {
    const std::uint64_t size = smallest + random() % (8 * block);
    const auto seed = static_cast<std::uint32_t>(random() / keys * keys + key);
    const bool announced = random() % 2 == 0;
    const auto begun = engine_.begin_put(bucket_of(key), key_of(key),
                                         announced ? std::optional(size) : std::nullopt);
    if (!begun) {
      ++(begun.error() == PutRefusal::exists ? tally_.existing : tally_.refused);
      return;
    }
    Put& put = **begun;
    if (random() % 8 == 0) {
      write_pattern(put, seed, size / 2);
      ++tally_.aborted;
      return;
    }
    while (put.bytes_written() < size) {
      if (put.window().empty() && !put.extend()) {
        ++tally_.refused;
        return;
      }
      write_pattern(put, seed, std::min<std::uint64_t>(size - put.bytes_written(), 100));
      if (random() % 16 == 0) std::this_thread::yield();
    }
    ++(put.commit() == PutOutcome::stored ? tally_.stored : tally_.existing);
  }

  std::vector<std::uint8_t> copy(const LeaseGrant& grant) {
    std::vector<std::uint8_t> bytes;
    for (const Fragment& fragment : grant.fragments()) {
      for (std::uint64_t i = 0; i < fragment.length; ++i) {
        bytes.push_back(load_byte(memory_[fragment.offset + i]));
      }
    }
    return bytes;
  }

  /// Reads under the lease, which was certainly live if it can be released or has not yet expired.
  void read_under(const LeaseGrant& grant, std::uint32_t key, TimePoint safe_until, bool release) {
    ++tally_.granted;
    const auto bytes = copy(grant);
    bool live = clock_.now() < safe_until;
    if (release) {
      const bool released = engine_.release(grant.id);
      tally_.released += released;
      live |= released;
    }
    if (!live) {
      ++tally_.too_late;
      return;
    }
    ++tally_.checked;
    if (!is_pattern_of(key, bytes)) ++tally_.torn;
  }

  void lease(std::uint32_t key, std::minstd_rand& random) {
    const bool release = random() % 4 != 0;
    const Duration ttl = release ? Duration(3ms) : Duration(100us);
    const auto asked = clock_.now();  // the TTL counts from a later moment
    const auto grant = engine_.acquire(bucket_of(key), key_of(key), ttl);
    if (grant) read_under(*grant, key, asked + ttl, release);
  }

  void hold(std::uint32_t key, std::minstd_rand& random) {
    enum State { waiting, dropped, answered };
    const auto state = std::make_shared<std::atomic<State>>(waiting);
    const bool release = random() % 4 != 0;
    const Duration ttl = release ? Duration(3ms) : Duration(100us);
    const Duration longest = random() % 2 == 0 ? Duration(500us) : Duration(20ms);
    const auto asked = clock_.now();
    const auto outcome =
        engine_.acquire_or_wait(bucket_of(key), key_of(key), ttl, longest,
                                [this, state, key, release](std::optional<LeaseGrant> grant) {
                                  if (state->exchange(answered) == dropped)
                                    ++tally_.answered_after_drop;
                                  if (grant) read_under(*grant, key, TimePoint::min(), release);
                                  ++tally_.answered;
                                });
    if (const auto* grant = std::get_if<LeaseGrant>(&outcome)) {
      read_under(*grant, key, asked + ttl, release);
      return;
    }
    ++tally_.held;
    if (random() % 4 == 0 && engine_.drop_waiter(std::get<Engine::WaiterId>(outcome))) {
      if (state->exchange(dropped) == answered) ++tally_.answered_after_drop;
      ++tally_.dropped;
    }
  }

  /// Waits for what only the timers can bring about.
  bool settles() const {
    const auto deadline = clock_.now() + patience;
    while (clock_.now() < deadline) {
      const Statistics now = engine_.statistics();
      if (now.waiters == 0 && now.live_leases == 0 &&
          tally_.held == tally_.answered + tally_.dropped) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  }

  const Options options_;
  const RealClock clock_;
  const std::shared_ptr<TestMemory> blocks_ = std::make_shared<TestMemory>(options_.capacity);
  const std::span<std::byte> memory_ = blocks_->bytes();
  Engine engine_;
  Tally tally_;
  std::atomic<int> working_{workers};
  std::mutex alarm_mutex_;
  std::condition_variable alarm_;
  bool rung_ = false;
  bool stopping_ = false;
};

INSTANTIATE_TEST_SUITE_P(Placements, EngineStress,
                         testing::Values(Placement::contiguous, Placement::scattered,
                                         Placement::worst_case));

TEST_P(EngineStress, KeepsItsPromisesToManyThreads) {
  engine_.set_alarm([this] { ring(); });
  std::thread timers([this] { run_timers(); });
  std::vector<std::thread> others;
  others.emplace_back([this] { watch(); });
  for (std::uint32_t number = 0; number < workers; ++number) {
    others.emplace_back([this, number] { work(number); });
  }
  for (std::thread& other : others) other.join();
  EXPECT_TRUE(settles()) << "a lease or a hold was forgotten";
  stop_timers();
  timers.join();

  EXPECT_EQ(tally_.torn, 0u);
  EXPECT_EQ(tally_.answered_after_drop, 0u);
  EXPECT_EQ(tally_.inconsistent, 0u);

  const Statistics now = engine_.statistics();
  EXPECT_EQ(now.puts_stored, tally_.stored);
  EXPECT_EQ(now.puts_existing, tally_.existing);
  EXPECT_EQ(now.puts_refused, tally_.refused);
  EXPECT_EQ(now.puts_aborted, tally_.aborted);
  EXPECT_EQ(now.leases_granted, tally_.granted);
  EXPECT_EQ(now.leases_released, tally_.released);
  EXPECT_EQ(now.leases_expired, now.leases_granted - now.leases_released);
  EXPECT_EQ(now.waiters_dropped, tally_.dropped);
  EXPECT_EQ(now.puts_in_flight, 0u);
  EXPECT_EQ(now.pinned_bytes, 0u);

  std::uint64_t objects = 0, blocks = 0;
  for (std::uint32_t key = 0; key < keys; ++key) {
    const auto grant = engine_.acquire(bucket_of(key), key_of(key), 1h);
    if (!grant) continue;
    ++objects;
    for (const Fragment& fragment : grant->fragments())
      blocks += (fragment.length + block - 1) / block;
    EXPECT_TRUE(is_pattern_of(key, copy(*grant)));
  }
  EXPECT_EQ(objects, now.objects);
  EXPECT_EQ(blocks * block, now.used_bytes);

  // Of each kind enough for the run to mean something, on the slowest of machines.
  EXPECT_GT(tally_.stored, 50u);
  EXPECT_GT(now.evictions, 10u);
  EXPECT_GT(tally_.checked, 200u);
  EXPECT_GT(now.leases_expired, 50u);
  EXPECT_GT(tally_.answered, 10u);
}

}  // namespace
}  // namespace hyperpod::emulator::core::engine_stress_test
