// SPDX-License-Identifier: Apache-2.0
#include "journal/totals.h"

#include <algorithm>
#include <functional>

namespace hyperpod::emulator::journal {
namespace {

void count_entry(JournalTotals& totals, const JournalEntry& entry, bool error) {
  ++totals.requests;
  totals.puts += entry.operation == JournalOperation::put;
  totals.releases += entry.operation == JournalOperation::release;
  totals.leases += entry.operation == JournalOperation::lease;
  totals.errors += error;
  totals.faults += !entry.fault.empty();
  totals.bytes_in += entry.bytes_in;
  totals.bytes_out += entry.bytes_out;
  totals.peak_in_flight = std::max(totals.peak_in_flight, entry.in_flight);
}

void count_change(JournalTotals& totals, LeaseChange::What what) {
  using enum LeaseChange::What;
  totals.leases_granted += what == granted;
  totals.leases_released += what == released;
  totals.leases_expired += what == expired;
  totals.leases_dropped += what == dropped;
  totals.leases_abandoned += what == abandoned;
  totals.leases_live += what == granted;
  totals.leases_live -= what == released || what == expired || what == dropped;
}

void add(Histogram& histogram, const Histogram& more) {
  std::ranges::transform(histogram.counts, more.counts, histogram.counts.begin(), std::plus());
  histogram.count += more.count;
  histogram.sum += more.sum;
}

}  // namespace

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

void add(OperationTotals& totals, const OperationTotals& more) {
  for (const auto& [status, count] : more.by_status) totals.by_status[status] += count;
  add(totals.served, more.served);
  add(totals.held, more.held);
}

JournalTotals live_part(const JournalTotals& totals) { return {.leases_live = totals.leases_live}; }

JournalTotals shown(JournalTotals totals) {
  if (static_cast<std::int64_t>(totals.leases_live) < 0) totals.leases_live = 0;
  return totals;
}

JournalTotals& ConnectionTotals::of(std::uint64_t connection) {
  const std::size_t place = connection % Journal::connections_kept;
  auto& page = pages_[place / page_size];
  if (!page) page = std::make_unique<Page>();
  Slot& slot = (*page)[place % page_size];
  if (connection < slot.connection || connection == 0) return older_;
  if (connection > slot.connection) {
    journal::add(older_, slot.totals);
    slot = {connection, {}};
  }
  return slot.totals;
}

void ConnectionTotals::add(const ConnectionTotals& more) {
  more.for_each([this](const Slot& slot) { journal::add(of(slot.connection), slot.totals); });
  journal::add(older_, more.older_);
}

void ConnectionTotals::clear() {
  // The numbers stay: an older connection's leases must not get their places.
  for (const auto& page : pages_) {
    if (!page) continue;
    for (Slot& slot : *page) slot.totals = live_part(slot.totals);
  }
  older_ = live_part(older_);
}

bool BucketNames::has_or_takes(std::string_view name) {
  std::lock_guard lock(mutex_);
  if (names_.contains(name)) return true;
  if (names_.size() >= Journal::buckets_kept) return false;
  names_.emplace(name);
  return true;
}

JournalTotals& BucketTotals::of(std::string_view name, BucketNames& names) {
  if (name.empty() || name.size() > Journal::longest_bucket_kept) return others_;
  if (last_ != nullptr && last_->first == name) return last_->second;
  auto known = by_name_.find(name);
  if (known == by_name_.end()) {
    if (!names.has_or_takes(name)) return others_;
    known = by_name_.try_emplace(std::string(name)).first;
  }
  last_ = &*known;
  return known->second;
}

void BucketTotals::add(const BucketTotals& more) {
  for (const auto& [name, totals] : more.by_name_) journal::add(by_name_[name], totals);
  journal::add(others_, more.others_);
}

void BucketTotals::clear() {
  for (auto& [name, totals] : by_name_) totals = live_part(totals);
  others_ = live_part(others_);
}

void Totals::count(const JournalEntry& entry, bool error, BucketNames& names) {
  count_entry(all, entry, error);
  count_entry(by_connection.of(entry.connection), entry, error);
  count_entry(by_bucket.of(entry.bucket, names), entry, error);
  OperationTotals& operation = by_operation[static_cast<std::size_t>(entry.operation)];
  ++operation.by_status[entry.status];
  operation.served.add(entry.served);
  if (entry.held > Duration::zero()) operation.held.add(entry.held);
}

void Totals::count(const LeaseChange& change, BucketNames& names) {
  count_change(all, change.what);
  count_change(by_connection.of(change.connection), change.what);
  count_change(by_bucket.of(change.bucket, names), change.what);
}

void Totals::clear() {
  all = live_part(all);
  by_operation = {};
  by_connection.clear();
  by_bucket.clear();
}

}  // namespace hyperpod::emulator::journal
