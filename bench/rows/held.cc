// SPDX-License-Identifier: Apache-2.0
// Held leases: they end when they should, and those who need not wait do not notice them.
#include <future>
#include <optional>

#include "load/workloads.h"
#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/setup.h"

namespace hyperpod::bench {
namespace {
namespace held {

using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::size_t held_connections = 1000;
constexpr std::size_t other_connections = 8;
constexpr std::chrono::milliseconds hold{1000};
constexpr std::chrono::milliseconds tolerance{50};
constexpr double p99_bound = 1.5;

// From the first waiting request to the last response to one.
constexpr RunOptions others_run{.duration = hold + tolerance};

Result<double> p99_of_others(const Server& emulator) {
  auto load = Load::connect(emulator.port, other_connections, load_threads());
  if (!load) return tl::unexpected(load.error());
  LeaseAndRelease workload(other_connections);
  const auto run = load->run(workload, others_run);
  if (!run) return tl::unexpected(run.error());
  return Milliseconds(run->latencies.percentile(0.99)).count();
}

// The others' p99 while a thousand leases are held; the held ones' response times go to `held`.
Result<double> p99_beside_held(const Server& emulator, Latencies& held) {
  auto load = Load::connect(emulator.port, held_connections);
  if (!load) return tl::unexpected(load.error());
  auto waiting = std::async(std::launch::async, [&] {
    HeldLease workload(held_connections, hold.count());
    return load->run(workload, {.duration = std::chrono::seconds(10)});
  });
  auto p99 = p99_of_others(emulator);
  const auto run = waiting.get();
  if (!run) return tl::unexpected(run.error());
  held.merge(run->latencies);
  return p99;
}

Result<Finding> measure(const Settings& settings) {
  const auto emulator = start_emulator_with_objects(other_connections);
  if (!emulator) return tl::unexpected(emulator.error());
  Latencies held;
  const auto p99 = compare(
      settings.rounds, [&] { return p99_beside_held(*emulator, held); },
      [&] { return p99_of_others(*emulator); });
  if (!p99) return tl::unexpected(p99.error());
  const Milliseconds earliest = held.min();
  const Milliseconds latest = held.max();
  nlohmann::json details = p99->details();
  details["unit"] = "p99 of others, ms; ours: beside held leases, theirs: alone";
  details["earliest_ms"] = earliest.count();
  details["latest_ms"] = latest.count();
  return Finding{
      earliest >= hold && latest <= hold + tolerance && p99->ratio() <= p99_bound,
      fixed(earliest.count(), 1) + " .. " + fixed(latest.count(), 1) + " ms",
      "p99 " + fixed(median(p99->ours), 2) + " / " + fixed(median(p99->theirs), 2) + " ms",
      fixed(p99->ratio(), 2) + " x", std::move(details)};
}

}  // namespace held
}  // namespace

Row held_leases() {
  using namespace held;
  return {"held", "1,000 leases held for 1,000 ms; 8 others", "1000..1050 ms, <= 1.5 x", measure};
}

}  // namespace hyperpod::bench
