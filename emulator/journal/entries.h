// SPDX-License-Identifier: Apache-2.0
// The newest entries of a journal, in the order in which they were recorded, whatever the thread.
//
// A thread appends to the chunk of its lane and hands that over when it is full. Nobody looks at
// what is in it before somebody reads: only then are the entries of all lanes put in order, by
// giving each its sequence.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <tuple>

#include "hyperpod/emulator/journal.h"
#include "journal/chunk.h"
#include "journal/lane.h"

namespace hyperpod::emulator::journal {

/// Not thread-safe: the owner locks; in addition members take the mutexes of lanes as they need.
class Entries {
 public:
  /// Keeps at most `capacity` entries, above 0; where their texts are long, fewer.
  Entries(std::size_t capacity, Lanes& lanes);

  /// Hands over the chunk of `lane`, unless it has room for so many bytes, and gives it another.
  /// Drops the oldest entries that are in the way.
  void change_chunk(Lane& lane, std::size_t size);

  /// Gives sequences to some entries that have none. True once all have one that had been recorded
  /// by the first of a row of calls; `wanted` keeps that between them, and is 0 at first.
  bool number_some(std::uint64_t& wanted);

  /// The sequence that is given next; from 1.
  std::uint64_t next() const { return next_; }
  /// The sequence of the oldest entry kept; next() if there is none.
  std::uint64_t oldest() const { return oldest_; }

  /// Copies an entry out. REQUIRES oldest() <= sequence < next().
  void load(std::uint64_t sequence, JournalEntry& entry) const;
  /// Copies the heads out, as they came; nothing where they have given way or there were none.
  /// REQUIRES as load().
  std::optional<JournalHeads> load_heads(std::uint64_t sequence) const;

  /// Forgets all entries. Sequences go on. REQUIRES the mutexes of all lanes.
  void clear();

 private:
  class Unnumbered;

  /// The full chunks of a lane, in the order in which they were filled.
  struct Full {
    std::deque<std::unique_ptr<Chunk>> chunks;
    std::size_t numbered = 0;  // so many in front have sequences for all of their entries
  };

  /// The lane whose first full chunk is the oldest of all; null if there is none.
  Full* oldest_chunk();
  /// At least so many entries of full chunks are newer than those of `chunk`, a lane's first.
  std::uint64_t newer_than(const Chunk& chunk) const;
  void drop_chunk(Full& lane);
  StoredEntry& at(std::uint64_t sequence) const;

  const std::size_t capacity_;
  const std::size_t most_bytes_;  // of full chunks
  Lanes& lanes_;

  std::array<Full, std::tuple_size_v<Lanes>> full_;
  std::uint64_t full_entries_ = 0;
  std::size_t full_bytes_ = 0;
  std::unique_ptr<Chunk> spare_;

  const std::unique_ptr<StoredEntry*[]> by_sequence_;  // at (sequence - 1) % capacity
  std::uint64_t next_ = 1;
  std::uint64_t oldest_ = 1;
  std::uint64_t dropped_ = 0;  // what is older in order is not kept
};

}  // namespace hyperpod::emulator::journal
