// SPDX-License-Identifier: Apache-2.0
// Reading in place by many threads, against raw sockets that make the same calls and read nothing:
// what remains of the difference is the client's queue, pool, checks and parsing.
#include <array>
#include <string>
#include <vector>

#include "load/connection.h"
#include "load/response.h"
#include "load/workloads.h"
#include "report.h"
#include "rows/client.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/setup.h"

namespace hyperpod::bench {
namespace {
namespace client_acquire {

constexpr unsigned threads = 16;
constexpr std::size_t object_bytes = 16 << 10;
constexpr std::size_t cache_line = 64;

// Reads a byte of each cache line.
unsigned touch(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += cache_line) {
    sum += std::to_integer<unsigned>(bytes[i]);
  }
  return sum;
}

Result<void> read_in_place(client::Client& client, const std::string& key) {
  auto lease = acquire_stored(client, key);
  if (!lease) return tl::unexpected(lease.error());
  unsigned sum = 0;
  for (const auto fragment : lease->fragments()) sum += touch(fragment);
  if (sum == 0) return failure("the emulator has lost the bytes of " + key);
  if (auto released = lease->release(); !released) return client_failure(released.error());
  return {};
}

Result<void> make_the_calls(int socket, std::string_view lease_request_text) {
  const auto lease = ask_over(socket, lease_request_text);
  if (!lease) return tl::unexpected(lease.error());
  const auto released = ask_over(socket, release_request(lease_id(lease->body)));
  if (!released) return tl::unexpected(released.error());
  if (released->status != 200) return failure("a lease could not be released: " + released->body);
  return {};
}

Result<Finding> measure(const Settings& settings) {
  constexpr double bound = 0.8;
  const auto emulator = start_emulator(small_segment, object_bytes);
  if (!emulator) return tl::unexpected(emulator.error());
  auto client = make_client(*emulator);
  if (!client) return tl::unexpected(client.error());
  if (auto stored = store_with_client(*client, threads, object_bytes); !stored) {
    return tl::unexpected(stored.error());
  }
  std::vector<std::string> keys;
  std::vector<base::FileDescriptor> sockets;
  std::vector<std::string> requests;
  for (unsigned thread = 0; thread < threads; ++thread) {
    auto socket = connect_to(emulator->port);
    if (!socket) return tl::unexpected(socket.error());
    sockets.push_back(*std::move(socket));
    keys.push_back(plain_object_key(thread));
    requests.push_back(lease_request(thread, 5000));
  }
  const auto comparison = compare(
      settings.rounds,
      [&] {
        return operations_a_second(threads, settings.slice, [&](unsigned thread) {
          return read_in_place(*client, keys[thread]);
        });
      },
      [&] {
        return operations_a_second(threads, settings.slice, [&](unsigned thread) {
          return make_the_calls(sockets[thread].get(), requests[thread]);
        });
      });
  if (!comparison) return tl::unexpected(comparison.error());
  nlohmann::json details = comparison->details();
  details["unit"] = "leases/s";
  return Finding{comparison->ratio() >= bound, grouped(median(comparison->ours)) + "/s",
                 "raw sockets " + grouped(median(comparison->theirs)) + "/s",
                 fixed(comparison->ratio(), 2) + " x", std::move(details)};
}

}  // namespace client_acquire
}  // namespace

Row client_acquire() {
  using namespace client_acquire;
  return {"client-acquire", "client: acquire, touch and release, 16 threads",
          ">= 0.8 x raw sockets", measure};
}

}  // namespace hyperpod::bench
