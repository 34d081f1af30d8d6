// SPDX-License-Identifier: Apache-2.0
// Fairness: how long others wait while some send as much as they can.
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "load/connection.h"
#include "load/workloads.h"
#include "report.h"
#include "rows/rows.h"
#include "rows/sender.h"
#include "rows/setup.h"
#include "servers.h"

namespace hyperpod::bench {
namespace {
namespace fairness {

using std::chrono::duration;
using std::chrono::steady_clock;
using Milliseconds = duration<double, std::milli>;

constexpr std::uint64_t mebibyte = 1 << 20;
constexpr unsigned streams = 32;
constexpr std::uint64_t body_bytes = 8 * mebibyte;
constexpr std::uint64_t bodies = 16 * streams;
constexpr std::size_t newcomers = 128;
constexpr Milliseconds new_bound{500};
constexpr Milliseconds established_bound{100};

constexpr std::size_t pipelines = 300;
constexpr std::size_t pipelined_bytes = 256 * 1024;  // some 2,000 requests each

struct Waits {
  Milliseconds longest_new{0};
  Milliseconds longest_established{0};
};

// As long as `busy`: requests over an established connection; in the middle, all newcomers at once.
Result<Waits> wait_beside(std::uint16_t port, const std::function<bool()>& busy) {
  const auto established = connect_to(port);
  if (!established) return tl::unexpected(established.error());
  Waits waits;
  bool came = false;
  for (int asked = 0; busy(); ++asked) {
    const auto begin = steady_clock::now();
    const auto response = ask_over(established->get(), lease_request(0, 0));
    if (!response) return tl::unexpected(response.error());
    waits.longest_established =
        std::max<Milliseconds>(waits.longest_established, steady_clock::now() - begin);
    if (came || asked < 10) continue;
    came = true;
    const auto burst = steady_clock::now();
    std::vector<base::FileDescriptor> fresh;
    for (std::size_t i = 0; i < newcomers; ++i) {
      auto socket = connect_to(port);
      if (!socket) return tl::unexpected(socket.error());
      if (auto sent = send_all(socket->get(), lease_request(0, 0)); !sent) {
        return tl::unexpected(sent.error());
      }
      fresh.push_back(std::move(*socket));
    }
    for (const auto& socket : fresh) {
      char first = 0;
      if (::recv(socket.get(), &first, 1, 0) != 1) return failure("a new connection was dropped");
    }
    waits.longest_new = steady_clock::now() - burst;
  }
  if (!came) return failure("the load was over before anybody else came; send more of it");
  return waits;
}

Finding found(const Waits& waits, std::string beside) {
  return {waits.longest_new <= new_bound && waits.longest_established <= established_bound,
          "128 new " + fixed(waits.longest_new.count(), 0) + " ms, established " +
              fixed(waits.longest_established.count(), 0) + " ms",
          "",
          std::move(beside),
          {{"longest_new_ms", waits.longest_new.count()},
           {"longest_established_ms", waits.longest_established.count()}}};
}

Result<Finding> measure_beside_bodies(const Settings& /*settings*/) {
  const auto emulator = start_emulator(1024 * mebibyte, mebibyte);
  if (!emulator) return tl::unexpected(emulator.error());
  const std::string body(body_bytes, 'f');
  Sender sender = http_sender(*emulator, streams, body);
  std::atomic<bool> busy{true};
  Result<double> sent = 0;
  std::jthread stream([&] {
    sent = sender.send(bodies);
    busy = false;
  });
  const auto waits = wait_beside(emulator->port, [&] { return busy.load(); });
  stream.join();
  if (!waits) return tl::unexpected(waits.error());
  if (!sent) return tl::unexpected(sent.error());
  return found(*waits, fixed(*sent / mebibyte, 0) + " MiB/s beside");
}

// Sends on each socket what it takes, in turns, until all have sent their share or nothing more is
// taken for a tenth of a second: what the kernel holds keeps the server busy for seconds.
void pipeline(const std::vector<base::FileDescriptor>& sockets, const std::string& requests) {
  std::vector<std::size_t> sent(sockets.size(), 0);
  auto progress = steady_clock::now();
  for (bool more = true; more && steady_clock::now() - progress < std::chrono::milliseconds(100);) {
    more = false;
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      if (sent[i] == requests.size()) continue;
      more = true;
      const auto rest = std::string_view(requests).substr(sent[i]);
      const auto taken =
          ::send(sockets[i].get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (taken <= 0) continue;
      sent[i] += static_cast<std::size_t>(taken);
      progress = steady_clock::now();
    }
  }
}

Result<Finding> measure_beside_pipelines(const Settings& /*settings*/) {
  const auto emulator = start_emulator_with_objects(1);
  if (!emulator) return tl::unexpected(emulator.error());
  std::string requests;
  while (requests.size() < pipelined_bytes) requests += lease_request(0, 0);
  std::vector<base::FileDescriptor> sockets;
  for (std::size_t i = 0; i < pipelines; ++i) {
    auto socket = connect_to(emulator->port);
    if (!socket) return tl::unexpected(socket.error());
    sockets.push_back(std::move(*socket));
  }
  pipeline(sockets, requests);
  // Far fewer than wait in those sockets.
  const auto waits = wait_beside(emulator->port, [asked = 0]() mutable { return asked++ < 300; });
  if (!waits) return tl::unexpected(waits.error());
  return found(*waits, grouped(pipelines) + " pipelines beside");
}

}  // namespace fairness
}  // namespace

Row fairness_beside_bodies() {
  using namespace fairness;
  return {"fairness", "beside 32 PUT streams of 8 MiB", "<= 500 ms, <= 100 ms",
          measure_beside_bodies};
}

Row fairness_beside_pipelines() {
  using namespace fairness;
  return {"fairness-pipelines", "beside 300 connections that pipeline and never read",
          "<= 500 ms, <= 100 ms", measure_beside_pipelines};
}

}  // namespace hyperpod::bench
