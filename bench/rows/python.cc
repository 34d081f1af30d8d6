// SPDX-License-Identifier: Apache-2.0
// The Python package of this build: its client beside the C++ client and beside one on aiohttp,
// LMCache's connector, and the start of the fixture.
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
namespace python {

constexpr std::uint64_t mebibyte = 1ull << 20;
constexpr std::size_t small_bytes = 4096;
constexpr std::size_t large_bytes = 16 * mebibyte;
// Room for the objects and for as many chunks.
constexpr std::uint64_t large_segment = 256 * mebibyte;

std::vector<std::string> keys_of(unsigned count) {
  std::vector<std::string> keys;
  for (unsigned i = 0; i < count; ++i) keys.push_back(plain_object_key(i));
  return keys;
}

// An emulator that holds `count` objects, and a client of it.
struct Loaded {
  Server emulator;
  client::Client client;
};

Result<Loaded> loaded(unsigned count, std::size_t object_bytes) {
  const bool large = object_bytes >= mebibyte;
  auto emulator =
      large ? start_emulator(large_segment, mebibyte) : start_emulator(small_segment, object_bytes);
  if (!emulator) return tl::unexpected(emulator.error());
  auto client = make_client(*emulator);
  if (!client) return tl::unexpected(client.error());
  if (auto stored = store_with_client(*client, count, object_bytes); !stored) {
    return tl::unexpected(stored.error());
  }
  return Loaded{std::move(*emulator), std::move(*client)};
}

Finding finding(const Comparison& comparison, double bound, const char* theirs, const char* unit) {
  nlohmann::json details = comparison.details();
  details["unit"] = unit;
  // append() in place of operator+, which g++ 12 takes for an overflow.
  const auto figure = [&](const std::vector<double>& figures) {
    return grouped(median(figures)).append(" ").append(unit);
  };
  return Finding{comparison.ratio() >= bound, figure(comparison.ours),
                 std::string(theirs).append(" ").append(figure(comparison.theirs)),
                 fixed(comparison.ratio(), 2) + " x", std::move(details)};
}

Result<Finding> measure_get_into(const Settings& settings) {
  constexpr double bound = 0.9;
  constexpr unsigned objects = 4;
  auto both = loaded(objects, large_bytes);
  if (!both) return tl::unexpected(both.error());
  const auto keys = keys_of(objects);
  std::vector<std::byte> buffer(large_bytes);
  unsigned next = 0;
  const auto get = [&](unsigned /*thread*/) -> Result<void> {
    const auto got = both->client.get(keys[next++ % objects], buffer);
    if (!got) return client_failure(got.error());
    if (!got->is_hit()) return failure("the emulator has lost an object");
    return {};
  };
  const auto comparison = compare(
      settings.rounds,
      [&] {
        return run_python_client("get_into", both->emulator, keys, large_bytes, settings.slice);
      },
      [&] { return operations_a_second(1, settings.slice, get); });
  if (!comparison) return tl::unexpected(comparison.error());
  return finding(*comparison, bound, "C++ client", "gets/s");
}

Result<Finding> against_aiohttp(const char* kind, unsigned in_flight, std::size_t object_bytes,
                                double bound, const Settings& settings) {
  auto both = loaded(in_flight, object_bytes);
  if (!both) return tl::unexpected(both.error());
  const auto keys = keys_of(in_flight);
  const auto comparison = compare(
      settings.rounds,
      [&] { return run_python_client(kind, both->emulator, keys, object_bytes, settings.slice); },
      [&] { return run_aiohttp_client(both->emulator, keys, object_bytes, settings.slice); });
  if (!comparison) return tl::unexpected(comparison.error());
  return finding(*comparison, bound, "aiohttp", "gets/s");
}

Result<Finding> measure_start(const Settings& settings) {
  constexpr double bound_milliseconds = 50;
  auto both = loaded(1, small_bytes);
  if (!both) return tl::unexpected(both.error());
  std::vector<double> medians;
  for (unsigned round = 0; round < settings.rounds; ++round) {
    const auto taken =
        run_python_client("start", both->emulator, keys_of(1), small_bytes, settings.slice);
    if (!taken) return tl::unexpected(taken.error());
    medians.push_back(*taken);
  }
  const double taken = median(medians);
  return Finding{taken < bound_milliseconds,
                 fixed(taken, 1) + " ms",
                 "",
                 fixed(taken, 1) + " ms",
                 {{"medians_ms", medians}}};
}

}  // namespace python
}  // namespace

Row python_get_into() {
  using namespace python;
  return {"python-get-into", "Python: get_into of 16 MiB", ">= 0.9 x C++ client", measure_get_into};
}

Row python_small() {
  using namespace python;
  constexpr double bound = 8;
  return {"python-small", "Python: coroutines that get 4 KiB, 64 in flight",
          ">= 8 x aiohttp client", [](const Settings& settings) {
            return against_aiohttp("aget", 64, small_bytes, bound, settings);
          }};
}

Row python_lmcache_small() {
  using namespace python;
  constexpr double bound = 5;
  return {"python-lmcache-small", "LMCache's connector: get of 4 KiB, 16 in flight",
          ">= 5 x aiohttp client", [](const Settings& settings) {
            return against_aiohttp("lmcache", 16, small_bytes, bound, settings);
          }};
}

Row python_lmcache_large() {
  using namespace python;
  constexpr double bound = 5;
  return {"python-lmcache-large", "LMCache's connector: get of 16 MiB", ">= 5 x aiohttp client",
          [](const Settings& settings) {
            return against_aiohttp("lmcache", 4, large_bytes, bound, settings);
          }};
}

Row python_start() {
  using namespace python;
  return {"python-start", "Python: start of a daemon of the fixture, median", "< 50 ms",
          measure_start};
}

}  // namespace hyperpod::bench
