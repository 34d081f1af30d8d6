// SPDX-License-Identifier: Apache-2.0
#include "journal/chunk.h"

#include <algorithm>
#include <new>
#include <string>
#include <type_traits>

namespace hyperpod::emulator::journal {
namespace {

constexpr std::size_t alignment = alignof(StoredEntry);
static_assert(alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
static_assert(std::is_trivially_destructible_v<StoredEntry>);

template <class Entry>
auto texts_of(Entry& entry) {
  return std::array{&entry.peer, &entry.bucket, &entry.key, &entry.lease_id, &entry.fault};
}

}  // namespace

void StoredEntry::load(JournalEntry& entry) const {
  entry.at = at;
  entry.time = time;
  entry.connection = connection;
  entry.operation = operation;
  entry.status = status;
  entry.bytes_in = bytes_in;
  entry.bytes_out = bytes_out;
  entry.held = held;
  entry.served = served;
  entry.in_flight = in_flight;
  entry.end = end;
  const auto* from = reinterpret_cast<const char*>(this + 1);
  const auto to = texts_of(entry);
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i]->assign(from, texts[i]);
    from += texts[i];
  }
}

Chunk::Chunk(std::size_t capacity)
    : capacity_(capacity), bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}

std::size_t Chunk::size_of(const JournalEntry& entry) {
  std::size_t size = sizeof(StoredEntry);
  for (const std::string* text : texts_of(entry)) {
    size += std::min(text->size(), Journal::longest_text);
  }
  return (size + alignment - 1) / alignment * alignment;
}

StoredEntry& Chunk::append(const JournalEntry& entry, std::size_t size, std::uint16_t lane,
                           std::uint64_t order, const HeadPlace& heads) {
  HYPERPOD_REQUIRE(has_room(size));
  // Each member by itself: to fill all of it with zeros first costs a hundredth of a request.
  auto* const stored = new (bytes_.get() + used_) StoredEntry;
  stored->size = static_cast<std::uint32_t>(size);
  stored->lane = lane;
  stored->operation = entry.operation;
  stored->end = entry.end;
  stored->order = order;
  stored->at = entry.at;
  stored->time = entry.time;
  stored->connection = entry.connection;
  stored->bytes_in = entry.bytes_in;
  stored->bytes_out = entry.bytes_out;
  stored->held = entry.held;
  stored->served = entry.served;
  stored->in_flight = entry.in_flight;
  stored->status = entry.status;
  stored->heads = heads;
  auto* to = reinterpret_cast<char*>(stored + 1);
  const auto from = texts_of(entry);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::size_t kept = from[i]->copy(to, Journal::longest_text);
    stored->texts[i] = static_cast<std::uint32_t>(kept);
    to += kept;
  }
  used_ += size;
  ++count_;
  newest_ = order;
  return *stored;
}

void Chunk::clear() {
  used_ = numbered_ = 0;
  count_ = numbered_count_ = last_sequence_ = 0;
}

void Chunk::number(std::uint64_t sequence) {
  numbered_ += at(numbered_).size;
  ++numbered_count_;
  last_sequence_ = sequence;
}

StoredEntry& Chunk::at(std::size_t place) const {
  HYPERPOD_REQUIRE(place + sizeof(StoredEntry) <= capacity_);
  return *std::launder(reinterpret_cast<StoredEntry*>(bytes_.get() + place));
}

}  // namespace hyperpod::emulator::journal
