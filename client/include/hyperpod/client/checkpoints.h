// SPDX-License-Identifier: Apache-2.0
// Training checkpoints in the node's memory: saves and restores shards through the daemon's
// checkpoint API (protocol, "Checkpoints").
//
//   auto checkpoints = hyperpod::client::Checkpoints::create({.url = "http://127.0.0.1:9200"});
//   checkpoints->create_namespace("my run", {.num_ranks = 8, .steps_retained = 3});
//   checkpoints->put_file({"my run", rank, step}, "shard.pt");
//   auto steps = checkpoints->latest("my run");
//   if (steps && !steps->empty()) checkpoints->get_file({"my run", rank, steps->front()},
//   "shard.pt");
//
// Each shard is stored with its checksum, XXH3 with 128 bits, and what is read is checked against
// it. A shard of any size passes through a buffer of 256 KiB.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/client/clock.h"
#include "hyperpod/client/error.h"
#include "hyperpod/client/options.h"

namespace hyperpod::client {

struct CheckpointOptions {
  /// Where the daemon is: one address, in the forms of ClientOptions::remote_url. No default.
  std::string url = {};
  /// A request ends in `timed_out` once no byte has moved for so long, connecting included.
  std::chrono::milliseconds stall_timeout{60'000};
  /// How often a call is tried again that met status 429, 500, 502, 503 or 504, a connection that
  /// broke or stalled, or bytes that do not fit their checksum. Every call may be repeated without
  /// harm: a shard is replaced whole.
  std::uint32_t retries = 0;
  /// How long to wait before the first retry; each further one waits twice as long. A daemon's
  /// Retry-After in seconds goes before it, up to five minutes.
  std::chrono::milliseconds retry_backoff{1500};
  /// Connections that are kept for later calls, each with a thread. A call has one of its own. A
  /// connection that has been idle for 30 s is closed; its thread stays.
  std::uint32_t idle_connections = 8;
  /// Speak HTTPS to a daemon whose address says neither http:// nor https://.
  bool use_https = false;
  TlsOptions tls = {};
  /// Null takes the machine's clock. With one that is moved by hand nothing times out, and no retry
  /// is sent, until it is moved.
  std::shared_ptr<Clock> clock = {};
};

/// What a namespace is created with.
struct NamespaceNumbers {
  std::uint64_t num_ranks = 0;       ///< Data-parallel ranks and metadata shards together.
  std::uint64_t steps_retained = 0;  ///< Complete steps that are kept.

  friend bool operator==(const NamespaceNumbers&, const NamespaceNumbers&) = default;
};

/// What one rank stores for one step.
struct ShardAddress {
  std::string name;  ///< Of the namespace: any bytes but none at all.
  std::uint64_t rank = 0;
  std::uint64_t step = 0;
};

/// Where the bytes of a shard come from. They are read from the first to the last for the checksum,
/// once more when they are sent, and again for each retry. Called on threads of the library, one at
/// a time; must not throw.
class ShardSource {
 public:
  virtual ~ShardSource() = default;
  virtual std::uint64_t size() const = 0;
  /// Fills all of `into` with the bytes from `offset` on. An error ends the call with it.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> into) = 0;
};

/// Where the bytes of a shard go. Called on threads of the library, one at a time; must not throw.
/// Whether the bytes are right is known when the call has ended, not before.
class ShardSink {
 public:
  virtual ~ShardSink() = default;
  /// The shard begins, anew if the call is tried again: what was written before is void. `size` is
  /// what the daemon announces. An error ends the call with it.
  virtual Result<void> begin(std::optional<std::uint64_t> size) = 0;
  /// The next bytes. An error ends the call with it.
  virtual Result<void> write(std::span<const std::byte> bytes) = 0;
};

/// What a call may be given.
struct CheckpointCall {
  /// When all must be over, retries included; reading a source or writing to a sink is not
  /// interrupted. None: as long as bytes move.
  std::optional<std::chrono::milliseconds> timeout = {};
  /// Ends the call in `cancelled` soon. A put may or may not be stored then.
  std::stop_token stop = {};
  /// Told how many bytes of the shard have been sent or received, and how many there are in all if
  /// that is known. Called on threads of the library; must not throw.
  std::function<void(std::uint64_t done, std::optional<std::uint64_t> total)> progress = {};
};

/// A shard that was read.
struct ShardRead {
  std::uint64_t size = 0;  ///< Bytes.
  /// False where it was stored without a checksum that is known here, so that nothing says whether
  /// the bytes are those that were stored.
  bool checked = false;
};

/// A client of the checkpoint API of one daemon. Move-only. Except for move and destruction, which
/// need exclusive access, every member may be called from any thread, and calls do not wait for
/// each other.
///
/// Every call blocks its thread. Besides what is named below it may end in invalid_argument (an
/// empty name), unreachable, timed_out, cancelled, malformed_response (which includes bytes that do
/// not fit their checksum), refused, out_of_resources, and, in a child made by fork(), forked.
class Checkpoints {
 public:
  /// Checks the options and does not connect. Errors: invalid_option.
  static Result<Checkpoints> create(CheckpointOptions options);

  Checkpoints(Checkpoints&&) noexcept;
  Checkpoints& operator=(Checkpoints&&) noexcept;
  ~Checkpoints();  ///< REQUIRES: no call is under way.

  /// Nullopt: there is no such namespace.
  Result<std::optional<NamespaceNumbers>> find_namespace(std::string_view name,
                                                         const CheckpointCall& call = {}) const;
  /// Success also where it is there with these numbers. Errors: refused with status 409 where it is
  /// there with others, which stay.
  Result<void> create_namespace(std::string_view name, const NamespaceNumbers& numbers,
                                const CheckpointCall& call = {}) const;
  /// Deletes a namespace with its shards. False: there is none.
  Result<bool> delete_namespace(std::string_view name, const CheckpointCall& call = {}) const;

  /// Stores a shard in place of what is there; until all of it has been stored, that stays. Errors:
  /// refused with status 404 where there is no such namespace, 507 where there is no room;
  /// too_large (413); what the source returns; invalid_argument where the source's bytes change
  /// meanwhile.
  Result<void> put(const ShardAddress& shard, ShardSource& source,
                   const CheckpointCall& call = {}) const;
  Result<void> put(const ShardAddress& shard, std::span<const std::byte> bytes,
                   const CheckpointCall& call = {}) const;
  /// Errors: besides, invalid_argument for a file that cannot be read or is not a regular one.
  Result<void> put_file(const ShardAddress& shard, const std::string& path,
                        const CheckpointCall& call = {}) const;

  /// Reads a shard; nullopt: there is none. Errors: what the sink returns.
  Result<std::optional<ShardRead>> get(const ShardAddress& shard, ShardSink& sink,
                                       const CheckpointCall& call = {}) const;
  /// Reads a shard into `buffer`, which may be longer. After anything but success what stands in it
  /// is worthless. Errors: too_large.
  Result<std::optional<ShardRead>> get(const ShardAddress& shard, std::span<std::byte> buffer,
                                       const CheckpointCall& call = {}) const;
  /// Reads a shard into a file, which appears, or is replaced, when all of the shard is on the disk
  /// and its checksum fits; until then a file beside it, .NAME.part-…, holds what has come, and is
  /// removed where the call fails. Errors: besides, invalid_argument for a path that cannot be
  /// written.
  Result<std::optional<ShardRead>> get_file(const ShardAddress& shard, const std::string& path,
                                            const CheckpointCall& call = {}) const;

  /// False: there is no such shard.
  Result<bool> delete_shard(const ShardAddress& shard, const CheckpointCall& call = {}) const;

  /// At most `limit` steps that every rank has stored, newest first; empty where there is none.
  Result<std::vector<std::uint64_t>> latest(std::string_view name, std::uint64_t limit = 5,
                                            const CheckpointCall& call = {}) const;

  /// Removes everything that the daemon holds: all namespaces and shards, KV objects too.
  Result<void> reset_cluster(const CheckpointCall& call = {}) const;

 private:
  class Core;
  explicit Checkpoints(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
};

}  // namespace hyperpod::client
