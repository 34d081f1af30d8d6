// SPDX-License-Identifier: Apache-2.0
// Fairness: what others wait for while large bodies stream in.
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
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

struct Waits {
  Milliseconds longest_new{0};
  Milliseconds longest_established{0};
};

// As long as `streaming`: requests over an established connection; in the middle, all newcomers at
// once.
Result<Waits> wait_beside(std::uint16_t port, const std::atomic<bool>& streaming) {
  const auto established = connect_to(port);
  if (!established) return tl::unexpected(established.error());
  Waits waits;
  bool came = false;
  for (int asked = 0; streaming; ++asked) {
    const auto begin = steady_clock::now();
    const auto reply = ask_over(established->get(), lease_request(0, 0));
    if (!reply) return tl::unexpected(reply.error());
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
  if (!came) return failure("the bodies were over before anybody else came; send more of them");
  return waits;
}

Result<Finding> measure(const Settings& /*settings*/) {
  const auto emulator = start_emulator(1024 * mebibyte, mebibyte);
  if (!emulator) return tl::unexpected(emulator.error());
  const std::string body(body_bytes, 'f');
  Sender sender = http_sender(*emulator, streams, body);
  std::atomic<bool> streaming{true};
  Result<double> sent = 0;
  std::jthread stream([&] {
    sent = sender.send(bodies);
    streaming = false;
  });
  const auto waits = wait_beside(emulator->port, streaming);
  stream.join();
  if (!waits) return tl::unexpected(waits.error());
  if (!sent) return tl::unexpected(sent.error());
  return Finding{waits->longest_new <= new_bound && waits->longest_established <= established_bound,
                 "128 new " + fixed(waits->longest_new.count(), 0) + " ms, established " +
                     fixed(waits->longest_established.count(), 0) + " ms",
                 "",
                 fixed(*sent / mebibyte, 0) + " MiB/s beside",
                 {{"longest_new_ms", waits->longest_new.count()},
                  {"longest_established_ms", waits->longest_established.count()}}};
}

}  // namespace

Row fairness() {
  return {"fairness", "beside 32 PUT streams of 8 MiB", "<= 500 ms, <= 100 ms", measure};
}

}  // namespace hyperpod::bench
