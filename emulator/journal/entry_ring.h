// SPDX-License-Identifier: Apache-2.0
// The newest entries of a journal in a fixed amount of memory, and the heads of the newest of them.
//
// Not thread-safe: the owner locks. Nothing is allocated after construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "hyperpod/emulator/journal.h"
#include "journal/record.h"

namespace hyperpod::emulator::journal {

class EntryRing {
 public:
  /// Keeps at most `capacity` entries; where their texts are long, fewer.
  explicit EntryRing(std::size_t capacity);

  /// Appends `record` under the next sequence and drops the oldest entries that are in its way.
  /// Heads push out older heads only.
  void append(const Record& record);

  /// The sequence that append() gives next; from 1.
  std::uint64_t next() const { return next_; }
  /// The sequence of the oldest entry kept; next() if there is none.
  std::uint64_t oldest() const { return oldest_; }

  /// Copies an entry out. REQUIRES oldest() <= sequence < next().
  void load(std::uint64_t sequence, JournalEntry& entry) const;
  /// Copies the heads out, as they came; nothing where they have given way or there were none.
  /// REQUIRES as load().
  std::optional<JournalHeads> load_heads(std::uint64_t sequence) const;

  /// Forgets all entries. Sequences go on.
  void clear() { oldest_ = next_; }

 private:
  static constexpr std::size_t texts = Record::texts_of_entry;

  // An entry's texts lie side by side in text_, from `text_begin` on, and its heads in heads_.
  struct Kept {
    Record::Fixed fixed;
    std::uint64_t text_begin = 0;
    std::uint64_t heads_begin = 0;
  };

  std::size_t place_of(std::uint64_t sequence) const { return (sequence - 1) % capacity_; }
  std::uint64_t reserve_text(std::size_t size);

  // Bytes in a row, the newest of all that were ever put in. Positions only grow and are taken
  // modulo the size; those before end - size have been overwritten. Nothing wraps.
  struct Bytes {
    explicit Bytes(std::size_t size, bool used);
    /// The position of `count` bytes to be written. REQUIRES count <= size.
    std::uint64_t reserve(std::size_t count);
    char* at(std::uint64_t position) const { return bytes.get() + position % size; }
    bool holds(std::uint64_t position) const { return position + size >= end; }

    const std::size_t size;
    std::unique_ptr<char[]> bytes;
    std::uint64_t end = 0;
  };

  const std::size_t capacity_;
  std::uint64_t next_ = 1;
  std::uint64_t oldest_ = 1;
  std::vector<Kept> records_;  // the entry with sequence s stands at place_of(s)
  Bytes text_;
  Bytes heads_;
};

}  // namespace hyperpod::emulator::journal
