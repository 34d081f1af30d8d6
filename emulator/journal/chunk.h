// SPDX-License-Identifier: Apache-2.0
// Where the entries of a journal lie: a thread appends to a chunk of its own until that is full.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "hyperpod/base/assertions.h"
#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator::journal {

/// Where a lane's HeadRing keeps the heads of a request and of its response, side by side.
struct HeadPlace {
  std::uint64_t begin = 0;
  std::uint16_t request = 0;  // bytes
  std::uint16_t response = 0;

  bool empty() const { return request + response == 0; }
};

/// An entry as a chunk keeps it. Its texts follow it.
// Chunk::append() sets each member. NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
struct StoredEntry {
  std::uint32_t size;  // of all of it
  std::uint16_t lane;
  JournalOperation operation;
  ConnectionEnd end;
  std::uint64_t order;  // does not fall within a chunk
  TimePoint at;
  std::chrono::system_clock::time_point time;
  std::uint64_t connection;
  std::uint64_t bytes_in;
  std::uint64_t bytes_out;
  Duration held;
  Duration served;
  std::uint64_t in_flight;
  int status;
  std::array<std::uint32_t, 5> texts;  // bytes: peer, bucket, key, lease id, fault
  HeadPlace heads;

  /// Copies it out, but for the sequence, which it does not know.
  void load(JournalEntry& entry) const;
};

/// Entries in the order in which they were recorded. Not thread-safe; what was appended may be read
/// while more is. What concerns sequences is the reader's.
class Chunk {
 public:
  static constexpr std::size_t usual_capacity = 16 * 1024;  // some seventy leases and releases

  explicit Chunk(std::size_t capacity);

  std::size_t capacity() const { return capacity_; }
  bool has_room(std::size_t size) const { return size <= capacity_ - used_; }
  /// The room that `entry` takes. Of each text at most Journal::longest_text bytes are kept.
  static std::size_t size_of(const JournalEntry& entry);
  /// REQUIRES has_room(size), where size is size_of(entry).
  StoredEntry& append(const JournalEntry& entry, std::size_t size, std::uint16_t lane,
                      std::uint64_t order, const HeadPlace& heads);
  void clear();

  /// The entry that begins so many bytes from the beginning; the next one begins `size` behind it.
  StoredEntry& at(std::size_t place) const;
  std::size_t used() const { return used_; }        ///< Bytes.
  std::uint64_t count() const { return count_; }    ///< Entries.
  std::uint64_t newest() const { return newest_; }  ///< The order of the last entry.
  /// The order of the first entry. REQUIRES count() > 0.
  std::uint64_t oldest() const {
    HYPERPOD_REQUIRE(count_ > 0);
    return at(0).order;
  }

  /// Notes that the first entry without a sequence has this one now.
  void number(std::uint64_t sequence);
  std::size_t numbered() const { return numbered_; }  ///< Bytes, of entries with a sequence.
  std::uint64_t unnumbered_count() const { return count_ - numbered_count_; }
  /// Of the last entry that has one; 0: none has.
  std::uint64_t last_sequence() const { return last_sequence_; }

 private:
  const std::size_t capacity_;
  const std::unique_ptr<std::byte[]> bytes_;
  std::size_t used_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t newest_ = 0;
  std::size_t numbered_ = 0;
  std::uint64_t numbered_count_ = 0;
  std::uint64_t last_sequence_ = 0;
};

}  // namespace hyperpod::emulator::journal
