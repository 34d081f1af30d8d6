// SPDX-License-Identifier: Apache-2.0
#include "journal/pending_records.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace hyperpod::emulator::journal {
namespace {

// Records lie side by side, whatever their alignment.

template <class T>
T read(const char*& from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  std::memcpy(&value, from, sizeof value);
  from += sizeof value;
  return value;
}

template <class T>
char* write(const T& value, char* to) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
  return to + sizeof value;
}

char* write_text(std::string_view text, char* to) {
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

}  // namespace

/// Behind it lie the texts, the heads and the changes.
struct PendingRecords::Header {
  std::uint32_t size = 0;  // all of it
  std::uint32_t changes = 0;
  std::uint64_t order = 0;
  Record::Fixed fixed;
};

/// Behind it lies the bucket's name.
struct PendingRecords::ChangeHeader {
  std::uint64_t connection = 0;
  LeaseChange::What what{};
  std::uint32_t bucket = 0;
};

bool PendingRecords::append(std::uint64_t order, const JournalEntry& entry,
                            std::string_view request_head, std::string_view response_head,
                            std::span<const LeaseChange> changes) {
  request_head = request_head.substr(0, Journal::longest_head + 1);
  response_head = response_head.substr(0, Journal::longest_head + 1);
  std::array<std::string_view, Record::texts_of_entry> texts{entry.peer, entry.bucket, entry.key,
                                                             entry.lease_id, entry.fault};
  Header header{.size = 0,
                .changes = static_cast<std::uint32_t>(changes.size()),
                .order = order,
                .fixed = {.at = entry.at,
                          .time = entry.time,
                          .connection = entry.connection,
                          .bytes_in = entry.bytes_in,
                          .bytes_out = entry.bytes_out,
                          .held = entry.held,
                          .served = entry.served,
                          .in_flight = entry.in_flight,
                          .status = entry.status,
                          .operation = entry.operation,
                          .end = entry.end,
                          .texts = {},
                          .request_head = static_cast<std::uint16_t>(request_head.size()),
                          .response_head = static_cast<std::uint16_t>(response_head.size())}};
  std::size_t size = sizeof header + header.fixed.heads_size();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    texts[i] = texts[i].substr(0, Journal::longest_text);
    header.fixed.texts[i] = static_cast<std::uint32_t>(texts[i].size());
    size += texts[i].size();
  }
  for (const LeaseChange& change : changes) size += sizeof(ChangeHeader) + change.bucket.size();

  if (size > capacity_ - used_) {
    if (used_ > 0) return false;
    const auto capacity = std::max(size, usual_capacity);
    bytes_ = std::make_unique_for_overwrite<char[]>(capacity);
    capacity_ = capacity;
  }
  header.size = static_cast<std::uint32_t>(size);
  char* to = write(header, bytes_.get() + used_);
  for (const std::string_view text : texts) to = write_text(text, to);
  to = write_text(response_head, write_text(request_head, to));
  for (const LeaseChange& change : changes) {
    const auto bucket = static_cast<std::uint32_t>(change.bucket.size());
    to = write_text(change.bucket, write(ChangeHeader{change.connection, change.what, bucket}, to));
  }
  used_ += size;
  return true;
}

void PendingRecords::clear() {
  used_ = 0;
  if (capacity_ <= usual_capacity) return;
  bytes_.reset();
  capacity_ = 0;
}

PendingRecords::Reader::Reader(const PendingRecords& records)
    : at_(records.bytes_.get()), end_(at_ + records.used_) {
  look();
}

void PendingRecords::Reader::next() {
  at_ += size_;
  look();
}

void PendingRecords::Reader::look() {
  size_ = 0;
  if (at_ == end_) return;
  const char* from = at_;
  const auto header = read<Header>(from);
  size_ = header.size;
  change_count_ = header.changes;
  order_ = header.order;
  record_.fixed = header.fixed;
  record_.texts = from;
  record_.heads = from + header.fixed.texts_size();
  changes_ = record_.heads + header.fixed.heads_size();
}

PendingRecords::Reader::Change PendingRecords::Reader::change_at(const char*& from) {
  const auto header = read<ChangeHeader>(from);
  const std::string_view bucket(from, header.bucket);
  from += bucket.size();
  return {header.what, header.connection, bucket};
}

}  // namespace hyperpod::emulator::journal
