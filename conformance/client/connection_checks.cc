// SPDX-License-Identifier: Apache-2.0
// Connections: how many a client has open, and for how long.
#include "client/suite.h"

namespace hyperpod::conformance::client {
namespace {
namespace connection {

using namespace std::chrono_literals;

constexpr std::uint64_t size = 512;

emulator::Fault fault(emulator::FaultMatch match, const emulator::Effects& effects) {
  return {.match = std::move(match), .script = {effects}};
}

emulator::Effects delayed(std::chrono::milliseconds delay) {
  emulator::Effects effects;
  effects.delay = emulator::Delay{.low = delay};
  return effects;
}

/// Gets, and puts between them: both open connections.
std::vector<Json> gets_and_puts(Check& check, const std::vector<std::string>& keys) {
  std::vector<Json> operations;
  for (const std::string& key : keys) {
    operations.push_back(get_command(key, size));
    if (operations.size() % 3 == 1) operations.push_back(put_command(check.fresh_key(), size, 1));
  }
  return operations;
}

std::vector<Json> gets_of(const std::vector<std::string>& keys) {
  std::vector<Json> operations;
  operations.reserve(keys.size());
  for (const std::string& key : keys) operations.push_back(get_command(key, size));
  return operations;
}

void expect_at_most(Check& check, TestDaemon& daemon, int limit, const std::string& when) {
  Changes all;
  for (const auto& [bucket, usage] : daemon.usage())
    all.insert(all.end(), usage.connections.begin(), usage.connections.end());
  const int peak = peak_of(all);
  check.figure("peak of open connections", std::to_string(peak));
  check.expect(peak <= limit,
               "at most " + std::to_string(limit) + " connections open at once " + when,
               std::to_string(peak));
}

/// 40 gets and 20 puts at once on a daemon that takes 60 ms for each response, or does what
/// `troubles` says.
void keep_to(Check& check, Json parameters, int limit, const std::vector<emulator::Fault>& troubles,
             const std::string& when) {
  TestDaemon& daemon = check.daemon();
  parameters["max_concurrent_requests"] = 50;
  parameters["timeout_ms"] = no_hurry;
  ClientProcess client = check.client(daemon, parameters);
  const auto keys = check.store_many(daemon, client.bucket(), 40, size);
  daemon.begin();
  for (const auto& trouble : troubles) daemon.add_fault(trouble);
  daemon.add_fault(fault({}, delayed(60ms)));
  (void)client.concurrent(gets_and_puts(check, keys));
  expect_at_most(check, daemon, limit, when);
}

void total_limit_is_kept(Check& check) {
  check.needs_parameter("max_connections");
  keep_to(check, {{"max_connections", 5}}, 5, {}, "while the daemon answers slowly");
}

void limit_per_host_is_kept(Check& check) {
  check.needs_parameter("max_connections_per_host");
  keep_to(check, {{"max_connections", 50}, {"max_connections_per_host", 3}}, 3, {},
          "while the daemon answers slowly");
}

void limit_is_kept_after_resets(Check& check) {
  check.needs_parameter("max_connections");
  emulator::Effects reset;
  reset.ending = emulator::ResetConnection{};
  keep_to(check, {{"max_connections", 5}}, 5, {fault({.every = 7}, reset)},
          "while connections are reset");
}

void limit_is_kept_across_restart(Check& check) {
  check.needs_parameter("max_connections");
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, {{"max_connections", 4},
                                               {"max_concurrent_requests", 50},
                                               {"timeout_ms", 5000},
                                               {"lease_wait_timeout_ms", 100}});
  const auto keys = check.store_many(daemon, client.bucket(), 60, size);
  daemon.begin();
  daemon.add_fault(fault({}, delayed(30ms)));
  client.send({{"op", "concurrent"}, {"operations", gets_of(keys)}});
  daemon.await([&] { return daemon.requests().size() >= 8; }, check.span(10s), "8 requests");
  emulator::Effects restart;
  restart.incident = emulator::Incident::restart;
  daemon.cause(restart);
  (void)client.receive_outcomes();
  // A breaker may have opened, and lets a probe pass every 5 s.
  const auto stored = [&] { return check.put_arrives(client, daemon, size); };
  check.expect(daemon.reaches(stored, 5s + check.span(2s)), "a put after the restart",
               "none within 7 s");
  const auto anew = check.store_many(daemon, client.bucket(), 60, size);
  (void)client.concurrent(gets_of(anew));
  expect_at_most(check, daemon, 4, "while the daemon restarts and afterwards");
}

void connections_are_reused(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon);
  const auto keys = check.store_many(daemon, client.bucket(), 20, size);
  daemon.begin();
  const auto opened_by_a_round = [&] {
    const std::size_t before = daemon.connections().size();
    for (std::size_t i = 0; i < keys.size(); ++i)
      check.expect_hit(client.get(keys[i], size), i, size, "get after get");
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const ClientOutcome put = client.put(check.fresh_key(), size, i);
      check.expect(put.may_be_stored(), "put after put", put.described());
    }
    return daemon.connections().size() - before;
  };
  // A client may open some at its beginning, and release leases in the background over others.
  const std::size_t first = opened_by_a_round();
  const std::size_t opened = opened_by_a_round();
  check.figure("connections for 20 gets and 20 puts one after the other", std::to_string(first));
  check.figure("further ones for the same again", std::to_string(opened));
  check.expect(opened <= 2, "hardly another connection for 20 more gets and 20 more puts",
               std::to_string(opened) + " others, after " + std::to_string(first));
}

void idle_connections_are_closed(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon);
  const auto keys = check.store_many(daemon, client.bucket(), 4, size);
  daemon.begin();
  (void)client.concurrent(gets_of(keys));
  const auto all_closed = [&] {
    return std::ranges::all_of(daemon.connections(),
                               [](const auto& life) { return life.closed.has_value(); });
  };
  // The daemon closes idle connections after two minutes, so it is the client that does here.
  check.expect(daemon.reaches(all_closed, 30s + check.span(6s)),
               "all connections closed after 30 s without a request", "some still open after 36 s");
}

}  // namespace connection
}  // namespace

std::span<const CheckEntry> connection_checks() {
  using namespace connection;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-CONN-01", core, parallel, total_limit_is_kept},
      {"C-CONN-02", core, parallel, limit_per_host_is_kept},
      {"C-CONN-03", core, parallel, limit_is_kept_after_resets},
      {"C-CONN-04", core, parallel, limit_is_kept_across_restart},
      {"C-CONN-05", core, parallel, connections_are_reused},
      {"C-CONN-06", full, parallel, idle_connections_are_closed},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
