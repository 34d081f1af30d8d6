// SPDX-License-Identifier: Apache-2.0
// An entry of the journal on its way there: what is kept of it, and no memory of its own.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator::journal {

/// Views point into memory of whoever made the record.
struct Record {
  /// What has a fixed size.
  struct Fields {
    TimePoint at;
    std::chrono::system_clock::time_point time;
    std::uint64_t connection;
    std::uint64_t bytes_in;
    std::uint64_t bytes_out;
    Duration held;
    Duration served;
    std::uint64_t in_flight;
    int status;
    JournalOperation operation;
    ConnectionEnd end;
  };
  static constexpr std::size_t texts_of_entry = 5;

  /// Of each text at most Journal::longest_text bytes, of each head one more than
  /// Journal::longest_head, which tells that it was cut.
  Record(const JournalEntry& entry, std::string_view request, std::string_view response);
  Record() = default;

  std::string_view bucket() const { return texts[1]; }
  std::string_view fault() const { return texts[4]; }

  Fields fields;
  std::array<std::string_view, texts_of_entry> texts;  // peer, bucket, key, lease id, fault
  std::string_view request_head;
  std::string_view response_head;
};

/// Copies `text` to `to`, and returns where it ends.
char* copy(std::string_view text, char* to);

}  // namespace hyperpod::emulator::journal
