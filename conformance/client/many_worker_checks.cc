// SPDX-License-Identifier: Apache-2.0
// Many workers: processes as with tensor parallelism, each a client with limits of its own. A
// worker is told from the others by its bucket.

#include <cstdio>

#include "client/payload.h"
#include "client/suite.h"

namespace hyperpod::conformance::client {
namespace {
namespace many_worker {

using namespace std::chrono_literals;

constexpr std::uint64_t size = 512;

std::string bucket_of(std::size_t worker) { return "worker-" + std::to_string(worker); }

struct Load {
  int connections = 0;  ///< max_connections_per_host of each worker.
  int requests = 0;     ///< max_concurrent_requests of each worker.
  std::size_t operations = 60;
  std::chrono::milliseconds delay{20};
};

/// What a run of many workers showed.
struct Workers {
  std::vector<Duration> took;  ///< By worker.
  std::vector<std::vector<ClientOutcome>> outcomes;
  std::vector<Usage> usage;
  TimePoint begun;

  template <class Part>
  int peak_together(Part part) const {
    Changes all;
    for (const Usage& worker : usage)
      all.insert(all.end(), (worker.*part).begin(), (worker.*part).end());
    return peak_of(all);
  }
};

Workers run(Check& check, std::size_t count, const Load& load) {
  TestDaemon& daemon = check.daemon([](emulator::Options& options) { options.threads = 0; });
  std::vector<ClientProcess> clients;
  std::vector<std::vector<Json>> operations(count);
  for (std::size_t worker = 0; worker < count; ++worker) {
    clients.push_back(check.client(daemon,
                                   {{"max_connections_per_host", load.connections},
                                    {"max_concurrent_requests", load.requests},
                                    {"timeout_ms", no_hurry}},
                                   bucket_of(worker)));
    const std::string key = check.fresh_key();
    daemon.store(bucket_of(worker), key, check.object(std::string(size, 'x')));
    for (std::size_t i = 0; i < load.operations; ++i) {
      operations[worker].push_back(i % 4 == 3 ? put_command(check.fresh_key(), size, i)
                                              : get_command(key, size));
    }
  }
  daemon.begin();
  emulator::Effects slow;
  slow.delay = emulator::Delay{.low = load.delay};
  daemon.add_fault({.script = {slow}});
  Workers workers;
  workers.begun = now();
  for (std::size_t worker = 0; worker < count; ++worker)
    clients[worker].send({{"op", "concurrent"}, {"operations", operations[worker]}});
  for (ClientProcess& client : clients) workers.outcomes.push_back(client.receive_outcomes());
  auto usage = daemon.usage();
  for (std::size_t worker = 0; worker < count; ++worker) {
    TimePoint last = workers.begun;
    for (const auto& entry : daemon.requests({}, bucket_of(worker)))
      last = std::max(last, entry.at + entry.served);
    workers.took.push_back(last - workers.begun);
    workers.usage.push_back(std::move(usage[bucket_of(worker)]));
  }
  // Connections that carried nothing can be anybody's, and count all the same.
  workers.usage.push_back(std::move(usage[""]));
  return workers;
}

Plot plot_of(const Workers& workers, Changes Usage::*part, const std::string& title, int limit) {
  Plot plot{title, {}, static_cast<double>(limit)};
  for (std::size_t worker = 0; worker + 1 < workers.usage.size(); ++worker) {
    Changes changes = workers.usage[worker].*part;
    std::ranges::sort(changes);
    Plot::Series series{bucket_of(worker), {}};
    int sum = 0;
    for (const auto& [at, change] : changes) {
      sum += change;
      const auto since = std::chrono::duration<double, std::milli>(at - workers.begun).count();
      series.points.emplace_back(std::max(since, 0.0), sum);
    }
    const auto end = std::ranges::max(workers.took);
    series.points.emplace_back(std::chrono::duration<double, std::milli>(end).count(), sum);
    plot.series.push_back(std::move(series));
  }
  return plot;
}

void expect_limits(Check& check, const Workers& workers, const Load& load) {
  const std::size_t count = workers.took.size();
  const std::string who = std::to_string(count) + (count == 1 ? " worker" : " workers");
  const auto total = [&](int limit) { return static_cast<int>(count) * limit; };
  const int connections = workers.peak_together(&Usage::connections);
  const int requests = workers.peak_together(&Usage::requests);
  check.figure(who, std::to_string(connections) + " of " + std::to_string(total(load.connections)) +
                        " connections, " + std::to_string(requests) + " of " +
                        std::to_string(total(load.requests)) + " requests in flight");
  for (std::size_t worker = 0; worker < count; ++worker) {
    const Usage& usage = workers.usage[worker];
    check.expect(
        usage.peak_connections() <= load.connections,
        "at most " + std::to_string(load.connections) + " connections of each worker, of " + who,
        bucket_of(worker) + " had " + std::to_string(usage.peak_connections()));
    check.expect(usage.peak_requests() <= load.requests,
                 "at most " + std::to_string(load.requests) +
                     " requests in flight of each worker, of " + who,
                 bucket_of(worker) + " had " + std::to_string(usage.peak_requests()));
  }
  check.expect(connections <= total(load.connections),
               "at most " + std::to_string(total(load.connections)) + " connections of " + who,
               std::to_string(connections));
  for (const auto& outcomes : workers.outcomes) {
    for (const ClientOutcome& outcome : outcomes)
      check.expect(outcome.is_hit() || outcome.may_be_stored(),
                   "every operation of " + who + " done", outcome.described());
  }
}

std::vector<std::size_t> worker_counts(const Check& check) {
  if (check.target().workers != 0) return {check.target().workers};
  std::vector<std::size_t> counts{1, 2, 8};
  if (check.target().profile > Profile::core) counts.push_back(16);
  return counts;
}

void limits_add_up(Check& check) {
  check.needs_parameter("max_connections_per_host");
  check.needs_parameter("max_concurrent_requests");
  const Load load{.connections = 4, .requests = 6};
  for (const std::size_t count : worker_counts(check)) {
    const Workers workers = run(check, count, load);
    if (count == worker_counts(check).back()) {
      const std::string who = " of " + std::to_string(count) + " workers, and the limit of each";
      check.plot(plot_of(workers, &Usage::connections, "Open connections" + who, load.connections));
      check.plot(plot_of(workers, &Usage::requests, "Requests in flight" + who, load.requests));
    }
    expect_limits(check, workers, load);
  }
}

void documented_advice_holds(Check& check) {
  check.needs_parameter("max_connections_per_host");
  const Load load{.connections = 16, .requests = 100, .operations = 80, .delay = 60ms};
  const Workers workers = run(check, 8, load);
  const int connections = workers.peak_together(&Usage::connections);
  check.figure("peak of open connections", std::to_string(connections));
  check.plot(plot_of(workers, &Usage::connections,
                     "Open connections of 8 workers with max_connections_per_host 16", 16));
  check.expect(connections <= 128, "at most 128 connections of 8 workers with 16 each",
               std::to_string(connections));
}

void nobody_starves(Check& check) {
  const Workers workers = run(check, check.target().workers != 0 ? check.target().workers : 8,
                              {.connections = 4, .requests = 4, .operations = 40, .delay = 10ms});
  double total = 0;
  double slowest = 1e300;
  for (std::size_t worker = 0; worker < workers.took.size(); ++worker) {
    const double rate = static_cast<double>(workers.outcomes[worker].size()) /
                        std::chrono::duration<double>(workers.took[worker]).count();
    total += rate;
    slowest = std::min(slowest, rate);
  }
  const double fairness = slowest * static_cast<double>(workers.took.size()) / total;
  std::array<char, 32> told;
  std::snprintf(told.data(), told.size(), "%.2f of the average", fairness);
  check.figure("operations of the slowest worker", told.data());
  check.expect(fairness >= 0.25, "at least 0.25 of the average worker's operations for each",
               told.data());
}

void killed_worker_leaves_nothing(Check& check) {
  TestDaemon& daemon = check.daemon();
  const auto ttl = check.span(1500ms);
  const Json parameters{{"timeout_ms", no_hurry}, {"lease_ttl_s", check.seconds(ttl)}};
  ClientProcess doomed = check.client(daemon, parameters, "doomed");
  ClientProcess other = check.client(daemon, parameters, "other");
  const auto keys = check.store_many(daemon, "doomed", 8, size);
  const auto others = check.store_many(daemon, "other", 4, size);
  daemon.begin();
  // Its leases have been granted and their responses are on the way when the worker dies.
  emulator::Effects dribbling;
  dribbling.dribble = check.span(20ms);
  daemon.add_fault({.match = {.operation = emulator::FaultOperation::lease, .bucket = "doomed"},
                    .script = {dribbling}});
  std::vector<Json> operations;
  for (const std::string& key : keys) operations.push_back(get_command(key, size));
  doomed.send({{"op", "concurrent"}, {"operations", operations}});
  // A client may send one request after the other, and then has one lease.
  daemon.await([&] { return daemon.statistics().leases_granted >= 1; }, check.span(10s),
               "the grant of a lease");
  doomed.process().signal(SIGKILL);
  check.expect(doomed.process().wait(check.span(5s)).has_value(), "the end of a killed process",
               "none");

  for (std::size_t i = 0; i < others.size(); ++i)
    check.expect_hit(other.get(others[i], size), i, size, "a get of another worker");
  const auto all_gone = [&] {
    const auto left = daemon.usage(0ms)["doomed"].connections;
    int open = 0;
    for (const auto& [at, change] : left) open += change;
    return open == 0 && daemon.statistics().live_leases == 0;
  };
  check.expect(daemon.reaches(all_gone, ttl + check.span(3s)),
               "connections closed and leases expired after the TTL of " + in_ms(ttl),
               std::to_string(daemon.statistics().live_leases) + " leases live");
  check.figure("leases left to expire", std::to_string(daemon.statistics().leases_expired));
}

/// Pre-fork servers and multiprocessing make clients before they fork.
void fork_disturbs_nobody(Check& check) {
  check.needs_operation("fork");
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon);
  const auto keys = check.store_many(daemon, client.bucket(), 3, size);
  daemon.begin();
  check.expect_hit(client.get(keys[0], size), 0, size, "a get before the fork");
  for (int round = 0; round < 3; ++round) {
    const Json response = client.ask({{"op", "fork"}, {"key", keys[1]}, {"size", size}});
    const ClientOutcome child = outcome_in(response);
    check.figure("a get in a forked child", child.described());
    check.expect(!member_or(response, "hung", false), "the child of a fork to end", "it hung");
    check.expect(!child.is_hit() || child.sha256 == sha256_hex(payload(1, size)),
                 "an error, a miss or the object's own bytes in a forked child",
                 "a hit of other bytes");
    check.expect_hit(client.get(keys[2], size), 2, size, "a get of the parent after a fork");
  }
}

}  // namespace many_worker
}  // namespace

std::span<const CheckEntry> many_worker_checks() {
  using namespace many_worker;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-WORKERS-01", core, exclusive, limits_add_up},
      {"C-WORKERS-02", core, exclusive, documented_advice_holds},
      {"C-WORKERS-03", core, exclusive, nobody_starves},
      {"C-WORKERS-04", core, parallel, killed_worker_leaves_nothing},
      {"C-WORKERS-05", core, parallel, fork_disturbs_nobody},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
