// SPDX-License-Identifier: Apache-2.0
#include "journal/entry_ring.h"

#include <algorithm>
#include <cstring>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::journal {
namespace {

// Names in production take a third of this; longer ones shorten the journal's memory.
constexpr std::size_t text_bytes_per_entry = 256;
// The two heads of LMCache's requests take 300. So much stays in a processor's cache; more would
// cost every request.
constexpr std::size_t head_bytes_per_entry = 512;
constexpr std::size_t most_head_bytes = 1 << 20;
constexpr std::size_t head_kept = Journal::longest_head + 1;

}  // namespace

EntryRing::EntryRing(std::size_t capacity)
    : capacity_(capacity),
      text_(std::max(capacity * text_bytes_per_entry, texts * Journal::longest_text), capacity > 0),
      heads_(std::clamp(capacity * head_bytes_per_entry, 2 * head_kept, most_head_bytes),
             capacity > 0) {
  records_.reserve(capacity);  // none of the three costs memory before it is written to
}

EntryRing::Bytes::Bytes(std::size_t wanted, bool used)
    : size(wanted), bytes(std::make_unique_for_overwrite<char[]>(used ? wanted : 0)) {}

std::uint64_t EntryRing::Bytes::reserve(std::size_t count) {
  std::uint64_t begin = end;
  if (const std::size_t place = begin % size; place + count > size) begin += size - place;
  end = begin + count;
  return begin;
}

void EntryRing::append(const Record& record) {
  if (capacity_ == 0) {
    oldest_ = ++next_;
    return;
  }
  const Record::Fixed& fixed = record.fixed;
  const std::uint64_t text_begin = reserve_text(fixed.texts_size());
  std::memcpy(text_.at(text_begin), record.texts, fixed.texts_size());
  const std::uint64_t heads_begin = heads_.reserve(fixed.heads_size());
  std::memcpy(heads_.at(heads_begin), record.heads, fixed.heads_size());

  const std::size_t place = place_of(next_);
  if (place == records_.size()) {
    records_.emplace_back();
  } else if (next_ - oldest_ == capacity_) {
    ++oldest_;
  }
  records_[place] = {fixed, text_begin, heads_begin};
  ++next_;
}

std::uint64_t EntryRing::reserve_text(std::size_t size) {
  const std::uint64_t begin = text_.reserve(size);
  while (oldest_ != next_ && !text_.holds(records_[place_of(oldest_)].text_begin)) ++oldest_;
  return begin;
}

void EntryRing::load(std::uint64_t sequence, JournalEntry& entry) const {
  HYPERPOD_REQUIRE(oldest_ <= sequence && sequence < next_);
  const Kept& kept = records_[place_of(sequence)];
  const Record::Fixed& fixed = kept.fixed;
  entry.sequence = sequence;
  entry.at = fixed.at;
  entry.time = fixed.time;
  entry.connection = fixed.connection;
  entry.operation = fixed.operation;
  entry.status = fixed.status;
  entry.bytes_in = fixed.bytes_in;
  entry.bytes_out = fixed.bytes_out;
  entry.held = fixed.held;
  entry.served = fixed.served;
  entry.in_flight = fixed.in_flight;
  entry.end = fixed.end;
  const char* from = text_.at(kept.text_begin);
  const std::array all{&entry.peer, &entry.bucket, &entry.key, &entry.lease_id, &entry.fault};
  for (std::size_t i = 0; i < texts; ++i) {
    all[i]->assign(from, fixed.texts[i]);
    from += fixed.texts[i];
  }
}

std::optional<JournalHeads> EntryRing::load_heads(std::uint64_t sequence) const {
  HYPERPOD_REQUIRE(oldest_ <= sequence && sequence < next_);
  const Kept& kept = records_[place_of(sequence)];
  const Record::Fixed& fixed = kept.fixed;
  if (fixed.heads_size() == 0) return std::nullopt;
  if (!heads_.holds(kept.heads_begin)) return std::nullopt;
  const char* const from = heads_.at(kept.heads_begin);
  return JournalHeads{.request = std::string(from, fixed.request_head),
                      .response = std::string(from + fixed.request_head, fixed.response_head)};
}

}  // namespace hyperpod::emulator::journal
