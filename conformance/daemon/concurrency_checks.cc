// SPDX-License-Identifier: Apache-2.0
// Many at once: connections, held requests, bodies, leases and whole worker processes.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/worker.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

/// Skips the check when this process may not have so many descriptors.
void need_descriptors(const Check& check, std::uint64_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < count + 64) {
    check.skip("this process may open " + std::to_string(limit.rlim_cur) +
               " descriptors only; raise ulimit -n");
  }
}

/// Over each session, all at the same time: a PUT, a lease on one and the same object, its release.
void serve_all(Check& check, std::vector<Session>& sessions) {
  for (Session& session : sessions) session.send(put_request(check.fresh_name(), "body"));
  for (Session& session : sessions) {
    Response response = session.response();
    // A small cache may have had no room while all of them were under way.
    if (response.status == 507) response = session.put(check.fresh_name(), "body");
    check.expect_status(response, 200, "a PUT among many");
  }
  const Name name = check.fresh_name();
  check.store(sessions[0], name, "body");
  for (Session& session : sessions) session.send(acquire_request(name, {.ttl = check.span(10s)}));
  for (Session& session : sessions) {
    const Response response = session.response();
    check.expect_status(response, 200, "a lease request among many");
    const Grant grant = check.grant_in(response);
    session.send(release_request(grant.id));
    check.forget(grant);
  }
  for (Session& session : sessions)
    check.expect_status(session.response(), 200, "a release among many");
}

void one_engines_connections_are_served(Check& check) {
  need_descriptors(check, 128);
  std::vector<Session> sessions = check.connect_many(128);
  serve_all(check, sessions);
  serve_all(check, sessions);
  // As many lease requests may wait as one engine has in flight.
  const auto hold = check.span(1200ms);
  const TimePoint begun = now();
  for (Session& session : sessions)
    session.send(acquire_request(check.fresh_name(), {.hold = hold}));
  std::this_thread::sleep_until(begun + hold - 50ms);
  const bool in_time = now() < begun + hold;
  for (Session& session : sessions) {
    check.expect(!in_time || session.silent_for(Duration::zero()),
                 "each of 128 lease requests to be held at once", "one was answered");
  }
  for (Session& session : sessions) {
    const Response response = session.response(check.span(8s));
    check.expect(is_miss(response), "a miss for each of 128 held requests", described(response));
  }
}

void held_requests_delay_nobody(Check& check) {
  constexpr std::size_t count = 256;
  need_descriptors(check, count);
  Session ordinary = check.connect();
  std::vector<Session> held = check.connect_many(count);
  for (Session& session : held)
    session.send(acquire_request(check.fresh_name(), {.hold = check.span(4s)}));
  Duration slowest{};
  for (int i = 0; i < 20; ++i) {
    const Name name = check.fresh_name();
    const TimePoint begun = now();
    check.store(ordinary, name, "body");
    check.release(ordinary, check.lease(ordinary, name));
    slowest = std::max(slowest, now() - begun);
    check.expect(slowest < check.span(500ms),
                 "store, lease and release within 500 ms while 256 requests are held",
                 in_ms(slowest));
  }
  check.figure("slowest store, lease and release beside 256 held requests", in_ms(slowest));
  for (Session& session : held)
    check.expect(session.silent_for(Duration::zero()), "256 requests still to be held",
                 "one was answered");
}

/// A body that arrives slowly is no reason to let others wait.
void expect_others_served(Check& check) {
  Session slow = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(200'000);
  slow.send_raw(slow.head_of(put_request(name, body)) + body.substr(0, 100'000));
  Session other = check.connect();
  const TimePoint begun = now();
  const Name beside = check.fresh_name();
  const std::string bytes = check.bytes(100'000);
  check.store(other, beside, bytes);
  check.expect_stored(other, beside, bytes);
  check.expect(now() - begun < check.span(2s),
               "a PUT, a lease and a release within 2 s while another PUT's body is arriving",
               in_ms(now() - begun));
  slow.send_raw(std::string_view(body).substr(100'000));
  check.expect_status(slow.response(), 200, "a PUT whose body came slowly");
  check.expect_stored(other, name, body);
}

void concurrent_bodies_are_kept_apart(Check& check) {
  expect_others_served(check);
  constexpr std::size_t count = 16;
  constexpr std::size_t size = 100'000;
  std::vector<Session> sessions = check.connect_many(count);
  std::vector<Name> names;
  std::vector<std::string> bodies;
  for (Session& session : sessions) {
    names.push_back(check.fresh_name());
    bodies.push_back(check.bytes(size));
    session.send_raw(session.head_of(put_request(names.back(), bodies.back())));
  }
  for (std::size_t at = 0; at < size; at += 3000) {
    for (std::size_t i = 0; i < count; ++i)
      sessions[i].send_raw(std::string_view(bodies[i]).substr(at, 3000));
  }
  for (Session& session : sessions)
    check.expect_status(session.response(), 200, "one of 16 PUTs at once");
  for (std::size_t i = 0; i < count; ++i) check.expect_stored(sessions[0], names[i], bodies[i]);
}

/// Requests that waited for one key, whenever they are granted.
void expect_own_leases_for_waiters(Check& check, std::vector<Session>& sessions) {
  const Name name = check.fresh_name();
  const auto hold = check.span(300ms);
  for (std::size_t i = 1; i < 9; ++i) sessions[i].send(acquire_request(name, {.hold = hold}));
  (void)sessions[8].silent_for(50ms);
  check.store(sessions[0], name, "body");
  std::set<std::string> ids;
  std::size_t granted = 0;
  for (std::size_t i = 1; i < 9; ++i) {
    const Response response = sessions[i].response(hold + check.span(5s));
    if (response.status / 100 != 2) continue;
    ids.insert(check.grant_in(response).id);
    ++granted;
  }
  check.expect(ids.size() == granted, "a lease of its own for each request that waited",
               std::to_string(ids.size()) + " ids for " + std::to_string(granted) + " grants");
}

void concurrent_leases_are_different(Check& check) {
  std::vector<Session> sessions = check.connect_many(32);
  const Name name = check.fresh_name();
  check.store(sessions[0], name, "body");
  std::vector<Grant> grants;
  std::set<std::string> ids;
  for (int round = 0; round < 20; ++round) {
    for (Session& session : sessions) session.send(acquire_request(name, {}));
    for (Session& session : sessions) {
      grants.push_back(check.grant_in(session.response()));
      ids.insert(grants.back().id);
    }
  }
  check.expect(ids.size() == grants.size(), std::to_string(grants.size()) + " different ids",
               std::to_string(ids.size()));
  expect_own_leases_for_waiters(check, sessions);
  for (std::size_t i = 0; i < grants.size(); i += sessions.size()) {
    for (std::size_t k = 0; k < sessions.size(); ++k)
      sessions[k].send(release_request(grants[i + k].id));
    for (std::size_t k = 0; k < sessions.size(); ++k) {
      check.expect_status(sessions[k].response(), 200, "the release of one of many leases");
      check.forget(grants[i + k]);
    }
  }
}

std::string described(const WorkerFigures& worker) {
  std::array<char, 160> text;
  std::snprintf(
      text.data(), text.size(),
      "%llu objects, %llu held requests, %llu wrong responses, p99 %.1f ms, slowest %.1f ms",
      static_cast<unsigned long long>(worker.operations),
      static_cast<unsigned long long>(worker.held), static_cast<unsigned long long>(worker.wrong),
      worker.p99_ms, worker.slowest_ms);
  return text.data();
}

void no_worker_starves(Check& check) {
  const bool stress = check.target().profile == Profile::stress;
  const unsigned count = stress ? 8 : 4;
  const WorkerOrder order{.connections = stress ? 128u : 16u, .duration = stress ? 10s : 2s};
  const auto workers = run_worker_processes(check.target(), order, count);
  std::uint64_t fewest = UINT64_MAX;
  std::uint64_t most = 0;
  for (const WorkerFigures& worker : workers) {
    check.figure("worker " + std::to_string(&worker - workers.data() + 1), described(worker));
    fewest = std::min(fewest, worker.operations);
    most = std::max(most, worker.operations);
  }
  check.figure("fairness (fewest / most operations)",
               most == 0 ? "none done"
                         : std::to_string(static_cast<double>(fewest) / static_cast<double>(most)));
  for (const WorkerFigures& worker : workers) {
    check.expect(worker.wrong == 0, "right responses to every request of every worker",
                 to_json(worker));
    check.expect(worker.held >= worker.connected - 4, "each held request to be answered",
                 described(worker));
  }
  check.expect(fewest * 5 >= most && most > 0,
               "no worker to get less than a fifth of what another gets",
               std::to_string(fewest) + " operations against " + std::to_string(most));
}

/// How many connections are accepted and answered a request, up to `count`.
std::size_t connections_served(Check& check, std::size_t count, std::vector<Session>& sessions) {
  while (sessions.size() < count) {
    auto session = check.try_connect(check.target().endpoint, check.target().tls, AF_UNSPEC);
    if (!session) break;
    if (!session->try_send_raw(session->head_of(release_request("no-such-lease")))) break;
    try {
      if (!session->response_or_close()) break;
    } catch (const Violation&) {
      break;
    }
    sessions.push_back(*std::move(session));
  }
  return sessions.size();
}

void eight_workers_connections_are_served(Check& check) {
  constexpr std::size_t wanted = 1024;
  const std::size_t tried = check.target().profile == Profile::stress ? 4096 : wanted;
  need_descriptors(check, tried);
  std::vector<Session> sessions;
  const std::size_t served = connections_served(check, tried, sessions);
  check.figure("connections served at once",
               std::to_string(served) + (served == tried ? ", no refusal" : ", then refused"));
  check.expect(served >= wanted, "1,024 connections at once",
               std::to_string(served) + " were served");
  serve_all(check, sessions);
}

}  // namespace

std::span<const CheckEntry> concurrency_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"CONC-01", core, exclusive, one_engines_connections_are_served},
      {"CONC-02", core, exclusive, held_requests_delay_nobody},
      {"CONC-03", core, parallel, concurrent_bodies_are_kept_apart},
      {"CONC-04", core, parallel, concurrent_leases_are_different},
      {"CONC-05", full, exclusive, no_worker_starves},
      {"CONC-06", full, exclusive, eight_workers_connections_are_served},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
