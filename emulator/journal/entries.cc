// SPDX-License-Identifier: Apache-2.0
#include "journal/entries.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::journal {
namespace {

// Names in production take a third of this; longer ones shorten the journal's memory.
constexpr std::size_t text_bytes_per_entry = 256;
constexpr std::size_t least_bytes = 5 * Journal::longest_text + 2 * Chunk::usual_capacity;
// So many a call, so that those who wait for a chunk wait for a tenth of a millisecond at most.
constexpr std::uint64_t numbered_at_once = 1024;

}  // namespace

/// The entries of a lane that have no sequence, as far as they were there when it was made.
class Entries::Unnumbered {
 public:
  void add(Chunk& chunk, std::size_t used) {
    if (chunk.numbered() < used) pieces_.push_back({&chunk, used});
  }

  bool at_end() const { return piece_ == pieces_.size(); }
  // Of the first of them. REQUIRES !at_end().
  Chunk& chunk() const { return *pieces_[piece_].chunk; }
  StoredEntry& entry() const { return chunk().at(chunk().numbered()); }
  std::uint64_t order() const { return entry().order; }

  void number(std::uint64_t sequence) {
    chunk().number(sequence);
    if (chunk().numbered() == pieces_[piece_].used) ++piece_;
  }

 private:
  struct Piece {
    Chunk* chunk;
    std::size_t used;
  };

  std::vector<Piece> pieces_;
  std::size_t piece_ = 0;
};

Entries::Entries(std::size_t capacity, Lanes& lanes)
    : capacity_(capacity),
      most_bytes_(std::max(capacity * (sizeof(StoredEntry) + text_bytes_per_entry), least_bytes) +
                  lanes.size() * Chunk::usual_capacity),
      lanes_(lanes),
      by_sequence_(std::make_unique_for_overwrite<StoredEntry*[]>(capacity)) {
  HYPERPOD_REQUIRE(capacity > 0);
}

void Entries::change_chunk(Lane& lane, std::size_t size) {
  std::lock_guard lock(lane.mutex);
  if (lane.chunk && lane.chunk->has_room(size)) return;  // another thread of the lane was here
  auto chunk = size <= Chunk::usual_capacity && spare_
                   ? std::move(spare_)
                   : std::make_unique<Chunk>(std::max(size, Chunk::usual_capacity));
  if (lane.chunk && lane.chunk->count() > 0) {
    const auto& full = full_[lane.number].chunks.emplace_back(std::move(lane.chunk));
    full_entries_ += full->count();
    full_bytes_ += full->capacity();
  }
  lane.chunk = std::move(chunk);
  for (Full* oldest = oldest_chunk(); oldest != nullptr; oldest = oldest_chunk()) {
    if (full_bytes_ <= most_bytes_ && newer_than(*oldest->chunks.front()) < capacity_) break;
    drop_chunk(*oldest);
  }
}

Entries::Full* Entries::oldest_chunk() {
  Full* oldest = nullptr;
  for (Full& lane : full_) {
    if (lane.chunks.empty()) continue;
    if (oldest != nullptr && oldest->chunks.front()->newest() <= lane.chunks.front()->newest()) {
      continue;
    }
    oldest = &lane;
  }
  return oldest;
}

std::uint64_t Entries::newer_than(const Chunk& chunk) const {
  std::uint64_t count = full_entries_;
  for (const Full& lane : full_) {
    if (lane.chunks.empty()) continue;
    const Chunk& first = *lane.chunks.front();
    if (first.oldest() <= chunk.newest()) count -= first.count();
  }
  return count;
}

void Entries::drop_chunk(Full& lane) {
  auto chunk = std::move(lane.chunks.front());
  lane.chunks.pop_front();
  if (lane.numbered > 0) --lane.numbered;
  full_entries_ -= chunk->count();
  full_bytes_ -= chunk->capacity();
  if (chunk->unnumbered_count() == 0) {
    oldest_ = std::max(oldest_, chunk->last_sequence() + 1);
  } else {
    // All that have sequences are older than those that have none.
    next_ += chunk->unnumbered_count();
    oldest_ = next_;
    dropped_ = std::max(dropped_, chunk->newest());
  }
  if (chunk->capacity() > Chunk::usual_capacity) return;
  chunk->clear();
  spare_ = std::move(chunk);
}

bool Entries::number_some(std::uint64_t& wanted) {
  std::array<std::size_t, std::tuple_size_v<Lanes>> used{};
  {
    const AllLanes locks(lanes_);
    if (wanted == 0) wanted = recorded(lanes_);
    for (const Lane& lane : lanes_) {
      if (lane.chunk) used[lane.number] = lane.chunk->used();
    }
  }
  if (next_ > wanted) return true;

  std::array<Unnumbered, std::tuple_size_v<Lanes>> all;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& chunks = full_[i].chunks;
    std::uint64_t found = 0;  // no more of a lane's are needed than get numbers now
    std::size_t j = full_[i].numbered;
    for (; j < chunks.size() && found < numbered_at_once; ++j) {
      all[i].add(*chunks[j], chunks[j]->used());
      found += chunks[j]->unnumbered_count();
    }
    if (j == chunks.size() && used[i] > 0) all[i].add(*lanes_[i].chunk, used[i]);
  }
  std::size_t left = 0;
  for (Unnumbered& each : all) {
    if (!each.at_end()) std::swap(all[left++], each);
  }
  for (std::uint64_t i = 0; i < numbered_at_once && left > 0; ++i) {
    Unnumbered& oldest =
        *std::ranges::min_element(std::span(all).first(left), {}, &Unnumbered::order);
    StoredEntry& entry = oldest.entry();
    by_sequence_[(next_ - 1) % capacity_] = &entry;
    oldest.number(next_++);
    if (entry.order < dropped_) oldest_ = next_;
    if (next_ - oldest_ > capacity_) oldest_ = next_ - capacity_;
    if (oldest.at_end()) std::swap(oldest, all[--left]);
  }
  for (Full& lane : full_) {
    const auto& chunks = lane.chunks;
    while (lane.numbered < chunks.size() && chunks[lane.numbered]->unnumbered_count() == 0) {
      ++lane.numbered;
    }
  }
  return next_ > wanted;
}

void Entries::load(std::uint64_t sequence, JournalEntry& entry) const {
  at(sequence).load(entry);
  entry.sequence = sequence;
}

std::optional<JournalHeads> Entries::load_heads(std::uint64_t sequence) const {
  const StoredEntry& entry = at(sequence);
  Lane& lane = lanes_[entry.lane];
  std::lock_guard lock(lane.mutex);
  return lane.heads.load(entry.heads);
}

StoredEntry& Entries::at(std::uint64_t sequence) const {
  HYPERPOD_REQUIRE(oldest_ <= sequence && sequence < next_);
  return *by_sequence_[(sequence - 1) % capacity_];
}

void Entries::clear() {
  for (Lane& lane : lanes_) {
    if (lane.chunk) lane.chunk->clear();
  }
  oldest_ = next_ = recorded(lanes_) + 1;
  dropped_ = 0;
  for (Full& lane : full_) {
    lane.chunks.clear();
    lane.numbered = 0;
  }
  full_entries_ = 0;
  full_bytes_ = 0;
}

}  // namespace hyperpod::emulator::journal
