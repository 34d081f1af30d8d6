// SPDX-License-Identifier: Apache-2.0
// Breaker and recovery: what keeps a client from the daemon, for how long, and what it says it has
// stored meanwhile.
#include <thread>

#include "client/suite.h"

namespace hyperpod::conformance::client {
namespace {
namespace recovery {

using namespace std::chrono_literals;
using emulator::FaultOperation;
using emulator::JournalOperation;

constexpr std::uint64_t size = 4096;

Json hurried(const Check& check) {
  return {{"timeout_ms", check.span(300ms).count()},
          {"lease_wait_timeout_ms", check.span(100ms).count()}};
}

void misses_open_nothing(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 2, size);
  daemon.begin();
  emulator::Effects miss;
  miss.ending = emulator::RespondWith{.status = 404};
  daemon.add_fault(
      {.match = {.operation = FaultOperation::lease, .key = "absent-404-*"}, .script = {miss}});
  for (int i = 0; i < 6; ++i) {
    (void)client.get("absent-404-" + std::to_string(i), size);
    (void)client.get(check.fresh_key(), size);  // 504 after the hold
    const ClientOutcome again = client.put(keys[0], size, 0);
    check.expect(again.may_be_stored(), "409 to be a success", again.described());
  }
  const std::size_t before = daemon.requests(JournalOperation::lease).size();
  check.expect_hit(client.get(keys[1], size), 1, size, "a get after 12 misses and 6 times 409");
  check.expect(daemon.requests(JournalOperation::lease).size() == before + 1,
               "the daemon asked for it", "no request");
}

void absent_daemon_is_left_alone(Check& check) {
  TestDaemon& daemon = check.daemon();
  emulator::Effects reset;
  reset.ending = emulator::ResetConnection{};
  daemon.begin();
  daemon.add_fault({.match = {.operation = FaultOperation::connect}, .script = {reset}});
  ClientProcess client = check.client(daemon, hurried(check));
  for (int i = 0; i < 6; ++i) (void)client.get(check.fresh_key(), size);
  const std::size_t before = daemon.statistics().accepted_connections;
  const TimePoint begun = now();
  for (int i = 0; i < 20; ++i) (void)client.get(check.fresh_key(), size);
  const std::size_t attempts = daemon.statistics().accepted_connections - before;
  check.figure("connections for 20 further gets", std::to_string(attempts));
  const auto probes = static_cast<std::size_t>((now() - begun) / 5s) + 2;
  check.expect(attempts <= probes,
               "at most " + std::to_string(probes) + " attempts to connect for 20 gets",
               std::to_string(attempts));
}

void daemon_that_is_back_is_used(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 1, size);
  check.expect_hit(client.get(keys[0], size), 0, size, "a get before");
  daemon.stop();
  for (int i = 0; i < 8; ++i) (void)client.put(check.fresh_key(), size, 1);
  daemon.start_again();
  const TimePoint back = now();
  const TimePoint deadline = back + 5s + check.span(1000ms);
  bool stored = false;
  while (!stored && now() < deadline) {
    stored = check.put_arrives(client, daemon, size);
    if (!stored) std::this_thread::sleep_for(50ms);
  }
  check.expect(stored, "a put within 5 s of the daemon's return",
               "none within " + in_ms(now() - back));
  check.figure("back in use after", in_ms(now() - back));
  const auto anew = check.store_many(daemon, client.bucket(), 1, size, 50);
  check.expect_hit(client.get(anew[0], size), 50, size, "a get from the daemon that is back");
}

/// What the client counts as stored is what the daemon answered with 200 or 409.
void expect_true_count(Check& check, ClientProcess& client, TestDaemon& daemon) {
  if (!check.target().facts.operations.contains("stats")) return;
  const Json counts = client.ask({{"op", "stats"}});
  if (!counts.contains("put_success")) return;
  const auto stored = std::ranges::count_if(
      daemon.requests(JournalOperation::put),
      [](const auto& entry) { return entry.status == 200 || entry.status == 409; });
  check.expect(
      counts["put_success"] == stored,
      "a count of " + std::to_string(stored) + " successful puts in the client's statistics",
      counts["put_success"].dump());
}

void only_what_is_stored_is_reported(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  daemon.begin();
  for (const int status : {201, 202, 204, 400, 413, 429, 500, 503, 507}) {
    emulator::Effects effects;
    effects.ending = emulator::RespondWith{.status = status};
    const std::string key = check.fresh_key();
    daemon.add_fault(
        {.match = {.operation = FaultOperation::put, .key = key}, .script = {effects}});
    const ClientOutcome outcome = client.put(key, size, 1);
    check.expect(!outcome.is_stored(), "a put answered " + std::to_string(status) + " to fail",
                 outcome.described());
  }
  emulator::Effects reset;
  reset.ending = emulator::ResetConnection{};
  const std::string key = check.fresh_key();
  daemon.add_fault({.match = {.operation = FaultOperation::put, .key = key}, .script = {reset}});
  const ClientOutcome outcome = client.put(key, size, 1);
  check.expect(!outcome.is_stored(), "a put whose connection is reset to fail",
               outcome.described());
  // And what is reported has arrived: a client that is healthy and stores nothing is the worst.
  for (int i = 0; i < 3; ++i) {
    const std::string stored = check.fresh_key();
    const ClientOutcome put = client.put(stored, size, 1);
    check.expect(put.may_be_stored(), "a put to an idle daemon to succeed", put.described());
    check.expect_hit(client.get(stored, size), 1, size, "what was reported as stored");
  }
  expect_true_count(check, client, daemon);
}

void failed_put_is_not_repeated(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  daemon.begin();
  std::vector<std::string> keys;
  for (const int status : {500, 503, 429}) {
    emulator::Effects effects;
    emulator::RespondWith respond{.status = status};
    if (status != 500) respond.retry_after = 0s;
    effects.ending = respond;
    keys.push_back(check.fresh_key());
    daemon.add_fault(
        {.match = {.operation = FaultOperation::put, .key = keys.back()}, .script = {effects}});
    (void)client.put(keys.back(), size, 1);
  }
  client.close();
  for (const std::string& key : keys) {
    const auto sent = std::ranges::count(daemon.requests(JournalOperation::put), key,
                                         &emulator::JournalEntry::key);
    check.expect(sent == 1, "one PUT of a key that is refused", std::to_string(sent));
  }
}

/// The daemon closes connections that are idle for a moment, which HTTP lets it do at any time.
void closed_connections_cost_nothing(Check& check) {
  const auto idle = 60ms;
  TestDaemon& daemon =
      check.daemon([&](emulator::Options& options) { options.limits.idle_timeout = idle; });
  ClientProcess client = check.client(daemon);
  const auto keys = check.store_many(daemon, client.bucket(), 1, size);
  daemon.begin();
  for (int i = 0; i < 12; ++i) {
    // About the time at which the daemon closes: a little before it, at it, a little after it.
    std::this_thread::sleep_for(idle - 3ms + i * 500us);
    check.expect_hit(client.get(keys[0], size), 0, size,
                     "a get over a connection that the daemon has closed");
    if (i % 3 != 0) continue;
    const ClientOutcome put = client.put(check.fresh_key(), size, 1);
    check.expect(put.may_be_stored(), "a put over a connection that the daemon has closed",
                 put.described());
  }
}

}  // namespace recovery
}  // namespace

std::span<const CheckEntry> recovery_checks() {
  using namespace recovery;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-BREAKER-01", core, parallel, misses_open_nothing},
      {"C-BREAKER-02", core, parallel, absent_daemon_is_left_alone},
      {"C-BREAKER-03", core, parallel, daemon_that_is_back_is_used},
      {"C-BREAKER-04", core, parallel, only_what_is_stored_is_reported},
      {"C-BREAKER-05", core, parallel, failed_put_is_not_repeated},
      {"C-BREAKER-06", core, parallel, closed_connections_cost_nothing},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
