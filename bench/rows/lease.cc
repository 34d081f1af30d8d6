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

using std::chrono::milliseconds;

// In which a server accepts the connections and makes its buffers.
constexpr milliseconds warm_up{200};

// What is kept of the rounds beside the rate: latencies, and what a request costs the server, which
// is the figure that a busy machine changes least.
struct Contender {
  const Server& server;
  Latencies latencies = {};
  milliseconds cpu{0};
  std::uint64_t answers = 0;

  Result<double> measure(std::size_t connections, milliseconds slice) {
    auto load = Load::connect(server.port, connections, load_threads());
    if (!load) return tl::unexpected(load.error());
    LeaseAndRelease workload(connections);
    const auto before = server.child.cpu_time();
    const auto run = load->run(workload, {.warm_up = warm_up, .duration = slice});
    if (!run) return tl::unexpected(run.error());
    const auto after = server.child.cpu_time();
    if (!before || !after) return failure("the CPU time of a server cannot be read");
    latencies.merge(run->latencies);
    cpu += *after - *before;
    answers += run->answers;
    return run->rate();
  }

  nlohmann::json details() const {
    const auto microseconds = [this](double share) {
      return std::chrono::duration<double, std::micro>(latencies.percentile(share)).count();
    };
    return {{"p50_us", microseconds(0.5)},
            {"p99_us", microseconds(0.99)},
            {"max_us", microseconds(1)},
            {"server_cpu_us_a_request",
             static_cast<double>(cpu.count()) * 1000 / static_cast<double>(answers)}};
  }
};

Result<Finding> against(const char* name, const Server& emulator, const Server& comparator,
                        std::size_t connections, double bound, const Settings& settings) {
  Contender ours{emulator};
  Contender theirs{comparator};
  const auto comparison = compare(
      settings.rounds, [&] { return ours.measure(connections, settings.slice); },
      [&] { return theirs.measure(connections, settings.slice); });
  if (!comparison) return tl::unexpected(comparison.error());
  const double ratio = comparison->ratio();
  nlohmann::json details = comparison->details();
  details["unit"] = "requests/s";
  details["requests_ours"] = ours.details();
  details["requests_theirs"] = theirs.details();
  return Finding{ratio >= bound, grouped(median(comparison->ours)) + "/s",
                 std::string(name) + " " + grouped(median(comparison->theirs)) + "/s",
                 fixed(ratio, 2) + " x", std::move(details)};
}

std::string with_thousands(std::size_t connections) {
  return grouped(static_cast<double>(connections)) + " connections";
}

// The bodies that the emulator answers a lease and a release with.
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

}  // namespace

Row lease_against_nginx(std::size_t connections) {
  constexpr double bound = 0.75;
  const auto measure = [connections](const Settings& settings) -> Result<Finding> {
    const auto emulator = start_emulator_with_objects(connections);
    if (!emulator) return tl::unexpected(emulator.error());
    const auto bodies = sample_bodies(*emulator);
    if (!bodies) return tl::unexpected(bodies.error());
    const auto nginx = start_nginx(settings.nginx, bodies->lease, bodies->release);
    if (!nginx) return tl::unexpected(nginx.error());
    return against("nginx", *emulator, *nginx, connections, bound, settings);
  };
  return {"lease-" + std::to_string(connections), "lease + release, " + with_thousands(connections),
          ">= 0.75 x nginx", measure};
}

Row lease_against_aiohttp() {
  constexpr std::size_t connections = 1024;
  constexpr double bound = 10;
  const auto measure = [](const Settings& settings) -> Result<Finding> {
    const auto emulator = start_emulator_with_objects(connections);
    if (!emulator) return tl::unexpected(emulator.error());
    const auto daemon = start_aiohttp_daemon(small_segment);
    if (!daemon) return tl::unexpected(daemon.error());
    if (auto stored = store_objects(daemon->port, connections, 16); !stored) {
      return tl::unexpected(stored.error());
    }
    return against("aiohttp", *emulator, *daemon, connections, bound, settings);
  };
  return {"lease-aiohttp", "lease + release, " + with_thousands(connections), ">= 10 x aiohttp",
          measure};
}

Row lease_with_journal() {
  constexpr std::size_t connections = 128;
  constexpr double bound = 0.9;
  const auto measure = [](const Settings& settings) -> Result<Finding> {
    const auto with = start_emulator_with_objects(connections);
    if (!with) return tl::unexpected(with.error());
    const auto without = start_emulator_with_objects(connections, {"--journal-entries", "0"});
    if (!without) return tl::unexpected(without.error());
    return against("without", *with, *without, connections, bound, settings);
  };
  return {"lease-journal", "journal on, no fault loaded, " + with_thousands(connections),
          ">= 0.9 x without", measure};
}

}  // namespace hyperpod::bench
