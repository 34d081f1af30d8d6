// SPDX-License-Identifier: Apache-2.0
// Lease and release: the two requests of which a reader makes one pair for each chunk.
#include <thread>

#include "load/connection.h"
#include "load/workloads.h"
#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/setup.h"
#include "servers.h"

namespace hyperpod::bench {
namespace {
namespace lease {

using std::chrono::milliseconds;

// In which a server accepts the connections and makes its buffers.
constexpr milliseconds warm_up{200};

// What is kept of the rounds beside the rate: latencies, and what a request costs the server, which
// is the figure that a busy machine changes least.
struct Contender {
  const Server& server;
  Latencies latencies = {};
  CpuTime cpu = {};
  std::uint64_t responses = 0;

  Result<double> measure(std::size_t connections, milliseconds slice) {
    auto load = Load::connect(server.port, connections, load_threads());
    if (!load) return tl::unexpected(load.error());
    LeaseAndRelease workload(connections);
    const auto before = cpu_time(server.child.pid());
    const auto run = load->run(workload, {.warm_up = warm_up, .duration = slice});
    if (!run) return tl::unexpected(run.error());
    const auto after = cpu_time(server.child.pid());
    if (!before || !after) return failure("the CPU time of a server cannot be read");
    latencies.merge(run->latencies);
    cpu.user += after->user - before->user;
    cpu.system += after->system - before->system;
    responses += run->responses;
    return run->rate();
  }

  /// Microseconds a request.
  double each(milliseconds time) const {
    return static_cast<double>(time.count()) * 1000 / static_cast<double>(responses);
  }

  nlohmann::json details() const {
    const auto microseconds = [this](double share) {
      return std::chrono::duration<double, std::micro>(latencies.percentile(share)).count();
    };
    return {{"p50_us", microseconds(0.5)},
            {"p99_us", microseconds(0.99)},
            {"max_us", microseconds(1)},
            {"user_cpu_us_a_request", each(cpu.user)},
            {"system_cpu_us_a_request", each(cpu.system)}};
  }
};

// How a row is judged: by CPU time a request where that is asked for, else by throughput.
struct Bounds {
  double rate = 0;    // at least so many times the comparator's
  double user = 0;    // at most so many times; 0 is not judged
  double system = 0;  // likewise
};

Result<Finding> against(const char* name, const Server& emulator, const Server& comparator,
                        std::size_t connections, const Bounds& bounds, const Settings& settings) {
  Contender ours{emulator};
  Contender theirs{comparator};
  const auto comparison = compare(
      settings.rounds, [&] { return ours.measure(connections, settings.slice); },
      [&] { return theirs.measure(connections, settings.slice); });
  if (!comparison) return tl::unexpected(comparison.error());
  const double rate = comparison->ratio();
  const double user = ours.each(ours.cpu.user) / theirs.each(theirs.cpu.user);
  const double system = ours.each(ours.cpu.system) / theirs.each(theirs.cpu.system);
  nlohmann::json details = comparison->details();
  details["unit"] = "requests/s";
  details["requests_ours"] = ours.details();
  details["requests_theirs"] = theirs.details();
  details["user_cpu_ratio"] = user;
  details["system_cpu_ratio"] = system;
  const auto shown = [](const Contender& contender, double rates) {
    return grouped(rates) + "/s, " + fixed(contender.each(contender.cpu.user), 1) + " + " +
           fixed(contender.each(contender.cpu.system), 1) + " us";
  };
  const bool holds = rate >= bounds.rate && (bounds.user == 0 || user <= bounds.user) &&
                     (bounds.system == 0 || system <= bounds.system);
  return Finding{holds, shown(ours, median(comparison->ours)),
                 std::string(name) + " " + shown(theirs, median(comparison->theirs)),
                 fixed(rate, 2) + " x, CPU " + fixed(user, 2) + " + " + fixed(system, 2) + " x",
                 std::move(details)};
}

std::string with_thousands(std::size_t connections) {
  return grouped(static_cast<double>(connections)) + " connections";
}

// The bodies with which the emulator answers a lease request and a release.
struct Bodies {
  std::string lease;
  std::string release;
};

Result<Bodies> sample_bodies(const Server& emulator) {
  auto lease = ask(emulator.port, lease_request(0, 0));
  if (!lease) return tl::unexpected(lease.error());
  auto release = ask(emulator.port, release_request(lease_id(lease->body)));
  if (!release) return tl::unexpected(release.error());
  if (release->status != 200) return failure("the emulator refuses to release: " + release->body);
  return Bodies{std::move(lease->body), std::move(release->body)};
}

}  // namespace lease
}  // namespace

Row lease_against_nginx(std::size_t connections) {
  using namespace lease;
  static constexpr Bounds bounds{.user = 1.15, .system = 1.05};
  const auto measure = [connections](const Settings& settings) -> Result<Finding> {
    const auto emulator = start_emulator_with_objects(connections);
    if (!emulator) return tl::unexpected(emulator.error());
    const auto bodies = sample_bodies(*emulator);
    if (!bodies) return tl::unexpected(bodies.error());
    const auto nginx = start_nginx(settings.nginx, bodies->lease, bodies->release);
    if (!nginx) return tl::unexpected(nginx.error());
    return against("nginx", *emulator, *nginx, connections, bounds, settings);
  };
  return {"lease-" + std::to_string(connections), "lease + release, " + with_thousands(connections),
          "user CPU <= 1.15 x nginx, system <= 1.05 x", measure};
}

Row lease_against_aiohttp() {
  using namespace lease;
  constexpr std::size_t connections = 1024;
  static constexpr Bounds bounds{.rate = 10};
  const auto measure = [](const Settings& settings) -> Result<Finding> {
    const auto emulator = start_emulator_with_objects(connections);
    if (!emulator) return tl::unexpected(emulator.error());
    const auto daemon = start_aiohttp_daemon(small_segment);
    if (!daemon) return tl::unexpected(daemon.error());
    if (auto stored = store_objects(daemon->port, connections, 16); !stored) {
      return tl::unexpected(stored.error());
    }
    return against("aiohttp", *emulator, *daemon, connections, bounds, settings);
  };
  return {"lease-aiohttp", "lease + release, " + with_thousands(connections), ">= 10 x aiohttp",
          measure};
}

Row lease_with_journal() {
  using namespace lease;
  constexpr std::size_t connections = 128;
  static constexpr Bounds bounds{.user = 1.05};
  const auto measure = [](const Settings& settings) -> Result<Finding> {
    const auto with = start_emulator_with_objects(connections);
    if (!with) return tl::unexpected(with.error());
    const auto without = start_emulator_with_objects(connections, {"--journal-entries", "0"});
    if (!without) return tl::unexpected(without.error());
    return against("without", *with, *without, connections, bounds, settings);
  };
  return {"lease-journal", "journal on, no fault loaded, " + with_thousands(connections),
          "user CPU <= 1.05 x without", measure};
}

}  // namespace hyperpod::bench
