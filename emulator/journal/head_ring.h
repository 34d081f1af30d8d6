// SPDX-License-Identifier: Apache-2.0
// The newest heads that the threads of a lane have recorded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "hyperpod/emulator/journal.h"
#include "journal/chunk.h"

namespace hyperpod::emulator::journal {

/// A fixed amount of memory, in which the newest heads overwrite the oldest. Not thread-safe.
class HeadRing {
 public:
  static constexpr std::size_t least_size = 4 * (Journal::longest_head + 1);

  /// Of `size` bytes, which it takes with the first heads. REQUIRES size >= least_size.
  explicit HeadRing(std::size_t size = least_size) : size_(size) {}

  /// Of each head one byte more than Journal::longest_head is kept, which tells that it was cut.
  HeadPlace append(std::string_view request, std::string_view response);
  /// The heads as they came; nothing where newer ones lie there, or there were none.
  std::optional<JournalHeads> load(const HeadPlace& place) const;

 private:
  std::size_t size_;
  std::unique_ptr<char[]> bytes_;
  // Positions only grow and are taken modulo the size; what lies before end_ - size_ has been
  // overwritten. No pair of heads wraps.
  std::uint64_t end_ = 0;
};

}  // namespace hyperpod::emulator::journal
