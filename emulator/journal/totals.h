// SPDX-License-Identifier: Apache-2.0
// What a journal counts, of which each lane has its own; readers add the lanes up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator::journal {

void add(JournalTotals& totals, const JournalTotals& more);
void add(OperationTotals& totals, const OperationTotals& more);
/// What a clear() leaves. A lane's leases_live may be below 0, modulo 2^64: the ends of leases are
/// counted where they happened, and only the sum of the lanes is right.
JournalTotals live_part(const JournalTotals& totals);
/// Of a sum: changes of a lease are told by several threads and may arrive in another order than
/// they happened in; the end of a lease whose grant is still to come makes no negative number.
JournalTotals shown(JournalTotals totals);

/// Totals by connection; older ones give way to newer ones. Not thread-safe.
class ConnectionTotals {
 public:
  // Two lines of a processor's cache, and not parts of three.
  struct alignas(64) Slot {
    std::uint64_t connection = 0;
    JournalTotals totals;
  };

  JournalTotals& of(std::uint64_t connection);
  void add(const ConnectionTotals& more);
  void clear();

  /// Calls `visit(slot)` for each connection that is kept.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const auto& page : pages_) {
      if (!page) continue;
      for (const Slot& slot : *page) {
        if (slot.connection != 0) visit(slot);
      }
    }
  }
  const JournalTotals& older() const { return older_; }

 private:
  // In pages, since most daemons serve few connections.
  static constexpr std::size_t page_size = 64;
  using Page = std::array<Slot, page_size>;

  // A connection's slot is that of its number % connections_kept.
  std::array<std::unique_ptr<Page>, Journal::connections_kept / page_size> pages_;
  JournalTotals older_;
};

/// Lets a table be searched for a name without a string made of it.
struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view name) const {
    return std::hash<std::string_view>()(name);
  }
};

/// The names of the first buckets that any lane has met: those with totals of their own.
/// Thread-safe.
class BucketNames {
 public:
  bool has_or_takes(std::string_view name);
  /// Forgets those of which `unwanted(name)` holds.
  template <class Unwanted>
  void forget(const Unwanted& unwanted) {
    std::lock_guard lock(mutex_);
    std::erase_if(names_, unwanted);
  }

 private:
  std::mutex mutex_;
  std::unordered_set<std::string, NameHash, std::equal_to<>> names_;
};

/// Totals by bucket. Not thread-safe.
class BucketTotals {
 public:
  using Map = std::unordered_map<std::string, JournalTotals, NameHash, std::equal_to<>>;

  JournalTotals& of(std::string_view name, BucketNames& names);
  void add(const BucketTotals& more);
  void clear();
  /// Forgets those of which `unwanted(name)` holds.
  template <class Unwanted>
  void forget(const Unwanted& unwanted) {
    std::erase_if(by_name_, [&](const auto& entry) { return unwanted(entry.first); });
    last_ = nullptr;
  }

  const Map& by_name() const { return by_name_; }
  const JournalTotals& others() const { return others_; }

 private:
  Map by_name_;
  JournalTotals others_;
  Map::value_type* last_ = nullptr;  // found last; most requests name the same one
};

/// All that is counted. Not thread-safe.
struct Totals {
  using ByOperation = std::array<OperationTotals, all_journal_operations.size()>;

  /// Whether `entry` is an error is for the caller to say.
  void count(const JournalEntry& entry, bool error, BucketNames& names);
  void count(const LeaseChange& change, BucketNames& names);
  void clear();  // except live leases

  JournalTotals all;
  ByOperation by_operation;
  ConnectionTotals by_connection;
  BucketTotals by_bucket;
};

}  // namespace hyperpod::emulator::journal
