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

char* copy(std::string_view text, char* to) {
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

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

std::array<std::string_view, EntryRing::texts> EntryRing::texts_of(const JournalEntry& entry) {
  std::array<std::string_view, texts> all{entry.peer, entry.bucket, entry.key, entry.lease_id,
                                          entry.fault};
  for (std::string_view& text : all) text = text.substr(0, Journal::longest_text);
  return all;
}

void EntryRing::append(const JournalEntry& entry, std::string_view request_head,
                       std::string_view response_head) {
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
  char* to = text_.at(begin);
  for (const std::string_view text : all) to = copy(text, to);
  request_head = request_head.substr(0, head_kept);
  response_head = response_head.substr(0, head_kept);
  const std::uint64_t heads_begin = heads_.reserve(request_head.size() + response_head.size());
  copy(response_head, copy(request_head, heads_.at(heads_begin)));

  const std::size_t place = place_of(next_);
  if (place == records_.size()) {
    records_.emplace_back();
  } else if (next_ - oldest_ == capacity_) {
    ++oldest_;
  }
  records_[place] = {.at = entry.at,
                     .time = entry.time,
                     .connection = entry.connection,
                     .bytes_in = entry.bytes_in,
                     .bytes_out = entry.bytes_out,
                     .held = entry.held,
                     .served = entry.served,
                     .in_flight = entry.in_flight,
                     .text_begin = begin,
                     .text_sizes = sizes,
                     .heads_begin = heads_begin,
                     .request_head = static_cast<std::uint16_t>(request_head.size()),
                     .response_head = static_cast<std::uint16_t>(response_head.size()),
                     .status = entry.status,
                     .operation = entry.operation,
                     .end = entry.end};
  ++next_;
}

std::uint64_t EntryRing::reserve_text(std::size_t size) {
  const std::uint64_t begin = text_.reserve(size);
  while (oldest_ != next_ && !text_.holds(records_[place_of(oldest_)].text_begin)) ++oldest_;
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
  const char* from = text_.at(record.text_begin);
  const std::array all{&entry.peer, &entry.bucket, &entry.key, &entry.lease_id, &entry.fault};
  for (std::size_t i = 0; i < texts; ++i) {
    all[i]->assign(from, record.text_sizes[i]);
    from += record.text_sizes[i];
  }
}

std::optional<JournalHeads> EntryRing::load_heads(std::uint64_t sequence) const {
  HYPERPOD_REQUIRE(oldest_ <= sequence && sequence < next_);
  const Record& record = records_[place_of(sequence)];
  if (record.request_head + record.response_head == 0) return std::nullopt;
  if (!heads_.holds(record.heads_begin)) return std::nullopt;
  const char* const from = heads_.at(record.heads_begin);
  return JournalHeads{.request = std::string(from, record.request_head),
                      .response = std::string(from + record.request_head, record.response_head)};
}

}  // namespace hyperpod::emulator::journal
