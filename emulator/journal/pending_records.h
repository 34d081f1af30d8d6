// SPDX-License-Identifier: Apache-2.0
// What threads have recorded and the journal has not taken in yet.
//
// Recording under one lock for all costs a request more than anything else that it does: the
// processors take the journal's memory from each other. So each thread writes to memory of its own,
// and whoever reads the journal, or finds that memory full, takes in what all have written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "hyperpod/emulator/state.h"
#include "journal/record.h"

namespace hyperpod::emulator::journal {

/// Records in the order in which they were made. Not thread-safe.
class PendingRecords {
 public:
  static constexpr std::size_t usual_capacity = 32 * 1024;  // bytes: some fifty leases and releases

  /// False if there is no room for it beside the others. Of each text at most Journal::longest_text
  /// bytes are kept, of each head one more than Journal::longest_head, which tells that it was cut.
  /// Takes memory with the first record, and more for one that is larger.
  bool append(std::uint64_t order, const JournalEntry& entry, std::string_view request_head,
              std::string_view response_head, std::span<const LeaseChange> changes);
  void clear();

  /// Goes through the records, which must stay as they are meanwhile.
  class Reader {
   public:
    Reader() = default;
    explicit Reader(const PendingRecords& records);

    bool at_end() const { return size_ == 0; }
    // Of the record that it is at. REQUIRES !at_end().
    std::uint64_t order() const { return order_; }
    Record& record() { return record_; }
    /// Calls `visit(what, connection, bucket)` for each change that came with the record.
    template <class Visit>
    void for_each_change(const Visit& visit) const {
      const char* from = changes_;
      for (std::uint32_t i = 0; i < change_count_; ++i) {
        const auto change = change_at(from);
        visit(change.what, change.connection, change.bucket);
      }
    }
    void next();

   private:
    struct Change {
      LeaseChange::What what;
      std::uint64_t connection;
      std::string_view bucket;
    };

    void look();
    /// Moves `from` behind the change that it returns.
    static Change change_at(const char*& from);

    const char* at_ = nullptr;
    const char* end_ = nullptr;
    std::uint32_t size_ = 0;  // of the record; 0: there is none
    std::uint32_t change_count_ = 0;
    std::uint64_t order_ = 0;
    Record record_;
    const char* changes_ = nullptr;
  };

 private:
  struct Header;
  struct ChangeHeader;

  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

}  // namespace hyperpod::emulator::journal
