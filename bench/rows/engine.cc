// SPDX-License-Identifier: Apache-2.0
// The engine's calls, which hold the one lock that all requests share: what they take bounds what
// any number of cores can serve.
#include "core/engine.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"

namespace hyperpod::bench {
namespace {
namespace engine {

using emulator::core::Engine;
using std::chrono::steady_clock;

constexpr std::uint64_t block = 64;
constexpr std::chrono::seconds ttl{30};

// CPU time of this thread in nanoseconds: what others do to the machine does not count.
double thread_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

class HeapMemory final : public emulator::core::Memory {
 public:
  explicit HeapMemory(std::uint64_t size) : bytes_(size) {}
  std::span<std::byte> bytes() const override { return bytes_; }
  bool is_backed() const override { return true; }
  bool back(std::uint64_t /*offset*/, std::uint64_t /*length*/) override { return true; }

 private:
  mutable std::vector<std::byte> bytes_;
};

std::string key_of(std::uint64_t number) {
  return "meta-llama/Llama-3.1-8B@8@3@" + std::to_string(0x9E3779B97F4A7C15ull * (number + 1)) +
         "@bfloat16";
}

Result<void> store(Engine& engine, const std::string& key) {
  auto put = engine.begin_put("lmcache", key, block);
  if (!put) return failure("the engine refuses an object");
  (*put)->filled((*put)->window().size());
  if ((*put)->commit() != emulator::core::PutOutcome::stored) {
    return failure("the engine stores nothing");
  }
  return {};
}

// Of each round the mean CPU time of a call, in nanoseconds.
struct Calls {
  std::vector<double> lease;  // acquire and release, each
  std::vector<double> put;    // begin and commit, each; every one evicts
};

Result<Calls> measure_calls(std::uint64_t objects, const Settings& settings) {
  emulator::Options options;
  options.capacity = objects * block;
  options.block_size = block;
  const emulator::RealClock clock;
  Engine engine(options, std::make_shared<HeapMemory>(options.capacity), clock);
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < objects; ++i) keys.push_back(key_of(i));
  for (const std::string& key : keys) {
    if (auto stored = store(engine, key); !stored) return tl::unexpected(stored.error());
  }
  std::shuffle(keys.begin(), keys.end(), std::minstd_rand(1));

  Calls calls;
  std::size_t at = 0;
  for (unsigned round = 0; round < settings.rounds; ++round) {
    const auto begin = steady_clock::now();
    const double cpu = thread_time();
    std::uint64_t pairs = 0;
    for (; steady_clock::now() - begin < settings.slice / 2; pairs += 100) {
      for (int i = 0; i < 100; ++i) {
        const auto lease = engine.acquire("lmcache", keys[at++ % keys.size()], ttl);
        if (!lease || !engine.release(lease->id)) return failure("the engine has lost an object");
      }
    }
    calls.lease.push_back((thread_time() - cpu) / (2 * static_cast<double>(pairs)));
  }
  std::uint64_t next = objects;
  for (unsigned round = 0; round < settings.rounds; ++round) {
    constexpr int puts = 2000;
    const double cpu = thread_time();
    for (int i = 0; i < puts; ++i) {
      if (auto stored = store(engine, key_of(next++)); !stored) {
        return tl::unexpected(stored.error());
      }
    }
    calls.put.push_back((thread_time() - cpu) / (2.0 * puts));
  }
  return calls;
}

Result<Finding> measure(std::uint64_t objects, const Settings& settings) {
  const auto calls = measure_calls(objects, settings);
  if (!calls) return tl::unexpected(calls.error());
  const double lease = median(calls->lease);
  const double put = median(calls->put);
  return Finding{true,
                 "lease " + fixed(lease, 0) + " ns, put " + fixed(put, 0) + " ns a call",
                 "",
                 "ceiling " + grouped(1e9 / lease) + " requests/s",
                 {{"objects", objects}, {"lease_call_ns", lease}, {"put_call_ns", put}}};
}

}  // namespace engine
}  // namespace

Row engine_calls(std::uint64_t objects) {
  using namespace engine;
  return {"engine-" + std::to_string(objects),
          "engine call, one thread, " + grouped(static_cast<double>(objects)) + " objects",
          "reported", [objects](const Settings& settings) { return measure(objects, settings); }};
}

}  // namespace hyperpod::bench
