// SPDX-License-Identifier: Apache-2.0
#include "admin/views.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <utility>

namespace hyperpod::emulator::admin {
namespace {

using admin::view;  // beside the overloads that only this file needs

using enum Kind;

using S = Statistics;
constexpr std::array<Figure<S>, 33> of_statistics{{
    {"objects", &S::objects, gauge, "Objects stored"},
    {"buckets", &S::buckets, gauge, "Buckets that hold an object"},
    {"live_leases", &S::live_leases, gauge, "Leases granted and not ended"},
    {"waiters", &S::waiters, gauge, "Lease requests held because their key is absent"},
    {"puts_in_flight", &S::puts_in_flight, gauge, "PUTs that have begun and not ended"},
    {"capacity_bytes", &S::capacity_bytes, gauge, "Size of the segment"},
    {"used_bytes", &S::used_bytes, gauge, "Blocks held by objects, shards and PUTs in flight"},
    {"pinned_bytes", &S::pinned_bytes, gauge, "Blocks of objects under a live lease"},
    {"evictable_bytes", &S::evictable_bytes, gauge, "Blocks of objects that no lease pins"},
    {"namespaces", &S::namespaces, gauge, "Namespaces of checkpoints"},
    {"shards", &S::shards, gauge, "Shards of checkpoints stored"},
    {"shard_bytes", &S::shard_bytes, gauge, "Bytes of the shards stored"},
    {"puts_stored", &S::puts_stored, counter, "PUTs that stored their body"},
    {"puts_existing", &S::puts_existing, counter, "PUTs of a key that was there already"},
    {"puts_refused", &S::puts_refused, counter, "PUTs without room, too large or empty"},
    {"puts_aborted", &S::puts_aborted, counter, "PUTs cut short by their sender"},
    {"leases_granted", &S::leases_granted, counter, "Leases granted"},
    {"leases_released", &S::leases_released, counter, "Leases ended by a release"},
    {"leases_expired", &S::leases_expired, counter, "Leases ended by their TTL"},
    {"leases_dropped", &S::leases_dropped, counter, "Leases ended by a fault or a reset"},
    {"leases_abandoned", &S::leases_abandoned, counter,
     "Leases whose grant never reached the peer, which had gone"},
    {"lease_misses", &S::lease_misses, counter, "Lease requests whose key stayed absent"},
    {"waiters_dropped", &S::waiters_dropped, counter,
     "Held lease requests whose connection went away"},
    {"releases_unknown", &S::releases_unknown, counter, "Releases of an id without a live lease"},
    {"evictions", &S::evictions, counter, "Objects that made room for others"},
    {"shards_stored", &S::shards_stored, counter, "Shards of checkpoints that were stored"},
    {"shards_retired", &S::shards_retired, counter,
     "Shards that went because newer steps are complete"},
    {"segment_losses", &S::segment_losses, counter,
     "Times the segment has lost its name or was truncated"},
    {"requests", &S::requests, counter, "Requests answered by the data port"},
    {"requests_rejected", &S::requests_rejected, counter, "Requests that were not understood"},
    {"open_connections", &S::open_connections, gauge, "Connections open on the data port"},
    {"peak_connections", &S::peak_connections, gauge, "Most connections open at once"},
    {"accepted_connections", &S::accepted_connections, counter, "Connections accepted"},
}};

using T = JournalTotals;
constexpr std::array<Figure<T>, 15> of_totals{{
    {"requests", &T::requests, counter, "Requests that ended"},
    {"puts", &T::puts, counter, "PUTs"},
    {"leases", &T::leases, counter, "Lease requests"},
    {"leases_granted", &T::leases_granted, counter, "Leases granted"},
    {"leases_released", &T::leases_released, counter, "Leases ended by a release"},
    {"leases_expired", &T::leases_expired, counter, "Leases ended by their TTL"},
    {"leases_dropped", &T::leases_dropped, counter, "Leases ended by a fault or a reset"},
    {"leases_live", &T::leases_live, gauge, "Leases granted and not ended"},
    {"leases_abandoned", &T::leases_abandoned, counter,
     "Leases whose grant never reached the peer, which had gone"},
    {"releases", &T::releases, counter, "Release requests"},
    {"errors", &T::errors, counter, "Requests answered with 500 or above, misses aside, or not"},
    {"faults", &T::faults, counter, "Requests that a fault hit"},
    {"bytes_in", &T::bytes_in, counter, "Bytes of bodies received"},
    {"bytes_out", &T::bytes_out, counter, "Bytes of answers sent, heads included"},
    {"peak_in_flight", &T::peak_in_flight, gauge,
     "Most requests under way at once; who is served in one go counts for itself alone"},
}};

template <class Struct>
Json view_of(std::span<const Figure<Struct>> figures, const Struct& counted) {
  Json json = Json::object();
  for (const auto& figure : figures) json[figure.name] = counted.*figure.member;
  return json;
}

std::int64_t whole_ms(Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
}

std::string_view name_of(BlockRun::Owner owner) {
  switch (owner) {
    case BlockRun::Owner::free:
      return "free";
    case BlockRun::Owner::object:
      return "object";
    case BlockRun::Owner::put:
      return "put";
    case BlockRun::Owner::checkpoint:
      break;
  }
  return "checkpoint";
}

Json view(const JournalTotals& totals) { return view_of(totals_figures(), totals); }

Json with_totals(Json json, const JournalTotals& totals) {
  json.update(view(totals));
  return json;
}

}  // namespace

std::span<const Figure<Statistics>> statistics_figures() { return of_statistics; }
std::span<const Figure<JournalTotals>> totals_figures() { return of_totals; }

Json view(const Statistics& statistics) { return view_of(statistics_figures(), statistics); }

Json view(const ObjectState& object) {
  Json fragments = Json::array();
  for (const auto& fragment : object.fragments) {
    fragments.push_back({{"offset", fragment.offset}, {"length", fragment.length}});
  }
  return {{"bucket", object.bucket}, {"key", object.key},   {"bytes", object.bytes},
          {"fragments", fragments},  {"pins", object.pins}, {"last_use", object.last_use}};
}

Json view(const LeaseState& lease) {
  return {{"id", lease.id},
          {"bucket", lease.bucket},
          {"key", lease.key},
          {"time_left_ms", whole_ms(lease.time_left)}};
}

Json view(const WaiterState& waiter) {
  return {
      {"bucket", waiter.bucket}, {"key", waiter.key}, {"time_left_ms", whole_ms(waiter.time_left)}};
}

Json view(const BlockRun& run) {
  return {{"first_block", run.first_block},
          {"blocks", run.blocks},
          {"owner", name_of(run.owner)},
          {"bucket", run.bucket},
          {"key", run.key}};
}

Json view(const NamespaceState& state) {
  return {{"name", state.name},
          {"num_ranks", state.num_ranks},
          {"steps_retained", state.steps_retained},
          {"bytes", state.bytes},
          {"complete_steps", state.complete_steps},
          {"incomplete_steps", state.incomplete_steps}};
}

Json view(const SegmentState& segment) {
  return {{"name", segment.name},     {"size", segment.size},
          {"inode", segment.inode},   {"mode", fmt::format("{:04o}", segment.mode)},
          {"linked", segment.linked}, {"intact", segment.intact}};
}

Json view_of_totals(const Journal& journal) {
  Json operations = Json::array();
  for (const auto& [operation, totals] : journal.totals_by_operation()) {
    Json statuses = Json::array();
    for (const auto& [status, count] : totals.by_status) {
      statuses.push_back({{"status", status}, {"requests", count}});
    }
    operations.push_back({{"operation", name_of(operation)},
                          {"requests", totals.served.count},
                          {"held", totals.held.count},
                          {"by_status", statuses}});
  }
  Json connections = Json::array();
  for (const auto& [connection, totals] : journal.totals_by_connection()) {
    connections.push_back(with_totals({{"connection", connection}}, totals));
  }
  Json buckets = Json::array();
  for (const auto& [bucket, totals] : journal.totals_by_bucket()) {
    buckets.push_back(with_totals({{"bucket", bucket}}, totals));
  }
  return {{"recorded", journal.recorded()}, {"dropped", journal.dropped()},
          {"all", view(journal.totals())},  {"by_operation", operations},
          {"by_connection", connections},   {"by_bucket", buckets}};
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace hyperpod::emulator::admin
