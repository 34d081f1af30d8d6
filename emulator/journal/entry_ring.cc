// SPDX-License-Identifier: Apache-2.0
#include "journal/entry_ring.h"

#include <algorithm>
#include <cstring>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::journal {
namespace {

// Names in production take a third of this; longer ones shorten the journal's memory.
constexpr std::size_t text_bytes_per_entry = 256;

}  // namespace

EntryRing::EntryRing(std::size_t capacity)
    : capacity_(capacity),
      text_capacity_(std::max(capacity * text_bytes_per_entry, texts * Journal::longest_text)),
      text_(std::make_unique_for_overwrite<char[]>(capacity == 0 ? 0 : text_capacity_)) {
  records_.reserve(capacity);  // neither this nor the text costs memory before it is written to
}

std::array<std::string_view, EntryRing::texts> EntryRing::texts_of(const JournalEntry& entry) {
  std::array<std::string_view, texts> all{entry.peer, entry.bucket, entry.key, entry.lease_id,
                                          entry.fault};
  for (std::string_view& text : all) text = text.substr(0, Journal::longest_text);
  return all;
}

void EntryRing::append(const JournalEntry& entry) {
  if (capacity_ == 0) {
    oldest_ = ++next_;
    return;
  }
  const auto all = texts_of(entry);
  std::array<std::uint32_t, texts> sizes{};
  std::size_t size = 0;
  for (std::size_t i = 0; i < texts; ++i) {
    sizes[i] = static_cast<std::uint32_t>(all[i].size());
    size += all[i].size();
  }
  const std::uint64_t begin = reserve_text(size);
  char* to = text_.get() + begin % text_capacity_;
  for (const std::string_view text : all) {
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    to += text.size();
  }

  const Record record{.at = entry.at,
                      .time = entry.time,
                      .connection = entry.connection,
                      .bytes_in = entry.bytes_in,
                      .bytes_out = entry.bytes_out,
                      .held = entry.held,
                      .served = entry.served,
                      .in_flight = entry.in_flight,
                      .text_begin = begin,
                      .text_sizes = sizes,
                      .status = entry.status,
                      .operation = entry.operation,
                      .end = entry.end};
  const std::size_t place = place_of(next_);
  if (place == records_.size()) {
    records_.push_back(record);
  } else {
    if (next_ - oldest_ == capacity_) ++oldest_;
    records_[place] = record;
  }
  ++next_;
}

std::uint64_t EntryRing::reserve_text(std::size_t size) {
  std::uint64_t begin = text_end_;
  if (const std::size_t place = begin % text_capacity_; place + size > text_capacity_) {
    begin += text_capacity_ - place;
  }
  text_end_ = begin + size;
  while (oldest_ != next_ && records_[place_of(oldest_)].text_begin + text_capacity_ < text_end_) {
    ++oldest_;
  }
  return begin;
}

void EntryRing::load(std::uint64_t sequence, JournalEntry& entry) const {
  HYPERPOD_REQUIRE(oldest_ <= sequence && sequence < next_);
  const Record& record = records_[place_of(sequence)];
  entry.sequence = sequence;
  entry.at = record.at;
  entry.time = record.time;
  entry.connection = record.connection;
  entry.operation = record.operation;
  entry.status = record.status;
  entry.bytes_in = record.bytes_in;
  entry.bytes_out = record.bytes_out;
  entry.held = record.held;
  entry.served = record.served;
  entry.in_flight = record.in_flight;
  entry.end = record.end;
  const char* from = text_.get() + record.text_begin % text_capacity_;
  const std::array all{&entry.peer, &entry.bucket, &entry.key, &entry.lease_id, &entry.fault};
  for (std::size_t i = 0; i < texts; ++i) {
    all[i]->assign(from, record.text_sizes[i]);
    from += record.text_sizes[i];
  }
}

}  // namespace hyperpod::emulator::journal
