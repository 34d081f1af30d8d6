// SPDX-License-Identifier: Apache-2.0
// The daemon's training checkpoints as a state machine: namespaces, ranks, steps, retention
// (protocol, "Checkpoints"). It opens no socket; a shard's bytes lie in blocks of the engine's
// segment.
//
// A namespace has a number of ranks. A rank stores one shard for each step; a step is complete once
// every rank has stored its shard. Of the complete steps the newest few are kept.
//
// Every member may be called from any thread. Uses core/ and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/engine.h"
#include "hyperpod/emulator/state.h"

namespace hyperpod::emulator::checkpoint {

/// What a namespace is created with (protocol, "Checkpoints").
struct NamespaceOptions {
  std::uint64_t num_ranks = 0;       ///< Data-parallel ranks and metadata shards; at least 1.
  std::uint64_t steps_retained = 0;  ///< Complete steps that are kept; at least 1.

  friend bool operator==(const NamespaceOptions&, const NamespaceOptions&) = default;
};

/// What one rank stored for one step. Its bytes stay where they are for as long as somebody holds
/// it, whatever replaces or deletes it meanwhile.
struct Shard {
  std::shared_ptr<const core::Reservation> bytes;  ///< Null for a shard of no bytes.
  std::optional<std::string> meta;                 ///< The Shard-Meta header as it came.

  std::uint64_t size() const { return bytes ? bytes->bytes_written() : 0; }
};

struct Address {
  std::string name;  ///< Of the namespace.
  std::uint64_t rank = 0;
  std::uint64_t step = 0;
};

enum class Refusal {
  no_namespace,  ///< There is no namespace of that name, or not the one any more that there was
                 ///< when the body began (assumed: 404).
  no_rank,       ///< The rank is not below num_ranks (assumed: 400).
  too_large,     ///< Larger than the whole segment.
  no_room,       ///< Larger than what is free or held by KV objects that no lease pins.
  no_memory,     ///< The system has no room for blocks that were not reserved at start.
  lost,          ///< The daemon was restarted while the body came.
};

enum class Creation {
  created,
  unchanged,  ///< It was there with the same options.
  conflict,   ///< It is there with other options, which stay (inferred).
};

struct Counters {
  std::uint64_t shards = 0;  ///< Stored now.
  std::uint64_t bytes = 0;   ///< Of them.
  std::uint64_t namespaces = 0;
  std::uint64_t shards_stored = 0;   ///< Since the start or the last reset_counters().
  std::uint64_t shards_retired = 0;  ///< Gone because newer steps are complete.
};

class Store {
 public:
  struct Options {
    /// A step counts as latest as soon as one rank has stored it (assumed: only complete ones do).
    bool latest_counts_incomplete = false;
    /// Steps beyond steps_retained go when a newer one is complete (assumed).
    bool retires_steps = true;
  };

  /// `engine` must outlive the store and every Shard that it gave out.
  Store(core::Engine& engine, Options options);

  Creation create(std::string_view name, const NamespaceOptions& options);
  std::optional<NamespaceOptions> find(std::string_view name) const;
  /// Removes a namespace with all its shards. False if there is none.
  bool remove(std::string_view name);

  /// A shard whose bytes are on their way: invisible until commit(), and gone without a trace if it
  /// is destroyed before. Used by one thread at a time.
  class Writer {
   public:
    /// Where the bytes go; see core::Reservation. Null for a body announced as empty.
    core::Reservation* room() { return room_.get(); }
    /// Makes the bytes written so far the shard, in place of the one that was there.
    tl::expected<void, Refusal> commit(std::optional<std::string> meta);

   private:
    friend class Store;
    Writer(Store& store, Address address, std::unique_ptr<core::Reservation> room)
        : store_(store), address_(std::move(address)), room_(std::move(room)) {}
    Store& store_;
    Address address_;
    std::uint64_t generation_ = 0;
    std::unique_ptr<core::Reservation> room_;
  };

  /// Reserves room for a shard of `size` bytes, taking what it needs from KV objects that no lease
  /// pins. Without a size, room is made as the bytes come. A refusal changes nothing.
  tl::expected<Writer, Refusal> begin(Address address, std::optional<std::uint64_t> size);

  /// The shard, held; nullopt if there is none.
  std::optional<Shard> read(const Address& address) const;
  /// False if there is none.
  bool remove_shard(const Address& address);

  /// At most `limit` steps, newest first; nullopt if there is no such namespace.
  std::optional<std::vector<std::uint64_t>> latest(std::string_view name,
                                                   std::uint64_t limit) const;

  /// What a store held. Destroying it gives blocks back, which takes the engine's lock.
  class Contents;
  /// Empties the store at once, however much it holds, and without the engine's lock.
  Contents take_all();
  /// Removes all namespaces and shards.
  void reset();

  Counters counters() const;
  void reset_counters();
  /// By name. Nobody is served while it is made, some nanoseconds for each shard.
  std::vector<NamespaceState> namespaces() const;

 private:
  using Step = std::map<std::uint64_t, Shard>;  // by rank
  struct Namespace {
    NamespaceOptions options;
    std::uint64_t generation = 0;
    std::map<std::uint64_t, Step, std::greater<>> steps;  // newest first
    std::set<std::uint64_t, std::greater<>> complete;     // of them
  };
  using Namespaces = std::map<std::string, Namespace, std::less<>>;
  using Dropped = std::list<Shard>;  // destroyed once the lock is gone: they give blocks back

  tl::expected<void, Refusal> commit(Writer& writer, std::optional<std::string> meta);
  void retire(Namespace& in, Dropped& dropped);
  void drop(Shard& shard, Dropped& dropped);
  void drop_steps(Namespace& in, Dropped& dropped);

  core::Engine& engine_;
  const Options options_;

  mutable std::mutex mutex_;  // guards all below
  Namespaces namespaces_;
  std::uint64_t generations_ = 0;
  Counters counters_;
};

class Store::Contents {
 private:
  friend class Store;
  Namespaces namespaces_;
};

}  // namespace hyperpod::emulator::checkpoint
