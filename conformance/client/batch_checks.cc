// SPDX-License-Identifier: Apache-2.0
// Batches: that one key's failure is its own.
#include <algorithm>

#include "client/suite.h"

namespace hyperpod::conformance::client {
namespace {
namespace batch {

using namespace std::chrono_literals;
using emulator::FaultOperation;

constexpr std::uint64_t size = 4096;

Json hurried(const Check& check) {
  return {{"timeout_ms", check.span(500ms).count()},
          {"lease_wait_timeout_ms", check.span(300ms).count()}};
}

void expect_leases_of_a_batch_released(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon);
  const auto keys = check.store_many(daemon, client.bucket(), 5, size);
  daemon.begin();
  Json items = Json::array();
  for (const std::string& key : keys) items.push_back({{"key", key}, {"size", size}});
  client.send({{"op", "batch_get"}, {"items", items}});
  const auto outcomes = client.receive_outcomes();
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    check.expect_hit(outcomes[i], i, size, "key " + std::to_string(i) + " of a batch");
  client.close();
  check.expect_all_released(daemon);
}

void gets_spoil_no_others(Check& check) {
  check.needs_operation("batch_get");
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  auto keys = check.store_many(daemon, client.bucket(), 9, size);
  const std::string absent = check.fresh_key();
  daemon.begin();
  emulator::Effects malformed;
  malformed.grant_defect = emulator::GrantDefect::truncated_json;
  emulator::Effects refused;
  refused.ending = emulator::RespondWith{.status = 503};
  daemon.add_fault(
      {.match = {.operation = FaultOperation::lease, .key = keys[3]}, .script = {malformed}});
  daemon.add_fault(
      {.match = {.operation = FaultOperation::lease, .key = keys[6]}, .script = {refused}});
  Json items = Json::array();
  for (const std::string& key : keys) items.push_back({{"key", key}, {"size", size}});
  items.insert(items.begin() + 5, Json{{"key", absent}, {"size", size}});
  client.send({{"op", "batch_get"}, {"items", items}});
  const auto outcomes = client.receive_outcomes();
  check.expect(outcomes.size() == items.size(), "a result for each of 10 keys",
               std::to_string(outcomes.size()));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (i == 3 || i == 5 || i == 7) {
      check.expect(!outcomes[i].is_hit(), "no hit of a key that is absent or fails",
                   outcomes[i].described());
    } else {
      check.expect_hit(outcomes[i], i < 5 ? i : i - 1, size, "key " + std::to_string(i));
    }
  }
  expect_leases_of_a_batch_released(check);
}

void puts_spoil_no_others(Check& check) {
  check.needs_operation("batch_put");
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  daemon.begin();
  std::vector<std::string> keys;
  Json items = Json::array();
  for (std::size_t i = 0; i < 8; ++i) {
    keys.push_back(check.fresh_key());
    items.push_back({{"key", keys[i]}, {"size", size}, {"seed", i}});
  }
  emulator::Effects refused;
  refused.ending = emulator::RespondWith{.status = 507};
  daemon.add_fault(
      {.match = {.operation = FaultOperation::put, .key = keys[2]}, .script = {refused}});
  client.send({{"op", "batch_put"}, {"items", items}});
  const auto outcomes = client.receive_outcomes();
  check.expect(outcomes.size() == keys.size(), "a result for each of 8 keys",
               std::to_string(outcomes.size()));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    check.expect(i == 2 ? !outcomes[i].is_stored() : outcomes[i].may_be_stored(),
                 "all stored except key 2, which was refused",
                 "key " + std::to_string(i) + ": " + outcomes[i].described());
    if (i != 2) check.expect_hit(client.get(keys[i], size), i, size, "what the batch stored");
  }
}

/// Of more keys than requests may be in flight: a look-up that takes a place for each key before it
/// asks for the first never gets them all.
void expect_long_prefix_counted(Check& check) {
  constexpr std::size_t count = 6;
  TestDaemon& daemon = check.daemon();
  Json parameters = hurried(check);
  parameters["max_concurrent_requests"] = 2;
  ClientProcess client = check.client(daemon, parameters);
  const auto keys = check.store_many(daemon, client.bucket(), count, size);
  const Json response = client.ask({{"op", "batch_contains"}, {"keys", keys}});
  check.expect(member<std::size_t>(response, "hits") == count,
               "a prefix of 6 keys where 2 requests may be in flight", response.dump());
}

void prefix_is_counted(Check& check) {
  check.needs_operation("batch_contains");
  expect_long_prefix_counted(check);
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 5, size);
  const std::string absent = check.fresh_key();
  const auto hits = [&](const std::vector<std::string>& asked) {
    const Json response = client.ask({{"op", "batch_contains"}, {"keys", asked}});
    return member<std::size_t>(response, "hits");
  };
  const std::vector<std::pair<std::vector<std::string>, std::size_t>> cases{
      {{keys[0], keys[1], absent, keys[2]}, 2}, {{absent, keys[0]}, 0}, {keys, 5}, {{keys[3]}, 1}};
  for (const auto& [asked, expected] : cases) {
    const std::size_t found = hits(asked);
    check.expect(found == expected,
                 "a prefix of " + std::to_string(expected) + " among " +
                     std::to_string(asked.size()) + " keys",
                 std::to_string(found));
  }
  emulator::Effects failing;
  failing.ending = emulator::RespondWith{.status = 500};
  daemon.add_fault(
      {.match = {.operation = FaultOperation::lease, .key = keys[1]}, .script = {failing}});
  const std::size_t found = hits({keys[0], keys[1], keys[2]});
  check.expect(found == 1, "a prefix of 1 among 3 keys of which the second fails",
               std::to_string(found));
  check.expect_all_released(daemon);
}

/// One round trip takes 20 ms longer here: one after the other the look-ups would take 5 s longer.
void look_up_is_not_serial(Check& check) {
  check.needs_operation("batch_contains");
  constexpr int count = 256;
  constexpr auto round_trip = 20ms;
  constexpr Duration limit = count * round_trip / 2;
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, {{"timeout_ms", check.span(20s).count()}});
  const auto keys = check.store_many(daemon, client.bucket(), count, 64);
  daemon.begin();
  const auto look_up = [&] {
    const TimePoint begun = now();
    const Json response = client.ask({{"op", "batch_contains"}, {"keys", keys}});
    check.expect(member<std::size_t>(response, "hits") == count, "all of 256 keys found",
                 response.dump());
    return now() - begun;
  };
  // What the client itself takes, on this machine. One that is busy otherwise may disturb some.
  constexpr int tries = 3;
  const Duration own = std::max(look_up(), look_up());
  emulator::Effects slow;
  slow.delay = emulator::Delay{.low = round_trip};
  daemon.add_fault({.match = {.operation = FaultOperation::lease}, .script = {slow}});
  Duration longer = look_up() - own;
  for (int i = 1; i < tries && longer >= limit; ++i) longer = std::min(longer, look_up() - own);
  check.figure("a look-up of 256 keys", in_ms(own));
  check.figure("the same where each round trip takes 20 ms more, longer by", in_ms(longer));
  check.expect(longer < limit,
               "a look-up of 256 keys longer by less than " + in_ms(limit) +
                   " where each round trip takes 20 ms more",
               in_ms(longer));
}

}  // namespace batch
}  // namespace

std::span<const CheckEntry> batch_checks() {
  using namespace batch;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-BATCH-01", core, parallel, gets_spoil_no_others},
      {"C-BATCH-02", core, parallel, puts_spoil_no_others},
      {"C-BATCH-03", core, parallel, prefix_is_counted},
      {"C-BATCH-04", core, parallel, look_up_is_not_serial},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
