#include "hyperpod/emulator/journal.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

namespace hyperpod::emulator {
namespace {

// Names of production are a third of this; longer ones shorten the journal's memory.
constexpr std::size_t text_bytes_per_entry = 256;
constexpr std::size_t texts = 5;
// How long a reader keeps recorders waiting: tens of microseconds.
constexpr std::uint64_t entries_per_scan = 256;

std::array<std::string_view, texts> texts_of(const JournalEntry& entry) {
  std::array<std::string_view, texts> all{entry.peer, entry.bucket, entry.key, entry.lease_id,
                                          entry.fault};
  for (std::string_view& text : all) text = text.substr(0, Journal::longest_text);
  return all;
}

std::array<std::string*, texts> texts_of(JournalEntry& entry) {
  return {&entry.peer, &entry.bucket, &entry.key, &entry.lease_id, &entry.fault};
}

template <class T>
bool met(const std::optional<T>& wanted, const T& value) {
  return !wanted || *wanted == value;
}

bool is_error(const JournalEntry& entry) {
  const bool miss = entry.operation == JournalOperation::lease && entry.status == 504;
  return entry.status == 0 || (entry.status >= 500 && !miss);
}

void add(JournalTotals& totals, const JournalEntry& entry) {
  ++totals.requests;
  totals.puts += entry.operation == JournalOperation::put;
  totals.releases += entry.operation == JournalOperation::release;
  const bool lease = entry.operation == JournalOperation::lease;
  totals.leases += lease;
  totals.errors += is_error(entry);
  totals.faults += !entry.fault.empty();
  totals.bytes_in += entry.bytes_in;
  totals.bytes_out += entry.bytes_out;
  totals.peak_in_flight = std::max(totals.peak_in_flight, entry.in_flight);
}

void add(JournalTotals& totals, const JournalTotals& more) {
  totals.requests += more.requests;
  totals.puts += more.puts;
  totals.leases += more.leases;
  totals.leases_granted += more.leases_granted;
  totals.leases_released += more.leases_released;
  totals.leases_expired += more.leases_expired;
  totals.leases_dropped += more.leases_dropped;
  totals.leases_live += more.leases_live;
  totals.leases_abandoned += more.leases_abandoned;
  totals.releases += more.releases;
  totals.errors += more.errors;
  totals.faults += more.faults;
  totals.bytes_in += more.bytes_in;
  totals.bytes_out += more.bytes_out;
  totals.peak_in_flight = std::max(totals.peak_in_flight, more.peak_in_flight);
}

void add(JournalTotals& totals, LeaseChange::What what) {
  using enum LeaseChange::What;
  totals.leases_granted += what == granted;
  totals.leases_released += what == released;
  totals.leases_expired += what == expired;
  totals.leases_dropped += what == dropped;
  totals.leases_abandoned += what == abandoned;
  totals.leases_live += what == granted;
  totals.leases_live -= what == released || what == expired || what == dropped;
}

JournalTotals live_part(const JournalTotals& totals) { return {.leases_live = totals.leases_live}; }

std::int64_t microseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

}  // namespace

std::string_view name_of(JournalOperation operation) {
  switch (operation) {
    case JournalOperation::put:
      return "put";
    case JournalOperation::lease:
      return "lease";
    case JournalOperation::release:
      return "release";
    case JournalOperation::other:
      return "other";
    case JournalOperation::unreadable:
      break;
  }
  return "unreadable";
}

std::string_view name_of(ConnectionEnd end) {
  switch (end) {
    case ConnectionEnd::kept:
      return "kept";
    case ConnectionEnd::closed_by_us:
      return "closed_by_us";
    case ConnectionEnd::closed_by_peer:
      return "closed_by_peer";
    case ConnectionEnd::reset_by_fault:
      break;
  }
  return "reset_by_fault";
}

std::string entry_to_json(const JournalEntry& entry) {
  const nlohmann::ordered_json json{
      {"sequence", entry.sequence},
      {"at_us", microseconds(entry.at.time_since_epoch())},
      {"connection", entry.connection},
      {"peer", entry.peer},
      {"operation", name_of(entry.operation)},
      {"bucket", entry.bucket},
      {"key", entry.key},
      {"lease_id", entry.lease_id},
      {"status", entry.status},
      {"bytes_in", entry.bytes_in},
      {"bytes_out", entry.bytes_out},
      {"held_us", microseconds(entry.held)},
      {"served_us", microseconds(entry.served)},
      {"in_flight", entry.in_flight},
      {"fault", entry.fault},
      {"end", name_of(entry.end)},
  };
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

bool JournalFilter::accepts(const JournalEntry& entry) const {
  return entry.sequence > after_sequence && met(operation, entry.operation) &&
         met(bucket, entry.bucket) && met(key, entry.key) && met(connection, entry.connection) &&
         met(status, entry.status) && met(fault, entry.fault);
}

void Histogram::add(Duration value) {
  const auto bound = std::ranges::lower_bound(bounds, value);
  ++counts[static_cast<std::size_t>(bound - bounds.begin())];
  ++count;
  sum += value;
}

Journal::Journal(std::size_t capacity)
    : capacity_(capacity),
      text_capacity_(std::max(capacity * text_bytes_per_entry, texts * longest_text)),
      text_(std::make_unique_for_overwrite<char[]>(capacity == 0 ? 0 : text_capacity_)),
      by_connection_(connections_kept),
      lives_(connections_kept) {
  records_.reserve(capacity);  // neither this nor the text costs memory before it is written to
  by_bucket_.reserve(buckets_kept);
}

void Journal::record(const JournalEntry& entry) {
  {
    std::lock_guard lock(mutex_);
    if (capacity_ != 0) store(entry);
    ++next_sequence_;
    if (capacity_ == 0) oldest_ = next_sequence_;
    count(entry);
    ++changes_;
  }
  changed_.notify_all();
}

void Journal::connection_opened(std::uint64_t connection, const std::string& peer, TimePoint at) {
  {
    std::lock_guard lock(mutex_);
    ConnectionLife& life = lives_[connection % connections_kept];
    if (connection > life.connection) life = {connection, peer, at, std::nullopt};
    ++changes_;
  }
  changed_.notify_all();
}

void Journal::connection_closed(std::uint64_t connection, TimePoint at) {
  {
    std::lock_guard lock(mutex_);
    ConnectionLife& life = lives_[connection % connections_kept];
    if (connection == life.connection) life.closed = at;
    ++changes_;
  }
  changed_.notify_all();
}

void Journal::store(const JournalEntry& entry) {
  const auto all = texts_of(entry);
  std::array<std::uint32_t, texts> sizes{};
  std::size_t size = 0;
  for (std::size_t i = 0; i < texts; ++i) {
    sizes[i] = static_cast<std::uint32_t>(all[i].size());
    size += all[i].size();
  }
  const std::uint64_t begin = reserve_text(size);
  char* to = text_.get() + begin % text_capacity_;
  for (const std::string_view text : all) to = std::ranges::copy(text, to).out;

  const Record record{.at = entry.at,
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
  const std::size_t place = place_of(next_sequence_);
  if (place == records_.size()) {
    records_.push_back(record);
  } else {
    if (next_sequence_ - oldest_ == capacity_) ++oldest_;
    records_[place] = record;
  }
}

std::uint64_t Journal::reserve_text(std::size_t size) {
  std::uint64_t begin = text_end_;
  if (const std::size_t place = begin % text_capacity_; place + size > text_capacity_) {
    begin += text_capacity_ - place;
  }
  text_end_ = begin + size;
  while (oldest_ != next_sequence_ &&
         records_[place_of(oldest_)].text_begin + text_capacity_ < text_end_) {
    ++oldest_;
  }
  return begin;
}

std::size_t Journal::place_of(std::uint64_t sequence) const { return (sequence - 1) % capacity_; }

void Journal::load(std::uint64_t sequence, JournalEntry& entry) const {
  const Record& record = records_[place_of(sequence)];
  entry.sequence = sequence;
  entry.at = record.at;
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
  const auto all = texts_of(entry);
  for (std::size_t i = 0; i < texts; ++i) {
    all[i]->assign(from, record.text_sizes[i]);
    from += record.text_sizes[i];
  }
}

void Journal::count(const JournalEntry& entry) {
  add(total_, entry);
  add(totals_of_connection(entry.connection), entry);
  add(totals_of_bucket(entry.bucket), entry);
  OperationTotals& operation = by_operation_[static_cast<std::size_t>(entry.operation)];
  ++operation.by_status[entry.status];
  operation.served.add(entry.served);
  if (entry.held > Duration::zero()) operation.held.add(entry.held);
}

void Journal::count(const LeaseChange& change) {
  {
    std::lock_guard lock(mutex_);
    add(total_, change.what);
    add(totals_of_connection(change.connection), change.what);
    add(totals_of_bucket(change.bucket), change.what);
    ++changes_;
  }
  changed_.notify_all();
}

JournalTotals& Journal::totals_of_connection(std::uint64_t connection) {
  ConnectionTotals& slot = by_connection_[connection % connections_kept];
  if (connection < slot.connection || connection == 0) return older_connections_;
  if (connection > slot.connection) {
    add(older_connections_, slot.totals);
    slot = {connection, {}};
  }
  return slot.totals;
}

JournalTotals& Journal::totals_of_bucket(const std::string& bucket) {
  if (bucket.empty() || bucket.size() > longest_bucket_kept) return other_buckets_;
  if (const auto known = by_bucket_.find(bucket); known != by_bucket_.end()) return known->second;
  return by_bucket_.size() < buckets_kept ? by_bucket_[bucket] : other_buckets_;
}

// Looks at a bounded number of entries from sequence `from` on; returns the sequence to go on with,
// or 0 at the end.
std::uint64_t Journal::scan(const JournalFilter& filter, std::uint64_t from, std::size_t most,
                            std::vector<JournalEntry>& found) const {
  JournalEntry entry;
  std::lock_guard lock(mutex_);
  std::uint64_t sequence = std::max(from, oldest_);
  const std::uint64_t end = std::min(next_sequence_, sequence + entries_per_scan);
  for (; sequence < end && found.size() < most; ++sequence) {
    load(sequence, entry);
    if (filter.accepts(entry)) found.push_back(entry);
  }
  return sequence < next_sequence_ && found.size() < most ? sequence : 0;
}

std::vector<JournalEntry> Journal::entries(const JournalFilter& filter, std::size_t most) const {
  std::vector<JournalEntry> found;
  std::uint64_t next = filter.after_sequence + 1;
  while (next != 0) next = scan(filter, next, most, found);
  return found;
}

std::uint64_t Journal::last_sequence() const {
  std::lock_guard lock(mutex_);
  return next_sequence_ - 1;
}

std::uint64_t Journal::recorded() const {
  std::lock_guard lock(mutex_);
  return next_sequence_ - first_;
}

std::uint64_t Journal::dropped() const {
  std::lock_guard lock(mutex_);
  return oldest_ - first_;
}

JournalTotals Journal::totals() const {
  std::lock_guard lock(mutex_);
  return total_;
}

std::map<std::uint64_t, JournalTotals> Journal::totals_by_connection() const {
  std::lock_guard lock(mutex_);
  std::map<std::uint64_t, JournalTotals> all;
  for (const ConnectionTotals& slot : by_connection_) {
    if (slot.totals != JournalTotals{}) all.emplace(slot.connection, slot.totals);
  }
  if (older_connections_ != JournalTotals{}) all.emplace(0, older_connections_);
  return all;
}

std::vector<ConnectionLife> Journal::connections() const {
  std::lock_guard lock(mutex_);
  std::vector<ConnectionLife> all;
  for (const ConnectionLife& life : lives_) {
    if (life.connection != 0) all.push_back(life);
  }
  std::ranges::sort(all, {}, &ConnectionLife::connection);
  return all;
}

std::map<std::string, JournalTotals> Journal::totals_by_bucket() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, JournalTotals> all(by_bucket_.begin(), by_bucket_.end());
  if (other_buckets_ != JournalTotals{}) all.emplace("", other_buckets_);
  return all;
}

std::map<JournalOperation, OperationTotals> Journal::totals_by_operation() const {
  std::lock_guard lock(mutex_);
  std::map<JournalOperation, OperationTotals> all;
  for (const JournalOperation operation : all_journal_operations) {
    const OperationTotals& totals = by_operation_[static_cast<std::size_t>(operation)];
    if (totals.served.count != 0) all.emplace(operation, totals);
  }
  return all;
}

bool Journal::wait_until(const std::function<bool(const Journal&)>& condition,
                         std::chrono::steady_clock::time_point deadline) const {
  while (true) {
    std::unique_lock lock(mutex_);
    const std::uint64_t seen = changes_;
    lock.unlock();
    if (condition(*this)) return true;
    lock.lock();
    if (!changed_.wait_until(lock, deadline, [&] { return changes_ != seen; })) return false;
  }
}

void Journal::write_json_lines(std::ostream& out, const JournalFilter& filter) const {
  constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();
  std::vector<JournalEntry> found;
  std::uint64_t next = filter.after_sequence + 1;
  while (next != 0 && out) {
    found.clear();
    next = scan(filter, next, everything, found);
    for (const JournalEntry& entry : found) out << entry_to_json(entry) << '\n';
  }
}

void Journal::clear() {
  {
    std::lock_guard lock(mutex_);
    oldest_ = first_ = next_sequence_;
    by_operation_ = {};
    total_ = live_part(total_);
    // The number stays: an older connection's leases must not get its place.
    for (ConnectionTotals& slot : by_connection_) slot.totals = live_part(slot.totals);
    older_connections_ = live_part(older_connections_);
    for (ConnectionLife& life : lives_) {
      if (life.closed) life = {};
    }
    other_buckets_ = live_part(other_buckets_);
    for (auto& [bucket, totals] : by_bucket_) totals = live_part(totals);
    // A bucket whose leases are counted among the others' gets no place of its own meanwhile.
    if (other_buckets_.leases_live == 0) {
      std::erase_if(by_bucket_, [](const auto& entry) { return entry.second.leases_live == 0; });
    }
    ++changes_;
  }
  changed_.notify_all();
}

}  // namespace hyperpod::emulator
