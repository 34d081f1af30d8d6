// SPDX-License-Identifier: Apache-2.0
#include "journal/pending_records.h"

#include <cstring>
#include <type_traits>

namespace hyperpod::emulator::journal {
namespace {

/// Records lie side by side, whatever their alignment.
template <class T>
T read(const char*& from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
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

std::string_view read_text(const char*& from, std::size_t size) {
  const std::string_view text(from, size);
  from += size;
  return text;
}

std::uint32_t size_of(std::string_view text) { return static_cast<std::uint32_t>(text.size()); }

}  // namespace

/// Behind it lie the texts, the heads and the changes.
struct PendingRecords::Header {
  std::uint32_t size;  // all of it
  std::uint32_t changes;
  std::uint64_t ticket;
  Record::Fields fields;
  std::array<std::uint32_t, Record::texts_of_entry> texts;
  std::uint32_t request_head;
  std::uint32_t response_head;
};

/// Behind it lies the bucket's name.
struct PendingRecords::ChangeHeader {
  std::uint64_t connection;
  LeaseChange::What what;
  std::uint32_t bucket;
};

bool PendingRecords::append(std::uint64_t ticket, const Record& record,
                            std::span<const LeaseChange> changes) {
  Header header{.size = 0,
                .changes = static_cast<std::uint32_t>(changes.size()),
                .ticket = ticket,
                .fields = record.fields,
                .texts = {},
                .request_head = size_of(record.request_head),
                .response_head = size_of(record.response_head)};
  std::size_t size = sizeof header + record.request_head.size() + record.response_head.size();
  for (std::size_t i = 0; i < record.texts.size(); ++i) {
    header.texts[i] = size_of(record.texts[i]);
    size += record.texts[i].size();
  }
  for (const LeaseChange& change : changes) size += sizeof(ChangeHeader) + change.bucket.size();
  if (size > capacity - used_) return false;

  if (!bytes_) bytes_ = std::make_unique_for_overwrite<char[]>(capacity);
  header.size = static_cast<std::uint32_t>(size);
  char* to = write(header, bytes_.get() + used_);
  for (const std::string_view text : record.texts) to = copy(text, to);
  to = copy(record.response_head, copy(record.request_head, to));
  for (const LeaseChange& change : changes) {
    to = write(ChangeHeader{change.connection, change.what, size_of(change.bucket)}, to);
    to = copy(change.bucket, to);
  }
  used_ += size;
  return true;
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
  ticket_ = header.ticket;
  record_.fields = header.fields;
  for (std::size_t i = 0; i < header.texts.size(); ++i) {
    record_.texts[i] = read_text(from, header.texts[i]);
  }
  record_.request_head = read_text(from, header.request_head);
  record_.response_head = read_text(from, header.response_head);
  changes_ = from;
  change_count_ = header.changes;
}

PendingRecords::Reader::Change PendingRecords::Reader::change_at(const char*& from) {
  const auto header = read<ChangeHeader>(from);
  return {header.what, header.connection, read_text(from, header.bucket)};
}

}  // namespace hyperpod::emulator::journal
