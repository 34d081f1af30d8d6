// SPDX-License-Identifier: Apache-2.0
// Idle connections must cost nothing: no thread each, no polling.
#include <thread>

#include "load/workloads.h"
#include "report.h"
#include "rows/rows.h"
#include "rows/setup.h"

namespace hyperpod::bench {
namespace {
namespace idle {

constexpr std::size_t connections = 1024;
constexpr std::chrono::seconds idle_time{10};
constexpr double cpu_bound_seconds = 0.1;

Result<Finding> measure(const Settings& /*settings*/) {
  const auto emulator = start_emulator_with_objects(connections);
  if (!emulator) return tl::unexpected(emulator.error());
  auto load = Load::connect(emulator->port, connections);
  if (!load) return tl::unexpected(load.error());
  LeaseAndRelease once(connections);
  if (auto used = load->run(once, {.duration = std::chrono::milliseconds(200)}); !used) {
    return tl::unexpected(used.error());
  }
  const auto before = cpu_time(emulator->child.pid());
  std::this_thread::sleep_for(idle_time);
  const auto after = cpu_time(emulator->child.pid());
  const auto used = usage(emulator->child.pid());
  if (!before || !after || !used) return failure("the emulator's CPU time cannot be read");
  const double cpu =
      std::chrono::duration<double>(after->user + after->system - before->user - before->system)
          .count();
  const unsigned cores = std::thread::hardware_concurrency();
  return Finding{cpu < cpu_bound_seconds && used->threads <= cores + 3,
                 fixed(cpu, 2) + " s CPU",
                 std::to_string(cores) + " cores",
                 std::to_string(used->threads) + " threads",
                 {{"cpu_seconds", cpu}, {"threads", used->threads}, {"cores", cores}}};
}

}  // namespace idle
}  // namespace

Row idle_connections() {
  using namespace idle;
  return {"idle", "1,024 idle connections for 10 s", "< 0.1 s, <= cores + 3", measure};
}

}  // namespace hyperpod::bench
