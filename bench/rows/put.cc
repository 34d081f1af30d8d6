// SPDX-License-Identifier: Apache-2.0
// Storing: bytes must reach the segment about as fast as TCP can carry them there.
#include <algorithm>
#include <bit>

#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/sender.h"
#include "servers.h"

namespace hyperpod::bench {
namespace {

constexpr std::uint64_t mebibyte = 1ull << 20;
constexpr std::uint64_t body_bytes = 16 * mebibyte;
constexpr std::uint64_t capacity = 512 * mebibyte;
constexpr double bound = 0.9;
// What a machine of today carries in a second or so: the bodies of a round, by its length.
constexpr std::uint64_t bodies_a_second = 128;

Result<bool> raw_accepted(std::string_view received) { return received == "ok"; }

std::string raw_head(std::uint64_t /*number*/) {
  std::string head(sizeof body_bytes, '\0');
  std::copy_n(std::bit_cast<const char*>(&body_bytes), head.size(), head.begin());
  return head;
}

Result<Finding> measure_over(unsigned connections, const Settings& settings) {
  const auto emulator = start_emulator(capacity, mebibyte);
  if (!emulator) return tl::unexpected(emulator.error());
  const auto receiver = start_raw_receiver(capacity);
  if (!receiver) return tl::unexpected(receiver.error());
  const std::string body(body_bytes, 'k');
  Sender ours = http_sender(*emulator, connections, body);
  Sender theirs(*receiver, connections, body, raw_head, raw_accepted);

  // Both have touched every page of their mappings before the first round; from then on the
  // emulator evicts and the receiver goes round.
  constexpr std::uint64_t whole_mapping = capacity / body_bytes;
  if (auto warm = ours.send(whole_mapping); !warm) return tl::unexpected(warm.error());
  if (auto warm = theirs.send(whole_mapping); !warm) return tl::unexpected(warm.error());

  const auto bodies = std::max<std::uint64_t>(
      connections, bodies_a_second * static_cast<std::uint64_t>(settings.slice.count()) / 1000);
  const auto comparison = compare(
      settings.rounds, [&] { return ours.send(bodies); }, [&] { return theirs.send(bodies); });
  if (!comparison) return tl::unexpected(comparison.error());
  const auto mebibytes = [](double bytes) { return grouped(bytes / mebibyte) + " MiB/s"; };
  nlohmann::json details = comparison->details();
  details["unit"] = "bytes/s";
  details["bytes_a_round"] = bodies * body_bytes;
  return Finding{comparison->ratio() >= bound, mebibytes(median(comparison->ours)),
                 "raw TCP " + mebibytes(median(comparison->theirs)),
                 fixed(comparison->ratio(), 2) + " x", std::move(details)};
}

}  // namespace

Row put_against_raw_tcp(unsigned connections) {
  return {"put-" + std::to_string(connections),
          "PUT of 16 MiB bodies, connections: " + std::to_string(connections), ">= 0.9 x raw TCP",
          [connections](const Settings& settings) { return measure_over(connections, settings); }};
}

}  // namespace hyperpod::bench
