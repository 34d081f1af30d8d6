// SPDX-License-Identifier: Apache-2.0
// Storing through the client, against raw sockets that send the same bodies in pieces of the same
// size to the same daemon: its own limit.
#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "report.h"
#include "rows/client.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "rows/sender.h"
#include "servers.h"

namespace hyperpod::bench {
namespace {
namespace client_put {

constexpr std::uint64_t mebibyte = 1ull << 20;
constexpr std::uint64_t body_bytes = 16 * mebibyte;
constexpr std::uint64_t capacity = 512 * mebibyte;
constexpr unsigned threads = 4;
constexpr std::uint64_t bodies_a_second = 128;

// Bytes a second of the client, whose keys are numbered on from `first`.
Result<double> put_with_client(client::Client& client, const std::string& body, std::uint64_t first,
                               std::uint64_t count) {
  std::atomic<std::uint64_t> next{0};
  std::vector<Result<void>> results(threads);
  const auto put_share = [&]() -> Result<void> {
    for (auto taken = next++; taken < count; taken = next++) {
      const auto key = "client/" + std::to_string(first + taken);
      const auto stored = client.put(key, std::as_bytes(std::span(body)));
      if (!stored) return client_failure(stored.error());
    }
    return {};
  };
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> workers;
    workers.reserve(threads);
    for (auto& result : results) workers.emplace_back([&] { result = put_share(); });
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  for (const auto& result : results) {
    if (!result) return tl::unexpected(result.error());
  }
  return static_cast<double>(count * body.size()) / taken.count();
}

Result<Finding> measure(std::size_t piece, const Settings& settings) {
  constexpr double bound = 0.95;
  const auto emulator = start_emulator(capacity, mebibyte);
  if (!emulator) return tl::unexpected(emulator.error());
  auto client =
      make_client(*emulator, [&](client::ClientOptions& o) { o.put_stream_chunk_bytes = piece; });
  if (!client) return tl::unexpected(client.error());
  const std::string body(body_bytes, 'k');
  Sender raw = http_sender(*emulator, threads, body);
  raw.send_in_pieces_of(piece);
  std::uint64_t stored = 0;
  const auto ours = [&](std::uint64_t bodies) {
    const std::uint64_t first = stored;
    stored += bodies;
    return put_with_client(*client, body, first, bodies);
  };

  // Every page of the segment has been touched before the first round.
  if (auto warm = raw.send(capacity / body_bytes); !warm) return tl::unexpected(warm.error());
  if (auto warm = ours(threads); !warm) return tl::unexpected(warm.error());
  const auto bodies = std::max<std::uint64_t>(
      threads, bodies_a_second * static_cast<std::uint64_t>(settings.slice.count()) / 1000);
  const auto comparison = compare(
      settings.rounds, [&] { return ours(bodies); }, [&] { return raw.send(bodies); });
  if (!comparison) return tl::unexpected(comparison.error());
  const auto mebibytes = [](double bytes) { return grouped(bytes / mebibyte) + " MiB/s"; };
  nlohmann::json details = comparison->details();
  details["unit"] = "bytes/s";
  return Finding{comparison->ratio() >= bound, mebibytes(median(comparison->ours)),
                 "raw sockets " + mebibytes(median(comparison->theirs)),
                 fixed(comparison->ratio(), 2) + " x", std::move(details)};
}

}  // namespace client_put
}  // namespace

Row client_put(PutPieces pieces) {
  using namespace client_put;
  const bool whole = pieces == PutPieces::whole;
  const std::size_t piece = whole ? body_bytes : client::ClientOptions().put_stream_chunk_bytes;
  return {whole ? "client-put-whole" : "client-put",
          std::string("client: put of 16 MiB, 4 threads, ") +
              (whole ? "whole bodies in a send" : "pieces of 64 KiB"),
          ">= 0.95 x raw sockets",
          [piece](const Settings& settings) { return measure(piece, settings); }};
}

}  // namespace hyperpod::bench
