// SPDX-License-Identifier: Apache-2.0
// What a running emulator holds, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hyperpod/emulator/clock.h"

namespace hyperpod::emulator {

struct ObjectState {
  std::string bucket;
  std::string key;
  struct Fragment {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  std::vector<Fragment> fragments;
  std::uint64_t bytes = 0;
  std::uint64_t pins = 0;
  std::uint64_t last_use = 0;  ///< Rank: a greater one was used later.
};

struct LeaseState {
  std::string id;
  std::string bucket;
  std::string key;
  Duration time_left{};
};

/// Part of what a call with a cursor lists. What comes or goes between two calls may be missing or
/// be listed all the same; all that stays is listed once.
struct ObjectPage {
  std::vector<ObjectState> objects;  ///< In the order in which they were stored.
  std::uint64_t next = 0;            ///< The cursor of the next page; 0: this is the last one.
};
struct LeasePage {
  std::vector<LeaseState> leases;  ///< In no order.
  std::uint64_t next = 0;
};

struct WaiterState {
  std::string bucket;
  std::string key;
  Duration time_left{};  ///< Of its hold.
};
struct WaiterPage {
  std::vector<WaiterState> waiters;  ///< In no order.
  std::uint64_t next = 0;
};

/// A namespace of checkpoints.
struct NamespaceState {
  std::string name;
  std::uint64_t num_ranks = 0;
  std::uint64_t steps_retained = 0;
  std::uint64_t bytes = 0;                      ///< Of the bodies of its shards.
  std::vector<std::uint64_t> complete_steps;    ///< That every rank has stored, newest first.
  std::vector<std::uint64_t> incomplete_steps;  ///< Newest first.
};

/// Something that became of a lease.
struct LeaseChange {
  enum class What {
    granted,
    released,
    expired,
    dropped,    ///< Ended by a fault or a reset.
    abandoned,  ///< Its grant never reached the peer, which had gone. The lease goes on.
  };
  What what = What::granted;
  std::uint64_t connection = 0;  ///< Over which it was asked for.
  std::string bucket;
};

/// A run of neighbouring blocks with one owner.
struct BlockRun {
  enum class Owner { free, object, put, checkpoint };
  std::uint64_t first_block = 0;
  std::uint64_t blocks = 0;
  Owner owner = Owner::free;
  std::string bucket;  ///< Of an object or a PUT in flight.
  std::string key;
};

/// All that there is. It is made a page at a time, so that others are served meanwhile: each
/// object, lease, waiter and run is as it was at one moment, but not all at the same one. What
/// comes or goes while it is made may be missing or be listed all the same; where nothing changes
/// meanwhile, as in a test that waits for its requests, it is exact. Ordered: buckets by name,
/// objects by last use, leases and waiters by time left, runs by block. It takes about two
/// microseconds for each object.
struct State {
  std::uint64_t capacity = 0;
  std::uint64_t block_size = 0;
  std::vector<std::string> buckets;
  std::vector<ObjectState> objects;
  std::vector<LeaseState> leases;
  std::vector<WaiterState> waiters;
  std::vector<BlockRun> blocks;
  std::vector<NamespaceState> namespaces;  ///< By name; a moment later than the rest.
};

/// The segment as a map of cells, each of which stands for as many neighbouring blocks: cell c of n
/// has the blocks b with b * n / blocks == c, rounded down. There are at most 1,024 cells.
struct MapState {
  static constexpr std::uint8_t colours = 8;
  struct Cell {
    // Blocks.
    std::uint64_t objects = 0;
    std::uint64_t pinned = 0;      ///< Part of objects: under a live lease.
    std::uint64_t put = 0;         ///< Reserved by PUTs in flight.
    std::uint64_t checkpoint = 0;  ///< Of shards of checkpoints.
    std::uint64_t evicted = 0;     ///< Freed so far to make room for others.
    std::uint8_t colour = 0;       ///< Of the bucket with most blocks here; 0: no object.

    bool operator==(const Cell&) const = default;
  };
  struct Bucket {
    std::string name{};       ///< Empty for the last colour, which the rest of the buckets share.
    std::uint8_t colour = 0;  ///< From 1.

    bool operator==(const Bucket&) const = default;
  };
  std::uint64_t blocks = 0;
  std::vector<Cell> cells{};
  std::vector<Bucket> buckets{};
};

/// Part of the segment's blocks, consistent within itself.
struct BlockPage {
  std::uint64_t blocks = 0;      ///< Of the whole segment.
  std::uint64_t next_block = 0;  ///< Where the next page begins; `blocks` behind the last.
  bool cut = false;              ///< The last run goes on as the first one of the next page.
  std::vector<BlockRun> runs;
  std::vector<ObjectState> objects;  ///< Whose first bytes lie in these blocks, in that order.
};

struct LiveState {
  std::vector<LeaseState> leases;
  std::vector<WaiterState> waiters;
};

/// The segment as it stands in /dev/shm now.
struct SegmentState {
  std::string name;
  std::uint64_t size = 0;   ///< As created.
  std::uint64_t inode = 0;  ///< Of the one that is served.
  unsigned mode = 0;
  bool linked = false;  ///< The name leads to the one that is served.
  bool intact = false;  ///< It has its full size: nobody has truncated it.
};

/// What reset is to clear.
struct ResetSelection {
  /// Every object goes, and the leases on them. Blocks under a lease are free once it would have
  /// expired: whoever still reads there reads the right bytes. Every namespace of checkpoints goes,
  /// too, with its shards.
  bool objects = true;
  bool leases = true;  ///< Every lease ends; its object stays pinned until it would have expired.
  bool faults = true;
  bool journal = true;
  bool counters = true;  ///< Totals of Statistics.
};

}  // namespace hyperpod::emulator
