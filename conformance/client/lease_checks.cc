// SPDX-License-Identifier: Apache-2.0
// Leases: that each is released, once, by its own id, and that none is used that cannot be.
#include <functional>
#include <map>

#include "client/other_segment.h"
#include "client/suite.h"
#include "proxy/mutating_proxy.h"

namespace hyperpod::conformance::client {
namespace {
namespace lease {

using namespace std::chrono_literals;
using emulator::FaultOperation;
using emulator::GrantDefect;
using emulator::JournalOperation;

constexpr std::uint64_t size = 4096;

Json parameters(const Check& check) {
  return {{"timeout_ms", check.span(400ms).count()},
          {"lease_wait_timeout_ms", check.span(200ms).count()}};
}

emulator::Fault on_lease_of(const std::string& key, const emulator::Effects& effects) {
  return {.match = {.operation = FaultOperation::lease, .key = key}, .script = {effects}};
}

emulator::Effects granting(GrantDefect defect) {
  emulator::Effects effects;
  effects.grant_defect = defect;
  return effects;
}

/// A lease on bytes that cannot be read, as another segment stands under the name.
void expect_released_when_not_copied(Check& check) {
  TestDaemon& daemon = check.daemon();
  TestDaemon& next = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 2, size);
  daemon.begin();
  OtherSegment other(daemon, next);
  ClientProcess client = check.client_at(other.url(), daemon.shm_name(), parameters(check));
  check.expect_hit(client.get(keys[0], size), 0, size, "a get before the segment is replaced");
  other.replace_at_next_grant();
  (void)client.get(keys[1], size);
  (void)daemon.reaches([&] { return daemon.statistics().live_leases == 0; }, check.span(2s));
  check.expect(daemon.statistics().live_leases == 0,
               "the release of a lease that was granted as the segment was replaced",
               "the lease is live");
}

void all_are_released(Check& check) {
  TestDaemon& daemon = check.daemon();
  // Time enough for a client that sends one request after the other, those that are held as well.
  Json patient = parameters(check);
  patient["timeout_ms"] = check.span(10s).count();
  ClientProcess client = check.client(daemon, patient);
  const auto keys = check.store_many(daemon, client.bucket(), 12, size);
  const auto bad = check.store_many(daemon, client.bucket(), 4, size);
  daemon.begin();
  daemon.add_fault(on_lease_of(bad[0], granting(GrantDefect::out_of_range_offset)));
  daemon.add_fault(on_lease_of(bad[1], granting(GrantDefect::negative_offset)));
  emulator::Effects refused;
  refused.ending = emulator::RespondWith{.status = 503};
  daemon.add_fault(on_lease_of(bad[2], refused));
  std::vector<Json> operations;
  for (int round = 0; round < 3; ++round) {
    for (const std::string& key : keys) operations.push_back(get_command(key, size));
    for (const std::string& key : bad) operations.push_back(get_command(key, size));
    operations.push_back(get_command(check.fresh_key(), size));
    operations.push_back(put_command(check.fresh_key(), size, 1));
    if (check.target().facts.operations.contains("exists"))
      operations.push_back(exists_command(keys[0]));
  }
  for (std::size_t i = 0; i < 4; ++i) {
    check.expect_hit(client.get(keys[i], size), i, size, "a get by itself");
    (void)client.get(bad[i], size);
  }
  if (check.target().facts.operations.contains("exists")) (void)client.exists(keys[1]);
  (void)client.concurrent(operations);
  client.close();
  check.expect_all_released(daemon);
  expect_released_when_not_copied(check);
}

void each_once_by_its_id(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, parameters(check));
  const auto keys = check.store_many(daemon, client.bucket(), 10, size);
  daemon.begin();
  std::vector<Json> operations;
  for (int round = 0; round < 4; ++round) {
    for (const std::string& key : keys) operations.push_back(get_command(key, size));
  }
  (void)client.concurrent(operations);
  client.close();
  std::map<std::string, int> balance;
  for (const auto& entry : daemon.requests(JournalOperation::lease)) {
    if (entry.status == 200) ++balance[entry.lease_id];
  }
  const std::size_t granted = balance.size();
  check.expect(granted == operations.size(), std::to_string(operations.size()) + " leases granted",
               std::to_string(granted));
  for (const auto& entry : daemon.requests(JournalOperation::release)) {
    check.expect(balance.contains(entry.lease_id), "releases of ids that were granted",
                 "a release of " + entry.lease_id);
    check.expect(--balance[entry.lease_id] == 0, "one release of each lease",
                 "another of " + entry.lease_id);
  }
  for (const auto& [id, left] : balance)
    check.expect(left == 0, "a release of each lease", "none of " + id);
}

void only_the_protocols_requests(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, parameters(check));
  const auto keys = check.store_many(daemon, client.bucket(), 2, size);
  daemon.begin();
  check.expect_hit(client.get(keys[0], size), 0, size, "a get");
  (void)client.put(check.fresh_key(), size, 1);
  (void)client.get(check.fresh_key(), size);
  if (check.target().facts.operations.contains("exists")) (void)client.exists(keys[1]);
  client.close();
  for (const auto operation : {JournalOperation::other, JournalOperation::unreadable}) {
    const auto others = daemon.requests(operation);
    check.expect(others.empty(), "puts, leases and releases only",
                 std::to_string(others.size()) + " requests that the daemon does not have");
  }
  check.expect(!daemon.requests(JournalOperation::release).empty(), "a release", "none");
}

void unusable_is_released(Check& check) {
  static constexpr std::array<std::pair<GrantDefect, std::string_view>, 3> defects{{
      {GrantDefect::negative_offset, "a negative offset"},
      {GrantDefect::out_of_range_offset, "an offset beyond the segment"},
      {GrantDefect::zero_length_fragment, "an empty fragment"},
  }};
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, parameters(check));
  const auto keys = check.store_many(daemon, client.bucket(), defects.size(), size);
  daemon.begin();
  for (std::size_t i = 0; i < defects.size(); ++i) {
    daemon.add_fault(on_lease_of(keys[i], granting(defects[i].first)));
    const ClientOutcome outcome = client.get(keys[i], size);
    check.expect(!outcome.is_hit(),
                 "a miss or an error of a lease with " + std::string(defects[i].second),
                 outcome.described());
  }
  check.expect_all_released(daemon);
}

void oversized_is_released(Check& check) {
  check.needs_parameter("max_lease_size_mb");
  TestDaemon& daemon = check.daemon();
  Json limited = parameters(check);
  limited["max_lease_size_mb"] = 1;
  ClientProcess client = check.client(daemon, limited);
  constexpr std::uint64_t large = 2 << 20;
  const auto small = check.store_many(daemon, client.bucket(), 1, size);
  const auto keys = check.store_many(daemon, client.bucket(), 1, large);
  daemon.begin();
  const ClientOutcome outcome = client.get(keys[0], large);
  check.expect(!outcome.is_hit(), "a miss or an error for 2 MiB where 1 MiB is the limit",
               outcome.described());
  check.expect_hit(client.get(small[0], size), 0, size, "a smaller object");
  check.expect_all_released(daemon);
}

void no_hit_from_nonsense(Check& check) {
  static constexpr std::array<std::pair<GrantDefect, std::string_view>, 5> defects{{
      {GrantDefect::truncated_json, "that is cut short"},
      {GrantDefect::wrong_content_type, "of another content type"},
      {GrantDefect::missing_id, "without id"},
      {GrantDefect::missing_offsets, "without offsets"},
      {GrantDefect::out_of_range_offset, "with an offset beyond the segment"},
  }};
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, parameters(check));
  const auto keys = check.store_many(daemon, client.bucket(), defects.size() + 1, size);
  daemon.begin();
  for (std::size_t i = 0; i < defects.size(); ++i) {
    daemon.add_fault(on_lease_of(keys[i], granting(defects[i].first)));
    const ClientOutcome outcome = client.get(keys[i], size);
    check.expect(!outcome.is_hit(),
                 "a miss or an error of a lease answer " + std::string(defects[i].second),
                 outcome.described());
  }
  check.expect_hit(client.get(keys.back(), size), defects.size(), size, "a get after all that");
}

/// A daemon whose ids are of other characters than those of the real one: the proxy gives ids such
/// as "a/b 7%", and knows which lease each stands for.
void ids_are_encoded(Check& check) {
  struct Seen {
    std::mutex mutex;
    std::vector<std::string> releases;
  };
  const auto seen = std::make_shared<Seen>();
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 1, size);
  daemon.begin();
  Mutation odd_ids;
  odd_ids.response = [](const ReceivedRequest& asked, ResponseMessage& response) {
    if (!asked.head.is_acquire() || response.status != 200) return;
    auto grant = Json::parse(response.body);
    grant["id"] = "a/b 7%?#" + grant["id"].get<std::string>();
    response.body = grant.dump();
  };
  odd_ids.request = [seen](RequestHead& head,
                           const ReceivedRequest&) -> std::optional<ResponseMessage> {
    constexpr std::string_view begin = "/v1/leases/";
    if (head.method != "POST" || !head.target.starts_with(begin)) return std::nullopt;
    const std::lock_guard lock(seen->mutex);
    seen->releases.push_back(head.target);
    constexpr std::string_view encoded = "/v1/leases/a%2Fb%207%25%3F%23";
    if (head.target.starts_with(encoded))
      head.target = std::string(begin) + head.target.substr(encoded.size());
    return std::nullopt;
  };
  MutatingProxy proxy(daemon.emulator().port(), odd_ids);
  ClientProcess client = check.client_at("http://127.0.0.1:" + std::to_string(proxy.port()),
                                         daemon.shm_name(), parameters(check));
  check.expect_hit(client.get(keys[0], size), 0, size, "a get");
  (void)daemon.reaches([&] { return daemon.statistics().live_leases == 0; }, check.span(2s));
  const std::lock_guard lock(seen->mutex);
  check.expect(daemon.statistics().live_leases == 0,
               "the lease a/b 7%?#… released as /v1/leases/a%2Fb%207%25%3F%23…/release",
               seen->releases.empty() ? "no release" : seen->releases.front());
}

/// What a proxy makes of every grant on the way to the client.
void expect_refused_and_released(Check& check, const std::string& what,
                                 const std::function<void(Json&)>& change) {
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 2, size);
  daemon.begin();
  Mutation mutation;
  mutation.response = [change, key = keys[0]](const ReceivedRequest& request,
                                              ResponseMessage& response) {
    if (!request.head.is_acquire() || response.status != 200) return;
    if (request.head.object().find(key) == std::string::npos) return;
    Json grant = Json::parse(response.body);
    change(grant);
    response.body = grant.dump();
  };
  MutatingProxy proxy(daemon.emulator().port(), mutation);
  ClientProcess client = check.client_at("http://127.0.0.1:" + std::to_string(proxy.port()),
                                         daemon.shm_name(), parameters(check));
  const ClientOutcome outcome = client.get(keys[0], size);
  check.expect(!outcome.is_hit(), "a miss or an error of a lease with " + what,
               outcome.described());
  check.expect_hit(client.get(keys[1], size), 1, size, "a get after a lease with " + what);
  (void)daemon.reaches([&] { return daemon.statistics().live_leases == 0; }, check.span(2s));
  check.expect(daemon.statistics().live_leases == 0, "the release of a lease with " + what,
               "the lease is live");
}

void absurd_grants_are_released(Check& check) {
  expect_refused_and_released(check, "fragments that overlap", [](Json& grant) {
    Json& offsets = grant["offsets"];
    offsets.push_back(offsets[0]);
  });
  const std::uint64_t segment = emulator::Options::for_test().capacity;
  expect_refused_and_released(check, "fragments longer than the segment together",
                              [&](Json& grant) {
                                grant["offsets"] = Json::array();
                                for (int i = 0; i < 5; ++i)
                                  grant["offsets"].push_back({{"offset", 0}, {"len", segment / 4}});
                              });
  expect_refused_and_released(check, "a fragment of an exabyte", [](Json& grant) {
    grant["offsets"][0]["len"] = std::uint64_t{1} << 60;
  });
  expect_refused_and_released(check, "lengths whose sum wraps around", [](Json& grant) {
    const std::uint64_t half = std::uint64_t{1} << 63;
    grant["offsets"] = Json::array({{{"offset", 0}, {"len", half}},
                                    {{"offset", 0}, {"len", half}},
                                    {{"offset", 0}, {"len", size}}});
  });
}

void grants_without_offsets_are_released(Check& check) {
  expect_refused_and_released(check, "no offsets", [](Json& grant) { grant.erase("offsets"); });
  expect_refused_and_released(check, "offsets of null",
                              [](Json& grant) { grant["offsets"] = nullptr; });
  expect_refused_and_released(check, "an empty array of offsets",
                              [](Json& grant) { grant["offsets"] = Json::array(); });
  expect_refused_and_released(check, "offsets that are strings", [](Json& grant) {
    grant["offsets"] = Json::array({{{"offset", "0"}, {"len", "4096"}}});
  });
}

void misses_are_no_errors(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, parameters(check));
  daemon.begin();
  for (const int status : {404, 504}) {
    emulator::Effects miss;
    miss.ending = emulator::RespondWith{.status = status};
    const std::string key = check.fresh_key();
    daemon.add_fault(on_lease_of(key, miss));
    const ClientOutcome outcome = client.get(key, size);
    check.expect(outcome.outcome == "miss", "a miss upon " + std::to_string(status),
                 outcome.described());
  }
  // A client that waits no longer than the daemon may hold is C-TIME-08's to judge, so that this
  // one comes well before that.
  emulator::Effects late;
  late.delay = emulator::Delay{.low = check.span(80ms)};
  late.ending = emulator::RespondWith{.status = 504};
  const std::string key = check.fresh_key();
  daemon.add_fault(on_lease_of(key, late));
  const ClientOutcome held = client.get(key, size);
  check.expect(held.outcome == "miss", "a miss upon a 504 after a while", held.described());
}

}  // namespace lease
}  // namespace

std::span<const CheckEntry> client_lease_checks() {
  using namespace lease;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-LEASE-01", core, parallel, all_are_released},
      {"C-LEASE-02", core, parallel, each_once_by_its_id},
      {"C-LEASE-03", core, parallel, only_the_protocols_requests},
      {"C-LEASE-04", core, parallel, unusable_is_released},
      {"C-LEASE-05", core, parallel, oversized_is_released},
      {"C-LEASE-06", core, parallel, no_hit_from_nonsense},
      {"C-LEASE-07", core, parallel, ids_are_encoded},
      {"C-LEASE-08", core, parallel, misses_are_no_errors},
      {"C-LEASE-09", core, parallel, absurd_grants_are_released},
      {"C-LEASE-10", core, parallel, grants_without_offsets_are_released},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
