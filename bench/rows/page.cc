// SPDX-License-Identifier: Apache-2.0
// A page that is open must cost next to nothing, whatever the emulator holds and does.
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <future>

#include "load/connection.h"
#include "load/workloads.h"
#include "report.h"
#include "rows/rows.h"
#include "rows/setup.h"

namespace hyperpod::bench {
namespace {
namespace page {

constexpr std::uint64_t objects = 100'000;
constexpr std::uint64_t block_size = 4096;
constexpr std::uint64_t capacity = 512ull << 20;
constexpr std::size_t connections = 16;
constexpr std::chrono::seconds watched{10};
constexpr double bound = 0.02;

// Reads events until told to stop; how many bytes came.
std::uint64_t follow(int socket, const std::atomic<bool>& stop) {
  std::array<char, 65536> buffer{};
  std::uint64_t all = 0;
  while (!stop) {
    const auto got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    all += static_cast<std::uint64_t>(got);
  }
  return all;
}

// Of the threads that serve the page.
Result<std::chrono::milliseconds> page_time(pid_t emulator) {
  const auto port = cpu_time_of(emulator, "hyperpod-admin");
  if (!port) return port;
  const auto reads = cpu_time_of(emulator, "hyperpod-reads");
  if (!reads) return reads;
  return *port + *reads;
}

Result<Finding> measure(const Settings& /*settings*/) {
  const auto emulator =
      start_emulator(capacity, block_size, Placement::contiguous, {"--admin", "127.0.0.1:0"});
  if (!emulator) return tl::unexpected(emulator.error());
  if (auto stored = store_objects(emulator->port, objects, 64); !stored) {
    return tl::unexpected(stored.error());
  }
  const auto page = connect_to(emulator->admin_port);
  if (!page) return tl::unexpected(page.error());
  constexpr std::string_view request = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
  if (auto sent = send_all(page->get(), request); !sent) return tl::unexpected(sent.error());
  std::atomic<bool> stop{false};
  auto events = std::async(std::launch::async, [&] { return follow(page->get(), stop); });

  const auto before = page_time(emulator->child.pid());
  auto load = Load::connect(emulator->port, connections, load_threads());
  LeaseAndRelease workload(connections);
  Result<RunResult> run = tl::unexpected(Error{});
  if (load) run = load->run(workload, {.duration = watched});
  const auto after = page_time(emulator->child.pid());
  stop = true;
  const double bytes = static_cast<double>(events.get());
  if (!load) return tl::unexpected(load.error());
  if (!run) return tl::unexpected(run.error());
  if (!before || !after) return failure("the emulator's CPU time cannot be read");
  if (bytes == 0) return failure("the admin port sent no events");

  const double share = std::chrono::duration<double>(*after - *before).count() / run->seconds;
  return Finding{share < bound,
                 fixed(100 * share, 2) + " % of a core",
                 fixed(run->rate() / 1000, 1) + " k requests/s",
                 fixed(bytes / 1024 / run->seconds, 0) + " KiB/s",
                 {{"core_share", share}, {"requests_per_second", run->rate()}, {"bytes", bytes}}};
}

}  // namespace page
}  // namespace

Row open_page() {
  using namespace page;
  return {"page", "an open page, 100,000 objects, full load", "< 2 % of a core", measure};
}

}  // namespace hyperpod::bench
