// SPDX-License-Identifier: Apache-2.0
#include "rows/setup.h"

#include <algorithm>
#include <thread>

#include "load/workloads.h"

namespace hyperpod::bench {

std::size_t load_threads() { return std::max(1u, std::thread::hardware_concurrency()); }

Result<void> store_objects(std::uint16_t port, std::uint64_t count, std::size_t connections) {
  auto load = Load::connect(port, connections);
  if (!load) return tl::unexpected(load.error());
  StoreObjects workload(connections, count, std::string(1024, 'k'));
  return load->run(workload, {.duration = std::chrono::minutes(1)}).map([](const auto&) {});
}

Result<Server> start_emulator_with_objects(std::uint64_t count,
                                           const std::vector<std::string>& more) {
  auto emulator = start_emulator(small_segment, 4096, Placement::contiguous, more);
  if (!emulator) return emulator;
  if (auto stored = store_objects(emulator->port, count, 16); !stored) {
    return tl::unexpected(stored.error());
  }
  return emulator;
}

}  // namespace hyperpod::bench
