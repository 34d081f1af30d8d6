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
namespace put {

constexpr std::uint64_t mebibyte = 1ull << 20;
constexpr std::uint64_t least_block = 64 * 1024;
constexpr std::uint64_t capacity = 512 * mebibyte;

struct Shape {
  std::uint64_t body;
  unsigned connections;
  std::uint64_t block;
  Receiving comparator;
  double bound;
  // What a machine of today carries in a second or so: the bodies of a round, by its length.
  std::uint64_t bodies_a_second;
};

Result<bool> raw_accepted(std::string_view received) { return received == "ok"; }

std::string raw_head(std::uint64_t length) {
  std::string head(sizeof length, '\0');
  std::copy_n(std::bit_cast<const char*>(&length), head.size(), head.begin());
  return head;
}

Sender raw_sender(const Server& receiver, unsigned connections, std::string_view body) {
  const auto head = [size = body.size()](std::uint64_t /*number*/) { return raw_head(size); };
  return {receiver, connections, body, head, raw_accepted};
}

Result<Finding> measure_shape(const Shape& shape, const Settings& settings) {
  const auto emulator = start_emulator(capacity, shape.block);
  if (!emulator) return tl::unexpected(emulator.error());
  const auto receiver = start_raw_receiver(capacity, shape.body, shape.comparator);
  if (!receiver) return tl::unexpected(receiver.error());
  const std::string body(shape.body, 'k');
  Sender ours = http_sender(*emulator, shape.connections, body);
  Sender theirs = shape.comparator == Receiving::epoll
                      ? http_sender(*receiver, shape.connections, body)
                      : raw_sender(*receiver, shape.connections, body);

  // Both have touched every page of their mappings before the first round; from then on the
  // emulator evicts and the receiver goes round.
  const std::uint64_t objects = capacity / std::max(shape.body, shape.block);
  if (auto warm = ours.send(objects); !warm) return tl::unexpected(warm.error());
  if (auto warm = theirs.send(capacity / shape.body); !warm) return tl::unexpected(warm.error());

  const auto bodies = std::max<std::uint64_t>(
      shape.connections,
      shape.bodies_a_second * static_cast<std::uint64_t>(settings.slice.count()) / 1000);
  const auto comparison = compare(
      settings.rounds, [&] { return ours.send(bodies); }, [&] { return theirs.send(bodies); });
  if (!comparison) return tl::unexpected(comparison.error());
  const auto mebibytes = [](double bytes) { return grouped(bytes / mebibyte) + " MiB/s"; };
  nlohmann::json details = comparison->details();
  details["unit"] = "bytes/s";
  details["bytes_a_round"] = bodies * shape.body;
  return Finding{comparison->ratio() >= shape.bound, mebibytes(median(comparison->ours)),
                 (shape.comparator == Receiving::epoll ? "epoll loop " : "raw TCP ") +
                     mebibytes(median(comparison->theirs)),
                 fixed(comparison->ratio(), 2) + " x", std::move(details)};
}

}  // namespace put
}  // namespace

Row put_against_raw_tcp(unsigned connections) {
  using namespace put;
  const Shape shape{.body = 16 * mebibyte,
                    .connections = connections,
                    .block = mebibyte,
                    .comparator = Receiving::threads,
                    .bound = 0.9,
                    .bodies_a_second = 128};
  return {"put-" + std::to_string(connections),
          "PUT of 16 MiB bodies, connections: " + std::to_string(connections), ">= 0.9 x raw TCP",
          [shape](const Settings& settings) { return measure_shape(shape, settings); }};
}

Row put_against_epoll(std::uint64_t body) {
  using namespace put;
  const Shape shape{.body = body,
                    .connections = 16,
                    .block = std::max(body, least_block),
                    .comparator = Receiving::epoll,
                    .bound = 0.95,
                    .bodies_a_second = std::min<std::uint64_t>(20'000, (1 << 30) / body)};
  const std::string kibibytes = std::to_string(body / 1024);
  return {"put-" + kibibytes + "k", "PUT of " + kibibytes + " KiB bodies, 16 connections",
          ">= 0.95 x an epoll receiver",
          [shape](const Settings& settings) { return measure_shape(shape, settings); }};
}

}  // namespace hyperpod::bench
