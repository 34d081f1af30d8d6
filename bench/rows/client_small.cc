// SPDX-License-Identifier: Apache-2.0
// Small objects read whole, sixteen at once, against the same in Python over aiohttp: the way of
// LMCache's own client.
#include <array>
#include <string>
#include <vector>

#include "report.h"
#include "rows/client.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/setup.h"
#include "servers.h"

namespace hyperpod::bench {
namespace {
namespace client_small {

constexpr unsigned in_flight = 16;
constexpr std::size_t object_bytes = 4096;

Result<Finding> measure(const Settings& settings) {
  constexpr double bound = 10;
  const auto emulator = start_emulator(small_segment, object_bytes);
  if (!emulator) return tl::unexpected(emulator.error());
  auto client = make_client(*emulator);
  if (!client) return tl::unexpected(client.error());
  if (auto stored = store_with_client(*client, in_flight, object_bytes); !stored) {
    return tl::unexpected(stored.error());
  }
  std::vector<std::string> keys;
  std::vector<std::array<std::byte, object_bytes>> buffers(in_flight);
  for (unsigned i = 0; i < in_flight; ++i) keys.push_back(plain_object_key(i));
  const auto get = [&](unsigned thread) -> Result<void> {
    const auto got = client->get(keys[thread], buffers[thread]);
    if (!got) return client_failure(got.error());
    if (!got->is_hit()) return failure("the emulator has lost " + keys[thread]);
    return {};
  };
  const auto comparison = compare(
      settings.rounds, [&] { return operations_a_second(in_flight, settings.slice, get); },
      [&] { return run_aiohttp_client(*emulator, keys, object_bytes, settings.slice); });
  if (!comparison) return tl::unexpected(comparison.error());
  nlohmann::json details = comparison->details();
  details["unit"] = "gets/s";
  return Finding{comparison->ratio() >= bound, grouped(median(comparison->ours)) + "/s",
                 "aiohttp " + grouped(median(comparison->theirs)) + "/s",
                 fixed(comparison->ratio(), 1) + " x", std::move(details)};
}

}  // namespace client_small
}  // namespace

Row client_small() {
  using namespace client_small;
  return {"client-small", "client: get of 4 KiB, 16 in flight", ">= 10 x aiohttp client", measure};
}

}  // namespace hyperpod::bench
