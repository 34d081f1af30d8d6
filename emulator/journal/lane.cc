// SPDX-License-Identifier: Apache-2.0
#include "journal/lane.h"

namespace hyperpod::emulator::journal {

void Lane::append(const JournalEntry& entry, std::size_t size, const HeadPlace& place) {
  using std::chrono::system_clock;
  // Orders what several threads record. A clock of the machine's, and not a number that they count
  // up, which their processors would take from each other: whatever follows from a record, over
  // whatever connection, comes later by more than a tick of the clock.
  const auto now = std::chrono::steady_clock::now();
  // Reading a second clock for each costs a request a hundredth of its time. Somebody may set it.
  constexpr std::chrono::seconds good_for{1};
  if (!looked_at_system_time || now - *looked_at_system_time > good_for) {
    to_system_time = system_clock::now().time_since_epoch() - now.time_since_epoch();
    looked_at_system_time = now;
  }
  const auto order = now.time_since_epoch();
  StoredEntry& stored =
      chunk->append(entry, size, number, static_cast<std::uint64_t>(order.count()), place);
  if (stored.time == system_clock::time_point{}) {
    stored.time = system_clock::time_point(
        std::chrono::duration_cast<system_clock::duration>(order + to_system_time));
  }
}

std::uint64_t recorded(const Lanes& lanes) {
  std::uint64_t sum = 0;
  for (const Lane& lane : lanes) sum += lane.recorded;
  return sum;
}

}  // namespace hyperpod::emulator::journal
