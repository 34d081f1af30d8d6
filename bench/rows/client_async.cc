// SPDX-License-Identifier: Apache-2.0
// The client's asynchronous calls, many in flight by one thread, against the load generator: an
// epoll loop that makes the same two requests on as many sockets and reads nothing. What remains of
// the difference is the client's queue, pool, timers, checks and parsing.
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "load/load.h"
#include "load/workloads.h"
#include "report.h"
#include "rows/client.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/setup.h"

namespace hyperpod::bench {
namespace {
namespace client_async {

constexpr std::size_t object_bytes = 4096;
constexpr double requests_a_lease = 2;

// One call after the other, each begun by the handler of the one before.
class Slot {
 public:
  virtual ~Slot() = default;
  virtual void begin() = 0;
};

// What the slots of one run have in common.
struct Run {
  client::Client& client;
  std::atomic<bool> ending{false};
  std::atomic<std::size_t> active{0};
  std::atomic<bool> failed{false};

  // Whether a slot is to go on; if not, it is counted out.
  bool goes_on(bool succeeded) {
    if (!succeeded) failed = true;
    if (succeeded && !ending) return true;
    --active;
    return false;
  }
};

class Acquire final : public Slot {
 public:
  Acquire(Run& run, std::string key) : run_(run), key_(std::move(key)) {}

  void begin() override {
    run_.client.async_acquire(key_, [this](client::Result<std::optional<client::Lease>> lease) {
      if (!lease || !*lease) {
        run_.goes_on(false);
        return;
      }
      unsigned sum = 0;
      constexpr std::size_t cache_line = 64;
      for (const auto fragment : (*lease)->fragments()) {
        for (std::size_t i = 0; i < fragment.size(); i += cache_line) {
          sum += std::to_integer<unsigned>(fragment[i]);
        }
      }
      (*lease)->async_release([this, sum](client::Result<void> released) {
        if (run_.goes_on(released && sum > 0)) begin();
      });
    });
  }

 private:
  Run& run_;
  const std::string key_;
};

class Get final : public Slot {
 public:
  Get(Run& run, std::string key) : run_(run), key_(std::move(key)), buffer_(object_bytes) {}

  void begin() override {
    run_.client.async_get(key_, buffer_, [this](client::Result<client::GetOutcome> got) {
      if (run_.goes_on(got && got->is_hit())) begin();
    });
  }

 private:
  Run& run_;
  const std::string key_;
  std::vector<std::byte> buffer_;
};

// Leases released a second: a get counts once its release has been responded to.
template <class Kind>
Result<double> leases_a_second(client::Client& client, std::size_t in_flight,
                               std::chrono::milliseconds duration) {
  using std::chrono::steady_clock;
  Run run{client};
  run.active = in_flight;
  std::vector<std::unique_ptr<Kind>> slots;
  for (std::size_t i = 0; i < in_flight; ++i) {
    slots.push_back(std::make_unique<Kind>(run, plain_object_key(i)));
  }
  for (const auto& slot : slots) slot->begin();
  std::this_thread::sleep_for(std::chrono::milliseconds{100});
  const auto before = client.statistics().lease_released;
  const auto start = steady_clock::now();
  std::this_thread::sleep_for(duration);
  const auto after = client.statistics().lease_released;
  const std::chrono::duration<double> taken = steady_clock::now() - start;
  run.ending = true;
  while (run.active > 0) std::this_thread::sleep_for(std::chrono::milliseconds{1});
  if (run.failed) return failure("a lease was not granted, read and released");
  return static_cast<double>(after - before) / taken.count();
}

Result<double> leases_of_the_loop(Load& load, std::size_t connections,
                                  std::chrono::milliseconds duration) {
  LeaseAndRelease workload(connections);
  const auto run =
      load.run(workload, {.warm_up = std::chrono::milliseconds{100}, .duration = duration});
  if (!run) return tl::unexpected(run.error());
  return run->rate() / requests_a_lease;
}

template <class Kind>
Result<Finding> against_the_loop(std::size_t in_flight, double bound, const char* unit,
                                 const Settings& settings) {
  const auto emulator = start_emulator(small_segment, object_bytes);
  if (!emulator) return tl::unexpected(emulator.error());
  auto client = make_client(*emulator);
  if (!client) return tl::unexpected(client.error());
  if (auto stored = store_with_client(*client, in_flight, object_bytes); !stored) {
    return tl::unexpected(stored.error());
  }
  auto load = Load::connect(emulator->port, in_flight);
  if (!load) return tl::unexpected(load.error());
  const auto comparison = compare(
      settings.rounds, [&] { return leases_a_second<Kind>(*client, in_flight, settings.slice); },
      [&] { return leases_of_the_loop(*load, in_flight, settings.slice); });
  if (!comparison) return tl::unexpected(comparison.error());
  nlohmann::json details = comparison->details();
  details["unit"] = unit;
  return Finding{comparison->ratio() >= bound, grouped(median(comparison->ours)) + "/s",
                 "epoll loop " + grouped(median(comparison->theirs)) + "/s",
                 fixed(comparison->ratio(), 2) + " x", std::move(details)};
}

Result<Finding> measure_lookup(const Settings& settings) {
  constexpr std::size_t keys = 4096;
  constexpr std::size_t in_flight = 100;
  constexpr double bound = 1 / 1.3;
  const auto emulator = start_emulator(64ull << 20, object_bytes);
  if (!emulator) return tl::unexpected(emulator.error());
  auto client = make_client(*emulator);
  if (!client) return tl::unexpected(client.error());
  if (auto stored = store_with_client(*client, keys, 64); !stored) {
    return tl::unexpected(stored.error());
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < keys; ++i) names.push_back(plain_object_key(i));
  auto load = Load::connect(emulator->port, in_flight);
  if (!load) return tl::unexpected(load.error());
  const auto look_up = [&]() -> Result<double> {
    const auto start = std::chrono::steady_clock::now();
    const auto found = client->batched_contains(names);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (found.hits != keys) return failure("the emulator has lost objects");
    return static_cast<double>(keys) / taken.count();
  };
  const auto comparison = compare(settings.rounds, look_up, [&] {
    return leases_of_the_loop(*load, in_flight, settings.slice / 4);
  });
  if (!comparison) return tl::unexpected(comparison.error());
  nlohmann::json details = comparison->details();
  details["unit"] = "keys/s";
  return Finding{comparison->ratio() >= bound, grouped(median(comparison->ours)) + " keys/s",
                 "epoll loop, 100 in flight " + grouped(median(comparison->theirs)) + "/s",
                 fixed(1 / comparison->ratio(), 2) + " x the time", std::move(details)};
}

// Of this process.
struct Own {
  std::uint64_t threads = 0;
  std::uint64_t private_bytes = 0;
};

Own own_usage() {
  Own own;
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    std::uint64_t value = 0;
    if (name == "Threads:" && status >> value) own.threads = value;
    if (name == "RssAnon:" && status >> value) own.private_bytes = value * 1024;
  }
  return own;
}

// A client with so many lease requests that its daemon holds.
Result<Own> usage_of_client(std::uint32_t held) {
  const auto emulator = start_emulator(small_segment, object_bytes);
  if (!emulator) return tl::unexpected(emulator.error());
  malloc_trim(0);  // what rows before this one have freed is not there for the client
  const Own before = own_usage();
  client::ClientOptions options;
  options.remote_url = "127.0.0.1:" + std::to_string(emulator->port);
  options.shared_memory_name = emulator->segment;
  options.max_concurrent_requests = held;
  auto client = client::Client::create(std::move(options));
  if (!client) return client_failure(client.error());
  std::atomic<std::uint32_t> ended{0};
  for (std::uint32_t i = 0; i < held; ++i) {
    client->async_exists("absent" + std::to_string(i), [&](client::Result<bool>) { ++ended; },
                         {.wait = std::chrono::seconds{1}});
  }
  while (client->statistics().requests_in_flight < held && ended == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  std::this_thread::sleep_for(std::chrono::milliseconds{300});  // all are connected and sent
  const Own during = own_usage();
  if (client->statistics().connections_open != held) return failure("not all are connected");
  client->close();
  return Own{during.threads - before.threads, during.private_bytes - before.private_bytes};
}

Result<Finding> measure_threads(const Settings& /*settings*/) {
  constexpr std::uint64_t bound = 3;
  const auto usage = usage_of_client(100);
  if (!usage) return tl::unexpected(usage.error());
  const auto text = std::to_string(usage->threads);
  return Finding{usage->threads <= bound, text, "", text, {{"threads", usage->threads}}};
}

Result<Finding> measure_memory(const Settings& /*settings*/) {
  constexpr double bound_mebibytes = 8;
  const auto usage = usage_of_client(128);
  if (!usage) return tl::unexpected(usage.error());
  const double used = static_cast<double>(usage->private_bytes) / (1 << 20);
  return Finding{used < bound_mebibytes,
                 fixed(used, 1) + " MiB",
                 "",
                 fixed(used, 1) + " MiB",
                 {{"private_bytes", usage->private_bytes}}};
}

}  // namespace client_async
}  // namespace

Row client_acquire_async() {
  using namespace client_async;
  constexpr double bound = 0.9;
  return {"client-acquire-async", "client: acquire, touch and release, 100 in flight by one thread",
          ">= 0.9 x epoll loop", [](const Settings& settings) {
            return against_the_loop<Acquire>(100, bound, "leases/s", settings);
          }};
}

Row client_small_async() {
  using namespace client_async;
  constexpr double bound = 0.85;
  return {"client-small-async", "client: asynchronous get of 4 KiB, 16 in flight",
          ">= 0.85 x epoll loop", [](const Settings& settings) {
            return against_the_loop<Get>(16, bound, "gets/s", settings);
          }};
}

Row client_lookup() {
  using namespace client_async;
  return {"client-lookup", "client: look-up of 4,096 keys", "<= 1.3 x the time of the leases",
          measure_lookup};
}

Row client_threads() {
  using namespace client_async;
  return {"client-threads", "client: threads with 100 requests in flight", "<= 3", measure_threads};
}

Row client_memory() {
  using namespace client_async;
  return {"client-memory", "client: memory with 128 open connections", "< 8 MiB", measure_memory};
}

}  // namespace hyperpod::bench
