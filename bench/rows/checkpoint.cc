// SPDX-License-Identifier: Apache-2.0
// Checkpoints: shards must come and go about as fast as TCP carries them, and the latest steps must
// be told at once however many there are.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>

#include "load/connection.h"
#include "load/downloads.h"
#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/sender.h"
#include "servers.h"

namespace hyperpod::bench {
namespace {
namespace checkpoint {

constexpr std::uint64_t mebibyte = 1ull << 20;
constexpr std::uint64_t shard_bytes = 64 * mebibyte;
constexpr unsigned ranks = 4;  // each with a connection
// The step, and what replaces it.
constexpr std::uint64_t capacity = 16 * shard_bytes;
constexpr double bound = 0.9;
constexpr std::uint64_t shards_a_second = 32;
// See comparators/raw_receiver.cc.
constexpr std::uint64_t to_be_sent = 1ull << 63;
constexpr std::uint64_t to_be_hashed = 1ull << 62;

// As AWS's client sends it, for a shard of so many "k".
constexpr std::string_view shard_meta =
    R"({"checksum": "xBHtx6pdsJsdq+k3K/2GGw==", "algorithm": "xxh3_128"})";

std::string request(std::string_view method, std::string_view target, std::uint64_t length = 0,
                    std::string_view more = "") {
  return fmt::format("{} /v1/cp/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n{}\r\n",
                     method, target, length, more);
}

// All of one step, so that each shard replaces one that is there: a connection that falls behind
// leaves no steps that are never complete.
std::string shard_target(std::uint64_t number) {
  return fmt::format("checkpoints/bench/{}/0", number % ranks);
}

std::string shard_head(std::uint64_t number) {
  return request("POST", shard_target(number), shard_bytes);
}

std::string checked_shard_head(std::uint64_t number) {
  return request("POST", shard_target(number), shard_bytes,
                 fmt::format("Shard-Meta: {}\r\n", shard_meta));
}

std::string raw_head(std::uint64_t length) {
  std::string head(sizeof length, '\0');
  std::copy_n(std::bit_cast<const char*>(&length), head.size(), head.begin());
  return head;
}

Result<void> create_namespace(const Server& emulator, unsigned num_ranks, unsigned steps) {
  const auto reply = ask(
      emulator.port, request("POST", fmt::format("namespaces/bench?num_ranks={}&steps_retained={}",
                                                 num_ranks, steps)));
  if (!reply) return tl::unexpected(reply.error());
  if (reply->status != 200) return failure("the namespace was not created: " + reply->body);
  return {};
}

Finding finding_of(const Comparison& comparison) {
  const auto mebibytes = [](double bytes) { return grouped(bytes / mebibyte) + " MiB/s"; };
  nlohmann::json details = comparison.details();
  details["unit"] = "bytes/s";
  return {comparison.ratio() >= bound, mebibytes(median(comparison.ours)),
          "raw TCP " + mebibytes(median(comparison.theirs)), fixed(comparison.ratio(), 2) + " x",
          std::move(details)};
}

std::uint64_t shards_of(const Settings& settings) {
  return std::max<std::uint64_t>(
      ranks, shards_a_second * static_cast<std::uint64_t>(settings.slice.count()) / 1000);
}

// Both have touched every page of their mappings before the first round.
Result<Finding> measure_put(bool checked, const Settings& settings) {
  const auto emulator = start_emulator(capacity, mebibyte, Placement::contiguous, {"--prefault"});
  if (!emulator) return tl::unexpected(emulator.error());
  const auto receiver = start_raw_receiver(capacity, shard_bytes, Receiving::threads);
  if (!receiver) return tl::unexpected(receiver.error());
  if (auto made = create_namespace(*emulator, ranks, 2); !made) return tl::unexpected(made.error());
  const std::string body(shard_bytes, 'k');
  const std::uint64_t length = checked ? to_be_hashed | shard_bytes : shard_bytes;
  Sender ours(*emulator, ranks, body, checked ? checked_shard_head : shard_head, http_accepted);
  Sender theirs(
      *receiver, ranks, body, [length](std::uint64_t) { return raw_head(length); },
      [](std::string_view received) -> Result<bool> { return received == "ok"; });
  constexpr std::uint64_t whole_mapping = capacity / shard_bytes;
  if (auto warm = ours.send(whole_mapping); !warm) return tl::unexpected(warm.error());
  if (auto warm = theirs.send(whole_mapping); !warm) return tl::unexpected(warm.error());
  const std::uint64_t shards = shards_of(settings);
  const auto comparison = compare(
      settings.rounds, [&] { return ours.send(shards); }, [&] { return theirs.send(shards); });
  if (!comparison) return tl::unexpected(comparison.error());
  return finding_of(*comparison);
}

Result<Finding> measure_get(const Settings& settings) {
  const auto emulator = start_emulator(capacity, mebibyte);
  if (!emulator) return tl::unexpected(emulator.error());
  const auto sender = start_raw_receiver(capacity, shard_bytes, Receiving::threads);
  if (!sender) return tl::unexpected(sender.error());
  if (auto made = create_namespace(*emulator, ranks, 2); !made) return tl::unexpected(made.error());
  const std::string body(shard_bytes, 'k');
  Sender saving(*emulator, ranks, body, shard_head, http_accepted);
  if (auto saved = saving.send(ranks); !saved) return tl::unexpected(saved.error());
  Download ours{
      .port = emulator->port,
      .connections = ranks,
      .body_bytes = shard_bytes,
      .request = [](std::uint64_t number) { return request("GET", shard_target(number % ranks)); }};
  Download theirs{.port = sender->port,
                  .connections = ranks,
                  .body_bytes = shard_bytes,
                  .request = [](std::uint64_t) { return raw_head(to_be_sent | shard_bytes); },
                  .http = false};
  ours.count = theirs.count = capacity / shard_bytes;
  if (auto warm = download(ours); !warm) return tl::unexpected(warm.error());
  if (auto warm = download(theirs); !warm) return tl::unexpected(warm.error());
  ours.count = theirs.count = shards_of(settings);
  const auto comparison = compare(
      settings.rounds, [&] { return download(ours); }, [&] { return download(theirs); });
  if (!comparison) return tl::unexpected(comparison.error());
  return finding_of(*comparison);
}

Result<Finding> measure_latest(const Settings& /*settings*/) {
  constexpr unsigned steps = 10'000;
  constexpr unsigned calls = 500;
  constexpr double bound_ms = 1;
  const auto emulator = start_emulator(64 * mebibyte, 4096);
  if (!emulator) return tl::unexpected(emulator.error());
  if (auto made = create_namespace(*emulator, 1, steps); !made) {
    return tl::unexpected(made.error());
  }
  const auto socket = connect_to(emulator->port);
  if (!socket) return tl::unexpected(socket.error());
  for (unsigned step = 0; step < steps; ++step) {
    const auto saved = ask_over(
        socket->get(), request("POST", fmt::format("checkpoints/bench/0/{}", step), 1) + "k");
    if (!saved) return tl::unexpected(saved.error());
  }
  const auto median_ms = [&](unsigned limit) -> Result<double> {
    const std::string latest =
        request("GET", fmt::format("checkpoints/bench/latest?limit={}", limit));
    std::vector<double> taken;
    for (unsigned call = 0; call < calls; ++call) {
      const auto start = std::chrono::steady_clock::now();
      const auto reply = ask_over(socket->get(), latest);
      taken.push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
              .count());
      if (!reply) return tl::unexpected(reply.error());
      const auto told = std::ranges::count(reply->body, ',') + 1;
      if (told != limit) return failure("the emulator told of " + std::to_string(told) + " steps");
    }
    return median(std::move(taken));
  };
  const auto newest = median_ms(5);
  if (!newest) return tl::unexpected(newest.error());
  const auto all = median_ms(steps);
  if (!all) return tl::unexpected(all.error());
  return Finding{std::max(*newest, *all) < bound_ms,
                 fixed(*newest, 3) + " ms",
                 "",
                 fixed(*all, 3) + " ms for all",
                 {{"newest_5_ms", *newest}, {"all_ms", *all}}};
}

}  // namespace checkpoint
}  // namespace

Row checkpoint_put(Checksums checksums) {
  using namespace checkpoint;
  const bool checked = checksums == Checksums::checked;
  return {checked ? "checkpoint-put-checked" : "checkpoint-put",
          checked ? "POST of 64 MiB shards with checksums, connections: 4"
                  : "POST of 64 MiB shards, connections: 4",
          checked ? ">= 0.9 x raw TCP and XXH3" : ">= 0.9 x raw TCP",
          [checked](const Settings& settings) { return measure_put(checked, settings); }};
}

Row checkpoint_get() {
  using namespace checkpoint;
  return {"checkpoint-get", "GET of 64 MiB shards, connections: 4", ">= 0.9 x raw TCP",
          measure_get};
}

Row checkpoint_latest() {
  using namespace checkpoint;
  return {"checkpoint-latest", "The latest 5 of 10,000 steps, and all of them", "< 1 ms",
          measure_latest};
}

}  // namespace hyperpod::bench
