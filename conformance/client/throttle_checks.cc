// SPDX-License-Identifier: Apache-2.0
// Throttling: how many requests a client has in flight, and in which order the others go.
#include <algorithm>

#include "client/suite.h"

namespace hyperpod::conformance::client {
namespace {
namespace throttle {

using namespace std::chrono_literals;
using emulator::JournalOperation;

constexpr std::uint64_t size = 512;

emulator::Fault slow(std::chrono::milliseconds delay) {
  emulator::Effects effects;
  effects.delay = emulator::Delay{.low = delay};
  return {.name = "slow", .script = {effects}};
}

/// `count` operations, every third a put, on a daemon that responds slowly.
struct Backlog {
  std::vector<ClientOutcome> outcomes;
  int peak = 0;          ///< Of requests of all kinds.
  int peak_of_gate = 0;  ///< Of puts, or of leases and releases.
};

Backlog run_backlog(Check& check, const Json& parameters, std::size_t count,
                    std::chrono::milliseconds delay) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, parameters);
  const auto keys = check.store_many(daemon, client.bucket(), count, size);
  daemon.begin();
  daemon.add_fault(slow(delay));
  std::vector<Json> operations;
  for (std::size_t i = 0; i < count; ++i) {
    operations.push_back(i % 3 == 2 ? put_command(check.fresh_key(), size, i)
                                    : get_command(keys[i], size));
  }
  Backlog backlog{client.concurrent(operations)};
  backlog.peak = daemon.usage()[client.bucket()].peak_requests();
  const auto puts = JournalOperation::put;
  backlog.peak_of_gate =
      std::max(daemon.peak_of_requests([&](const auto& entry) { return entry.operation == puts; }),
               daemon.peak_of_requests([&](const auto& entry) { return entry.operation != puts; }));
  return backlog;
}

/// `of` is what is counted: all requests, or those of one gate.
void expect_limit(Check& check, int Backlog::*of, const std::string& what) {
  check.needs_parameter("max_concurrent_requests");
  for (const auto& [limit, delay] : {std::pair{1, 10ms}, {2, 15ms}, {7, 25ms}, {100, 60ms}}) {
    const Backlog backlog =
        run_backlog(check, {{"max_concurrent_requests", limit}, {"timeout_ms", no_hurry}},
                    10 * static_cast<std::size_t>(limit), delay);
    const std::string told = std::to_string(backlog.*of);
    check.figure("peak in flight at limit " + std::to_string(limit), told);
    check.expect(backlog.*of <= limit,
                 "at most " + std::to_string(limit) + " " + what + " in flight, with " +
                     std::to_string(10 * limit) + " operations under way",
                 told);
  }
}

void limit_of_each_gate_is_kept(Check& check) {
  expect_limit(check, &Backlog::peak_of_gate, "puts, and as many leases and releases,");
}

void limit_of_all_is_kept(Check& check) {
  expect_limit(check, &Backlog::peak, "requests of all kinds");
}

void leases_overtake_puts(Check& check) {
  check.needs_parameter("max_concurrent_requests");
  constexpr std::size_t puts = 8;
  constexpr std::size_t gets = 3;
  TestDaemon& daemon = check.daemon();
  ClientProcess client =
      check.client(daemon, {{"max_concurrent_requests", 1}, {"timeout_ms", no_hurry}});
  const auto keys = check.store_many(daemon, client.bucket(), gets, size);
  daemon.begin();
  daemon.add_fault(slow(check.span(80ms)));
  std::vector<Json> operations;
  for (std::size_t i = 0; i < puts; ++i)
    operations.push_back(put_command(check.fresh_key(), size, i));
  for (const std::string& key : keys) operations.push_back(get_command(key, size));
  (void)client.concurrent(operations);

  std::size_t puts_before = 0;
  std::size_t leases = 0;
  for (const auto& entry : daemon.requests()) {
    if (entry.operation == JournalOperation::lease) ++leases;
    if (entry.operation == JournalOperation::put && leases < gets) ++puts_before;
  }
  // One put was in flight before the first lease came; another may have been while drivers begin.
  check.figure("puts sent before the last lease", std::to_string(puts_before));
  check.expect(puts_before <= puts / 2,
               std::to_string(gets) + " leases, begun behind " + std::to_string(puts) +
                   " puts at limit 1, to go before most of them",
               std::to_string(puts_before) + " puts were sent before the last lease");
}

/// As many requests fail as may be in flight; the places that they had are free again.
void expect_places_outlive_failures(Check& check) {
  // One less than after which a client may leave the daemon alone for a while.
  constexpr std::size_t limit = 2;
  TestDaemon& daemon = check.daemon();
  ClientProcess client =
      check.client(daemon, {{"max_concurrent_requests", limit},
                            {"timeout_ms", check.span(2s).count()},
                            {"lease_wait_timeout_ms", check.span(500ms).count()}});
  const auto keys = check.store_many(daemon, client.bucket(), limit + 1, size);
  daemon.begin();
  emulator::Effects cut;
  cut.ending = emulator::ResetConnection{};
  for (std::size_t i = 0; i < limit; ++i) {
    daemon.add_fault(
        {.match = {.operation = emulator::FaultOperation::lease, .key = keys[i]}, .script = {cut}});
    const ClientOutcome failed = client.get(keys[i], size);
    check.expect(!failed.is_hit(), "a miss or an error where the connection is reset",
                 failed.described());
  }
  check.expect_hit(client.get(keys[limit], size), limit, size,
                   "a get after as many failed as may be in flight");
}

void backlog_is_done(Check& check) {
  check.needs_parameter("max_concurrent_requests");
  constexpr std::size_t count = 70;
  const Backlog backlog =
      run_backlog(check, {{"max_concurrent_requests", 7}, {"timeout_ms", no_hurry}}, count, 10ms);
  for (std::size_t i = 0; i < count; ++i) {
    const ClientOutcome& outcome = backlog.outcomes[i];
    if (i % 3 == 2) {
      check.expect(outcome.may_be_stored(), "each of the queued puts stored", outcome.described());
    } else {
      check.expect_hit(outcome, i, size, "each of the queued gets");
    }
  }
  expect_places_outlive_failures(check);
}

void default_limit_is_100(Check& check) {
  const Backlog backlog = run_backlog(check, {{"timeout_ms", no_hurry}}, 300, 300ms);
  check.figure("peak in flight", std::to_string(backlog.peak));
  check.expect(backlog.peak_of_gate <= 100,
               "at most 100 requests in flight, with 300 operations under way",
               std::to_string(backlog.peak));
}

}  // namespace throttle
}  // namespace

std::span<const CheckEntry> throttle_checks() {
  using namespace throttle;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-THROTTLE-01", core, parallel, limit_of_each_gate_is_kept},
      {"C-THROTTLE-02", core, parallel, leases_overtake_puts},
      {"C-THROTTLE-03", core, parallel, backlog_is_done},
      {"C-THROTTLE-04", core, parallel, default_limit_is_100},
      {"C-THROTTLE-05", core, parallel, limit_of_all_is_kept},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
