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
#include <utility>

#include "journal/entries.h"
#include "journal/head.h"
#include "journal/lane.h"
#include "journal/totals.h"
#include "text/time.h"

namespace hyperpod::emulator {
namespace {

using journal::AllLanes;
using journal::Chunk;
using journal::HeadRing;
using journal::Lane;

// How long a reader keeps recorders waiting: tens of microseconds.
constexpr std::uint64_t entries_per_scan = 256;

// The two heads of LMCache's requests take 300. So much stays in a processor's cache; more would
// cost every request.
constexpr std::size_t head_bytes_per_entry = 512;
constexpr std::size_t most_head_bytes = 128 * 1024;

template <class T>
bool met(const std::optional<T>& wanted, const T& value) {
  return !wanted || *wanted == value;
}

bool is_error(const JournalEntry& entry, int miss_status) {
  const bool miss = entry.operation == JournalOperation::lease && entry.status == miss_status;
  return entry.status == 0 || (entry.status >= 500 && !miss);
}

Lane& lane_of_this_thread(journal::Lanes& lanes) {
  static std::atomic<std::size_t> threads{0};
  static thread_local const std::size_t number = threads++;
  return lanes[number % lanes.size()];
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
  Impl(std::size_t capacity, int miss) : miss_status(miss) {
    const std::size_t head_bytes =
        std::clamp(capacity * head_bytes_per_entry, HeadRing::least_size, most_head_bytes);
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      lanes[i].number = static_cast<std::uint16_t>(i);
      lanes[i].heads = HeadRing(head_bytes);
    }
    if (capacity > 0) entries.emplace(capacity, lanes);
  }

  /// Calls `visit(lane)` for all lanes, at one moment.
  template <class Visit>
  void for_each_lane(const Visit& visit) {
    const AllLanes locks(lanes);
    for (const Lane& lane : lanes) visit(lane);
  }
  /// How many were ever recorded.
  std::uint64_t recorded() {
    const AllLanes locks(lanes);
    return journal::recorded(lanes);
  }
  /// REQUIRES the lock. As Entries::oldest().
  std::uint64_t oldest() { return entries ? entries->oldest() : recorded() + 1; }
  /// REQUIRES the lock.
  void clear();

  // These take the lock.
  std::uint64_t scan(const JournalFilter& filter, std::uint64_t from, std::size_t most,
                     std::vector<JournalEntry>& found);
  std::uint64_t scan_back(const JournalFilter& filter, std::uint64_t end, std::size_t most,
                          std::vector<JournalEntry>& found);
  std::unique_lock<std::mutex> lock() {
    std::lock_guard waiting(turn);
    return std::unique_lock(mutex);
  }
  /// The lock; all that was recorded before the call has its sequence.
  std::unique_lock<std::mutex> look() {
    auto held = lock();
    std::uint64_t wanted = 0;
    while (entries && !entries->number_some(wanted)) {
      held.unlock();
      held = lock();
    }
    return held;
  }

  /// Makes a change under the lock and tells those who wait for one.
  template <class Change>
  void change(Change&& make) {
    {
      const auto held = lock();
      make();
      ++changes;
    }
    if (waiters > 0) changed.notify_all();
    if (!observed) return;
    std::shared_lock looking(observer_mutex);
    if (observer) observer();
  }
  /// Tells those who wait for a change that a lane has one.
  void tell() {
    if (waiters > 0 || observed) change([] {});
  }

  const int miss_status;
  journal::Lanes lanes;
  journal::BucketNames bucket_names;

  std::atomic<std::uint64_t> waiters{0};  // for changes
  // For observers: not a lock of the entries, so that one may look at the journal.
  std::atomic<bool> observed{false};
  std::shared_mutex observer_mutex;  // guards observer
  std::function<void()> observer;

  // Held by whoever waits for the next: a mutex alone would let one who takes it again and again
  // keep the others out.
  std::mutex turn;
  std::mutex mutex;  // guards all below; taken before that of a lane
  std::condition_variable changed;
  std::uint64_t changes = 0;
  std::optional<journal::Entries> entries;  // none without capacity
  std::uint64_t first = 1;                  // first sequence since the last clear
  // At connection % connections_kept.
  std::vector<ConnectionLife> lives = std::vector<ConnectionLife>(connections_kept);
};

Journal::Journal(std::size_t capacity, int miss_status)
    : impl_(std::make_unique<Impl>(capacity, miss_status)) {}
Journal::~Journal() = default;

void Journal::record(const JournalEntry& entry, std::string_view request_head,
                     std::string_view response_head, std::span<const LeaseChange> changes) {
  Lane& lane = lane_of_this_thread(impl_->lanes);
  const bool error = is_error(entry, impl_->miss_status);
  const std::size_t size = Chunk::size_of(entry);
  const auto append = [&] {
    std::lock_guard lock(lane.mutex);
    if (impl_->entries) {
      if (!lane.chunk || !lane.chunk->has_room(size)) return false;
      // The time under the lane's lock: whoever holds the locks of all lanes finds all that was
      // recorded earlier.
      lane.append(entry, size, lane.heads.append(request_head, response_head));
    }
    ++lane.recorded;
    for (const LeaseChange& change : changes) lane.totals.count(change, impl_->bucket_names);
    lane.totals.count(entry, error, impl_->bucket_names);
    return true;
  };
  while (!append()) {
    const auto lock = impl_->lock();
    impl_->entries->change_chunk(lane, size);
  }
  impl_->tell();
}

void Journal::count(const LeaseChange& change) {
  {
    Lane& lane = lane_of_this_thread(impl_->lanes);
    std::lock_guard lock(lane.mutex);
    lane.totals.count(change, impl_->bucket_names);
  }
  impl_->tell();
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

// Looks at a bounded number of entries from sequence `from` on; returns the sequence to go on with,
// or 0 at the end.
std::uint64_t Journal::Impl::scan(const JournalFilter& filter, std::uint64_t from, std::size_t most,
                                  std::vector<JournalEntry>& found) {
  if (!entries) return 0;
  JournalEntry entry;
  const auto lock = look();
  std::uint64_t sequence = std::max(from, entries->oldest());
  const std::uint64_t end = std::min(entries->next(), sequence + entries_per_scan);
  for (; sequence < end && found.size() < most; ++sequence) {
    entries->load(sequence, entry);
    if (filter.accepts(entry)) found.push_back(entry);
  }
  return sequence < entries->next() && found.size() < most ? sequence : 0;
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
  if (!entries) return 0;
  JournalEntry entry;
  const auto lock = look();
  std::uint64_t sequence = std::min(end, entries->next());
  const std::uint64_t oldest = std::max(entries->oldest(), filter.after_sequence + 1);
  const std::uint64_t stop = std::max(oldest, sequence - std::min(sequence, entries_per_scan));
  while (sequence > stop && found.size() < most) {
    entries->load(--sequence, entry);
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
  if (const auto& entries = impl_->entries) {
    const auto lock = impl_->look();
    if (sequence < entries->oldest() || sequence >= entries->next()) return std::nullopt;
    heads = entries->load_heads(sequence);
  }
  if (!heads) return std::nullopt;
  return JournalHeads{.request = journal::presentable_head(heads->request),
                      .response = journal::presentable_head(heads->response)};
}

std::uint64_t Journal::last_sequence() const { return impl_->recorded(); }

std::uint64_t Journal::recorded() const {
  const auto lock = impl_->lock();
  return impl_->recorded() + 1 - impl_->first;
}

std::uint64_t Journal::dropped() const {
  const auto lock = impl_->look();
  return impl_->oldest() - impl_->first;
}

JournalTotals Journal::totals() const {
  JournalTotals sum;
  impl_->for_each_lane([&](const Lane& lane) { journal::add(sum, lane.totals.all); });
  return journal::shown(sum);
}

std::map<std::uint64_t, JournalTotals> Journal::totals_by_connection() const {
  journal::ConnectionTotals sum;
  impl_->for_each_lane([&](const Lane& lane) { sum.add(lane.totals.by_connection); });
  std::map<std::uint64_t, JournalTotals> all;
  sum.for_each([&](const auto& slot) {
    if (slot.totals != JournalTotals{}) all.emplace(slot.connection, journal::shown(slot.totals));
  });
  if (sum.older() != JournalTotals{}) all.emplace(0, journal::shown(sum.older()));
  return all;
}

std::vector<ConnectionLife> Journal::connections() const {
  const auto lock = impl_->lock();
  std::vector<ConnectionLife> all;
  for (const ConnectionLife& life : impl_->lives) {
    if (life.connection != 0) all.push_back(life);
  }
  std::ranges::sort(all, {}, &ConnectionLife::connection);
  return all;
}

std::map<std::string, JournalTotals> Journal::totals_by_bucket() const {
  journal::BucketTotals sum;
  impl_->for_each_lane([&](const Lane& lane) { sum.add(lane.totals.by_bucket); });
  std::map<std::string, JournalTotals> all;
  for (const auto& [name, totals] : sum.by_name()) all.emplace(name, journal::shown(totals));
  if (sum.others() != JournalTotals{}) all.emplace("", journal::shown(sum.others()));
  return all;
}

std::map<JournalOperation, OperationTotals> Journal::totals_by_operation() const {
  std::map<JournalOperation, OperationTotals> all;
  impl_->for_each_lane([&](const Lane& lane) {
    for (const JournalOperation operation : all_journal_operations) {
      const OperationTotals& more = lane.totals.by_operation[static_cast<std::size_t>(operation)];
      if (more.served.count != 0) journal::add(all[operation], more);
    }
  });
  return all;
}

bool Journal::wait_until(const std::function<bool(const Journal&)>& condition,
                         std::chrono::steady_clock::time_point deadline) const {
  // Known before the condition is tried: what is recorded from now on is told of.
  struct Waiter {
    explicit Waiter(std::atomic<std::uint64_t>& count) : waiters(count) { ++waiters; }
    ~Waiter() { --waiters; }
    std::atomic<std::uint64_t>& waiters;
  } const waiter(impl_->waiters);
  while (true) {
    auto lock = impl_->lock();
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
  impl_->change([this] { impl_->clear(); });
}

void Journal::Impl::clear() {
  for (ConnectionLife& life : lives) {
    if (life.closed) life = {};
  }
  const AllLanes locks(lanes);
  if (entries) entries->clear();
  first = journal::recorded(lanes) + 1;
  std::uint64_t of_others = 0;
  for (Lane& lane : lanes) {
    lane.totals.clear();
    of_others += lane.totals.by_bucket.others().leases_live;
  }
  // A bucket whose leases are counted among the others' gets no place of its own meanwhile.
  if (of_others != 0) return;
  journal::BucketTotals buckets;
  for (const Lane& lane : lanes) buckets.add(lane.totals.by_bucket);
  const auto unwanted = [&](const std::string& name) {
    const auto found = buckets.by_name().find(name);
    return found == buckets.by_name().end() || found->second.leases_live == 0;
  };
  for (Lane& lane : lanes) lane.totals.by_bucket.forget(unwanted);
  bucket_names.forget(unwanted);
}

}  // namespace hyperpod::emulator
