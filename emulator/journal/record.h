// SPDX-License-Identifier: Apache-2.0
// An entry as the journal keeps it: its numbers, and its texts and heads side by side.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator::journal {

/// Views memory of whoever keeps it.
struct Record {
  static constexpr std::size_t texts_of_entry = 5;

  struct Fixed {
    TimePoint at;
    std::chrono::system_clock::time_point time;
    std::uint64_t connection = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    Duration held{};
    Duration served{};
    std::uint64_t in_flight = 0;
    int status = 0;
    JournalOperation operation{};
    ConnectionEnd end{};
    // Sizes of what lies elsewhere.
    std::array<std::uint32_t, texts_of_entry> texts{};  // peer, bucket, key, lease id, fault
    std::uint16_t request_head = 0;
    std::uint16_t response_head = 0;

    std::size_t texts_size() const {
      return std::accumulate(texts.begin(), texts.end(), std::size_t{0});
    }
    std::size_t heads_size() const { return std::size_t{request_head} + response_head; }
  };

  std::string_view bucket() const { return {texts + fixed.texts[0], fixed.texts[1]}; }
  bool has_fault() const { return fixed.texts[4] > 0; }

  Fixed fixed;
  const char* texts = nullptr;
  const char* heads = nullptr;
};

}  // namespace hyperpod::emulator::journal
