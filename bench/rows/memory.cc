// SPDX-License-Identifier: Apache-2.0
// Memory beside the segment: what objects and connections cost in book-keeping.
#include "load/workloads.h"
#include "report.h"
#include "rows/rows.h"
#include "rows/setup.h"

namespace hyperpod::bench {
namespace {
namespace memory_row {

constexpr std::uint64_t objects = 100'000;
constexpr std::size_t connections = 1024;
constexpr std::uint64_t block_size = 4096;
constexpr std::uint64_t capacity = 512ull << 20;
constexpr double mebibyte = 1 << 20;
constexpr double bound_mebibytes = 64;

Result<Finding> measure(const Settings& /*settings*/) {
  const auto emulator = start_emulator(capacity, block_size);
  if (!emulator) return tl::unexpected(emulator.error());
  const auto at_start = usage(emulator->child.pid());
  if (auto stored = store_objects(emulator->port, objects, 64); !stored) {
    return tl::unexpected(stored.error());
  }
  auto load = Load::connect(emulator->port, connections);
  if (!load) return tl::unexpected(load.error());
  // Every connection is used, so that its buffers count.
  LeaseAndRelease workload(connections);
  if (auto run = load->run(workload, {.duration = std::chrono::milliseconds(500)}); !run) {
    return tl::unexpected(run.error());
  }
  const auto at_end = usage(emulator->child.pid());
  if (!at_start || !at_end) return failure("the emulator's memory cannot be read");
  const double used = static_cast<double>(at_end->private_bytes) / mebibyte;
  const double empty = static_cast<double>(at_start->private_bytes) / mebibyte;
  return Finding{used < bound_mebibytes,
                 fixed(used, 1) + " MiB",
                 "empty " + fixed(empty, 1) + " MiB",
                 fixed(used, 1) + " MiB",
                 {{"private_bytes", at_end->private_bytes},
                  {"private_bytes_when_empty", at_start->private_bytes}}};
}

}  // namespace memory_row
}  // namespace

Row memory() {
  using namespace memory_row;
  return {"memory", "100,000 objects and 1,024 connections", "< 64 MiB", measure};
}

}  // namespace hyperpod::bench
