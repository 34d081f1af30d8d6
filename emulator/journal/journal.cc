// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/emulator/journal.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <ostream>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "journal/entry_ring.h"
#include "journal/head.h"
#include "journal/pending_records.h"
#include "text/time.h"

namespace hyperpod::emulator {
namespace {

using journal::PendingRecords;
using journal::Record;

// How long a reader keeps recorders waiting: tens of microseconds.
constexpr std::uint64_t entries_per_scan = 256;

template <class T>
bool met(const std::optional<T>& wanted, const T& value) {
  return !wanted || *wanted == value;
}

bool is_error(const Record::Fixed& fields, int miss_status) {
  const bool miss = fields.operation == JournalOperation::lease && fields.status == miss_status;
  return fields.status == 0 || (fields.status >= 500 && !miss);
}

void add(JournalTotals& totals, const Record& record, bool error) {
  const Record::Fixed& fields = record.fixed;
  ++totals.requests;
  totals.puts += fields.operation == JournalOperation::put;
  totals.releases += fields.operation == JournalOperation::release;
  totals.leases += fields.operation == JournalOperation::lease;
  totals.errors += error;
  totals.faults += record.has_fault();
  totals.bytes_in += fields.bytes_in;
  totals.bytes_out += fields.bytes_out;
  totals.peak_in_flight = std::max(totals.peak_in_flight, fields.in_flight);
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

// Changes of a lease are told by several threads and may arrive in another order than they happened
// in; the end of a lease whose grant is still to come makes no negative number.
JournalTotals shown(JournalTotals totals) {
  if (static_cast<std::int64_t>(totals.leases_live) < 0) totals.leases_live = 0;
  return totals;
}

JournalTotals live_part(const JournalTotals& totals) { return {.leases_live = totals.leases_live}; }

// Threads have lanes of their own as long as there are enough; those that share one wait for each
// other.
constexpr std::size_t lane_count = 16;

std::size_t lane_of_this_thread() {
  static std::atomic<std::size_t> threads{0};
  static thread_local const std::size_t number = threads++;
  return number % lane_count;
}

// Orders what several threads record. A clock of the machine's, and not a number that they count
// up, which their processors would take from each other: whatever follows from a record, over
// whatever connection, comes later by more than a tick of the clock.
std::uint64_t now() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

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
    case JournalOperation::checkpoint_put:
      return "checkpoint_put";
    case JournalOperation::checkpoint_get:
      return "checkpoint_get";
    case JournalOperation::checkpoint_delete:
      return "checkpoint_delete";
    case JournalOperation::checkpoint_namespace:
      return "namespace";
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
      {"time", text::utc_time(entry.time)},
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

struct Journal::Impl {
  struct ConnectionTotals {
    std::uint64_t connection = 0;
    JournalTotals totals;
  };

  /// Where a thread records.
  struct alignas(64) Lane {
    std::mutex mutex;
    PendingRecords records;  // guarded by the lane's mutex
    PendingRecords taken;    // guarded by the journal's; empty, except in take_in()
  };

  Impl(std::size_t capacity, int miss) : miss_status(miss), entries(capacity) {
    by_bucket.reserve(buckets_kept);
  }

  // All of these REQUIRE the lock.
  void take_in();
  void append(const Record& record);
  void count(LeaseChange::What what, std::uint64_t connection, std::string_view bucket);
  JournalTotals& totals_of_connection(std::uint64_t connection);
  JournalTotals& totals_of_bucket(std::string_view bucket);
  void clear();

  // These take it.
  std::uint64_t scan(const JournalFilter& filter, std::uint64_t from, std::size_t most,
                     std::vector<JournalEntry>& found);
  std::uint64_t scan_back(const JournalFilter& filter, std::uint64_t end, std::size_t most,
                          std::vector<JournalEntry>& found);
  /// The lock, with all taken in that has been recorded.
  std::unique_lock<std::mutex> look() {
    std::unique_lock lock(mutex);
    take_in();
    return lock;
  }

  /// Makes a change under the lock and tells those who wait for one.
  template <class Change>
  void change(Change&& make) {
    {
      std::lock_guard lock(mutex);
      make();
      ++changes;
    }
    if (waiters > 0) changed.notify_all();
    if (!observed) return;
    std::shared_lock lock(observer_mutex);
    if (observer) observer();
  }

  std::array<Lane, lane_count> lanes;
  const int miss_status;

  std::atomic<std::uint64_t> waiters{0};  // for changes
  // For observers: not a lock of the entries, so that one may look at the journal.
  std::atomic<bool> observed{false};
  std::shared_mutex observer_mutex;  // guards observer
  std::function<void()> observer;

  std::mutex mutex;  // guards all below; taken before that of a lane
  std::condition_variable changed;
  std::uint64_t changes = 0;

  journal::EntryRing entries;
  std::uint64_t first = 1;  // first sequence since the last clear
  JournalTotals total;
  std::array<OperationTotals, all_journal_operations.size()> by_operation;
  // Both at connection % connections_kept.
  std::vector<ConnectionTotals> by_connection = std::vector<ConnectionTotals>(connections_kept);
  std::vector<ConnectionLife> lives = std::vector<ConnectionLife>(connections_kept);
  JournalTotals older_connections;
  std::unordered_map<std::string, JournalTotals> by_bucket;
  // Found last; most requests name the same one.
  std::pair<const std::string, JournalTotals>* last_bucket = nullptr;
  JournalTotals other_buckets;
};

Journal::Journal(std::size_t capacity, int miss_status)
    : impl_(std::make_unique<Impl>(capacity, miss_status)) {}
Journal::~Journal() = default;

void Journal::record(const JournalEntry& entry, std::string_view request_head,
                     std::string_view response_head, std::span<const LeaseChange> changes) {
  Impl::Lane& lane = impl_->lanes[lane_of_this_thread()];
  const auto append = [&] {
    // The time under the lane's lock: whoever holds the locks of all lanes finds all that was
    // recorded earlier.
    std::lock_guard lock(lane.mutex);
    return lane.records.append(now(), entry, request_head, response_head, changes);
  };
  while (!append()) impl_->look();  // which makes room
  if (impl_->waiters > 0 || impl_->observed) {
    impl_->change([this] { impl_->take_in(); });
  }
}

void Journal::count(const LeaseChange& change) {
  impl_->change([&] { impl_->count(change.what, change.connection, change.bucket); });
}

// In the order in which the requests ended.
void Journal::Impl::take_in() {
  {
    std::array<std::unique_lock<std::mutex>, lane_count> locks;
    for (std::size_t i = 0; i < lane_count; ++i) locks[i] = std::unique_lock(lanes[i].mutex);
    for (Lane& lane : lanes) std::swap(lane.records, lane.taken);
  }
  // Whatever happens: to take something in twice is worse than to lose it for want of memory.
  struct Clearing {
    std::array<Lane, lane_count>& lanes;
    ~Clearing() {
      for (Lane& lane : lanes) lane.taken.clear();
    }
  } const clearing{lanes};
  std::array<PendingRecords::Reader, lane_count> all;
  std::size_t left = 0;
  for (const Lane& lane : lanes) {
    all[left] = PendingRecords::Reader(lane.taken);
    if (!all[left].at_end()) ++left;
  }
  // Reading a second clock costs a request a hundredth of its time.
  const auto time_of = [system = std::chrono::system_clock::now(),
                        steady = now()](std::uint64_t order) {
    const std::chrono::nanoseconds ago(static_cast<std::int64_t>(steady - order));
    return system - std::chrono::duration_cast<std::chrono::system_clock::duration>(ago);
  };
  while (left > 0) {
    const auto readers = std::span(all).first(left);
    auto& reader = *std::ranges::min_element(readers, {}, &PendingRecords::Reader::order);
    reader.for_each_change([this](auto... change) { count(change...); });
    Record& record = reader.record();
    if (record.fixed.time == decltype(record.fixed.time){}) {
      record.fixed.time = time_of(reader.order());
    }
    append(record);
    ++changes;
    reader.next();
    if (reader.at_end()) reader = all[--left];
  }
}

void Journal::connection_opened(std::uint64_t connection, const std::string& peer, TimePoint at) {
  impl_->change([&] {
    ConnectionLife& life = impl_->lives[connection % connections_kept];
    if (connection > life.connection) life = {connection, peer, at, std::nullopt};
  });
}

void Journal::connection_closed(std::uint64_t connection, TimePoint at) {
  impl_->change([&] {
    ConnectionLife& life = impl_->lives[connection % connections_kept];
    if (connection == life.connection) life.closed = at;
  });
}

void Journal::Impl::append(const Record& record) {
  const Record::Fixed& fields = record.fixed;
  entries.append(record);
  const bool error = is_error(fields, miss_status);
  add(total, record, error);
  add(totals_of_connection(fields.connection), record, error);
  add(totals_of_bucket(record.bucket()), record, error);
  OperationTotals& operation = by_operation[static_cast<std::size_t>(fields.operation)];
  ++operation.by_status[fields.status];
  operation.served.add(fields.served);
  if (fields.held > Duration::zero()) operation.held.add(fields.held);
}

void Journal::Impl::count(LeaseChange::What what, std::uint64_t connection,
                          std::string_view bucket) {
  add(total, what);
  add(totals_of_connection(connection), what);
  add(totals_of_bucket(bucket), what);
}

JournalTotals& Journal::Impl::totals_of_connection(std::uint64_t connection) {
  ConnectionTotals& slot = by_connection[connection % connections_kept];
  if (connection < slot.connection || connection == 0) return older_connections;
  if (connection > slot.connection) {
    add(older_connections, slot.totals);
    slot = {connection, {}};
  }
  return slot.totals;
}

JournalTotals& Journal::Impl::totals_of_bucket(std::string_view bucket) {
  if (bucket.empty() || bucket.size() > longest_bucket_kept) return other_buckets;
  if (last_bucket != nullptr && last_bucket->first == bucket) return last_bucket->second;
  const std::string name(bucket);
  auto known = by_bucket.find(name);
  if (known == by_bucket.end()) {
    if (by_bucket.size() >= buckets_kept) return other_buckets;
    known = by_bucket.try_emplace(name).first;
  }
  last_bucket = &*known;
  return known->second;
}

// Looks at a bounded number of entries from sequence `from` on; returns the sequence to go on with,
// or 0 at the end.
std::uint64_t Journal::Impl::scan(const JournalFilter& filter, std::uint64_t from, std::size_t most,
                                  std::vector<JournalEntry>& found) {
  JournalEntry entry;
  const auto lock = look();
  std::uint64_t sequence = std::max(from, entries.oldest());
  const std::uint64_t end = std::min(entries.next(), sequence + entries_per_scan);
  for (; sequence < end && found.size() < most; ++sequence) {
    entries.load(sequence, entry);
    if (filter.accepts(entry)) found.push_back(entry);
  }
  return sequence < entries.next() && found.size() < most ? sequence : 0;
}

std::vector<JournalEntry> Journal::entries(const JournalFilter& filter, std::size_t most) const {
  std::vector<JournalEntry> found;
  std::uint64_t next = filter.after_sequence + 1;
  while (next != 0) next = impl_->scan(filter, next, most, found);
  return found;
}

// As scan, backwards from in front of sequence `end`; `found` comes newest first.
std::uint64_t Journal::Impl::scan_back(const JournalFilter& filter, std::uint64_t end,
                                       std::size_t most, std::vector<JournalEntry>& found) {
  JournalEntry entry;
  const auto lock = look();
  std::uint64_t sequence = std::min(end, entries.next());
  const std::uint64_t oldest = std::max(entries.oldest(), filter.after_sequence + 1);
  const std::uint64_t stop = std::max(oldest, sequence - std::min(sequence, entries_per_scan));
  while (sequence > stop && found.size() < most) {
    entries.load(--sequence, entry);
    if (filter.accepts(entry)) found.push_back(entry);
  }
  return sequence > oldest && found.size() < most ? sequence : 0;
}

std::vector<JournalEntry> Journal::newest(const JournalFilter& filter, std::size_t most) const {
  std::vector<JournalEntry> found;
  std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
  while (end != 0) end = impl_->scan_back(filter, end, most, found);
  std::ranges::reverse(found);
  return found;
}

std::optional<JournalHeads> Journal::heads(std::uint64_t sequence) const {
  std::optional<JournalHeads> heads;
  {
    const auto lock = impl_->look();
    const journal::EntryRing& entries = impl_->entries;
    if (sequence < entries.oldest() || sequence >= entries.next()) return std::nullopt;
    heads = entries.load_heads(sequence);
  }
  if (!heads) return std::nullopt;
  return JournalHeads{.request = journal::presentable_head(heads->request),
                      .response = journal::presentable_head(heads->response)};
}

std::uint64_t Journal::last_sequence() const {
  const auto lock = impl_->look();
  return impl_->entries.next() - 1;
}

std::uint64_t Journal::recorded() const {
  const auto lock = impl_->look();
  return impl_->entries.next() - impl_->first;
}

std::uint64_t Journal::dropped() const {
  const auto lock = impl_->look();
  return impl_->entries.oldest() - impl_->first;
}

JournalTotals Journal::totals() const {
  const auto lock = impl_->look();
  return shown(impl_->total);
}

std::map<std::uint64_t, JournalTotals> Journal::totals_by_connection() const {
  const auto lock = impl_->look();
  std::map<std::uint64_t, JournalTotals> all;
  for (const Impl::ConnectionTotals& slot : impl_->by_connection) {
    if (slot.totals != JournalTotals{}) all.emplace(slot.connection, shown(slot.totals));
  }
  if (impl_->older_connections != JournalTotals{}) all.emplace(0, shown(impl_->older_connections));
  return all;
}

std::vector<ConnectionLife> Journal::connections() const {
  const auto lock = impl_->look();
  std::vector<ConnectionLife> all;
  for (const ConnectionLife& life : impl_->lives) {
    if (life.connection != 0) all.push_back(life);
  }
  std::ranges::sort(all, {}, &ConnectionLife::connection);
  return all;
}

std::map<std::string, JournalTotals> Journal::totals_by_bucket() const {
  const auto lock = impl_->look();
  std::map<std::string, JournalTotals> all;
  for (const auto& [bucket, totals] : impl_->by_bucket) all.emplace(bucket, shown(totals));
  if (impl_->other_buckets != JournalTotals{}) all.emplace("", shown(impl_->other_buckets));
  return all;
}

std::map<JournalOperation, OperationTotals> Journal::totals_by_operation() const {
  const auto lock = impl_->look();
  std::map<JournalOperation, OperationTotals> all;
  for (const JournalOperation operation : all_journal_operations) {
    const OperationTotals& totals = impl_->by_operation[static_cast<std::size_t>(operation)];
    if (totals.served.count != 0) all.emplace(operation, totals);
  }
  return all;
}

bool Journal::wait_until(const std::function<bool(const Journal&)>& condition,
                         std::chrono::steady_clock::time_point deadline) const {
  // Known before the condition is tried: what is recorded from now on is taken in and told of.
  struct Waiter {
    explicit Waiter(std::atomic<std::uint64_t>& count) : waiters(count) { ++waiters; }
    ~Waiter() { --waiters; }
    std::atomic<std::uint64_t>& waiters;
  } const waiter(impl_->waiters);
  while (true) {
    auto lock = impl_->look();
    const std::uint64_t seen = impl_->changes;
    lock.unlock();
    if (condition(*this)) return true;
    lock.lock();
    if (!impl_->changed.wait_until(lock, deadline, [&] { return impl_->changes != seen; })) {
      return false;
    }
  }
}

void Journal::observe(std::function<void()> changed) {
  std::unique_lock lock(impl_->observer_mutex);
  impl_->observer = std::move(changed);
  impl_->observed = impl_->observer != nullptr;
}

void Journal::write_json_lines(std::ostream& out, const JournalFilter& filter) const {
  constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();
  std::vector<JournalEntry> found;
  std::uint64_t next = filter.after_sequence + 1;
  while (next != 0 && out) {
    found.clear();
    next = impl_->scan(filter, next, everything, found);
    for (const JournalEntry& entry : found) out << entry_to_json(entry) << '\n';
  }
}

void Journal::clear() {
  impl_->change([this] {
    impl_->take_in();
    impl_->clear();
  });
}

void Journal::Impl::clear() {
  entries.clear();
  first = entries.next();
  by_operation = {};
  total = live_part(total);
  // The number stays: an older connection's leases must not get its place.
  for (ConnectionTotals& slot : by_connection) slot.totals = live_part(slot.totals);
  older_connections = live_part(older_connections);
  for (ConnectionLife& life : lives) {
    if (life.closed) life = {};
  }
  other_buckets = live_part(other_buckets);
  for (auto& [bucket, totals] : by_bucket) totals = live_part(totals);
  last_bucket = nullptr;
  // A bucket whose leases are counted among the others' gets no place of its own meanwhile.
  if (other_buckets.leases_live == 0) {
    std::erase_if(by_bucket, [](const auto& entry) { return entry.second.leases_live == 0; });
  }
}

}  // namespace hyperpod::emulator
