// SPDX-License-Identifier: Apache-2.0
// The newest entries of a journal in a fixed amount of memory.
//
// Not thread-safe: the owner locks. Nothing is allocated after construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator::journal {

class EntryRing {
 public:
  /// Keeps at most `capacity` entries; where their texts are long, fewer.
  explicit EntryRing(std::size_t capacity);

  /// Appends `entry` under the next sequence and drops the oldest entries that are in its way. Of
  /// each text at most Journal::longest_text bytes are kept.
  void append(const JournalEntry& entry);

  /// The sequence that append() gives next; from 1.
  std::uint64_t next() const { return next_; }
  /// The sequence of the oldest entry kept; next() if there is none.
  std::uint64_t oldest() const { return oldest_; }

  /// Copies an entry out. REQUIRES oldest() <= sequence < next().
  void load(std::uint64_t sequence, JournalEntry& entry) const;

  /// Forgets all entries. Sequences go on.
  void clear() { oldest_ = next_; }

 private:
  static constexpr std::size_t texts = 5;

  // An entry's texts lie side by side in text_, from `text_begin` on.
  struct Record {
    TimePoint at;
    std::chrono::system_clock::time_point time;
    std::uint64_t connection;
    std::uint64_t bytes_in;
    std::uint64_t bytes_out;
    Duration held;
    Duration served;
    std::uint64_t in_flight;
    std::uint64_t text_begin;
    std::array<std::uint32_t, texts> text_sizes;
    int status;
    JournalOperation operation;
    ConnectionEnd end;
  };

  static std::array<std::string_view, texts> texts_of(const JournalEntry& entry);
  std::size_t place_of(std::uint64_t sequence) const { return (sequence - 1) % capacity_; }
  std::uint64_t reserve_text(std::size_t size);

  const std::size_t capacity_;
  const std::size_t text_capacity_;
  std::uint64_t next_ = 1;
  std::uint64_t oldest_ = 1;
  std::vector<Record> records_;  // the entry with sequence s stands at place_of(s)
  // Positions only grow and are taken modulo text_capacity_, so that those before
  // text_end_ - text_capacity_ have been overwritten. No text wraps.
  std::unique_ptr<char[]> text_;
  std::uint64_t text_end_ = 0;
};

}  // namespace hyperpod::emulator::journal
