// SPDX-License-Identifier: Apache-2.0
// Many at once: connections, held requests, bodies, leases and whole worker processes.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
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
    check.expect_present(response, "a lease request among many");
    check.expect_status(response, 200, "a lease request among many");
    const Grant grant = check.grant_in(response);
    session.send(release_request(grant.id));
    check.forget(grant);
  }
  for (Session& session : sessions)
    check.expect_status(session.response(), 200, "a release among many", Symptom::lease);
}

/// Over each session, all at the same time: a request for an absent key, half of them for one and
/// the same. The middle one of the times until they were answered.
Duration middle_of_holds(Check& check, std::vector<Session>& sessions,
                         std::chrono::milliseconds hold) {
  constexpr auto early = 20ms;  // A timer's step.
  const Name shared = check.fresh_name();
  const TimePoint end = now() + hold - early;
  for (std::size_t i = 0; i < sessions.size(); ++i)
    sessions[i].send(acquire_request(i % 2 == 0 ? shared : check.fresh_name(), {.hold = hold}));
  std::this_thread::sleep_until(end - 30ms);
  const std::string all = std::to_string(sessions.size()) + " lease requests";
  for (Session& session : sessions) {
    // Also sends once more, in time with the others, what a closed connection swallowed.
    check.expect(session.silent_for(Duration::zero()) || now() >= end,
                 "each of " + all + ", half of them for one key, to be held at once",
                 "one was answered", Symptom::held);
  }
  std::vector<Duration> times;
  for (Session& session : sessions) {
    const Response response = session.response(check.span(8s));
    check.expect_miss(response, "a miss for each of " + all);
    times.push_back(response.took());
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

void one_engines_connections_are_served(Check& check) {
  need_descriptors(check, 128);
  std::vector<Session> sessions = check.connect_many(128);
  serve_all(check, sessions);
  serve_all(check, sessions);
  // As many lease requests may wait as one engine has in flight.
  const auto hold = check.span(check.profile() == Profile::core ? 400ms : 1200ms);
  constexpr int tries = 3;  // A machine that is busy otherwise may be late for all of them.
  for (int i = 1; i <= tries; ++i) {
    // What a daemon needs to answer so many is not the holds' doing.
    const TimePoint begun = now();
    (void)middle_of_holds(check, sessions, 0ms);
    const Duration limit = hold + check.span(500ms) + (now() - begun);
    const Duration middle = middle_of_holds(check, sessions, hold);
    if (middle <= limit)
      return check.figure("middle one of 128 holds of " + in_ms(hold), in_ms(middle));
    check.expect(
        i < tries,
        "128 held requests to be answered within " + in_ms(limit) + ", by the middle one",
        in_ms(middle) + ", and later than that " + std::to_string(tries - 1) + " times before");
  }
}

/// How long a PUT, a lease on its object and the release take.
Duration time_of_a_round(Check& check, Session& session) {
  const Name name = check.fresh_name();
  const TimePoint begun = now();
  check.store(session, name, "body");
  check.release(session, check.lease(session, name));
  return now() - begun;
}

void held_requests_delay_nobody(Check& check) {
  const std::size_t count = check.profile() == Profile::stress ? 4000 : 256;
  need_descriptors(check, count);
  Session ordinary = check.connect();
  std::vector<Session> held = check.connect_many(count);
  Duration before{};
  for (int i = 0; i < 5; ++i) before = std::max(before, time_of_a_round(check, ordinary));
  const auto hold = check.span(4s);
  for (Session& session : held) session.send(acquire_request(check.fresh_name(), {.hold = hold}));
  const TimePoint end = now() + hold;
  // What waits for a held request waits for most of a hold.
  const Duration limit = std::max<Duration>(check.span(1s), 5 * before);
  if (limit > hold / 2)
    check.skip("a store, a lease and a release take " + in_ms(before) + " here without any load");
  int late = 0;
  Duration slowest{};
  for (int i = 0; i < 20 && now() < end; ++i) {
    const Duration took = time_of_a_round(check, ordinary);
    slowest = std::max(slowest, took);
    if (took > limit) ++late;  // Once may be the machine's doing.
    check.expect(late < 2,
                 "store, lease and release within " + in_ms(limit) + " while " +
                     std::to_string(count) + " requests are held",
                 in_ms(took) + " for the second time");
  }
  check.figure(
      "slowest store, lease and release beside " + std::to_string(count) + " held requests",
      in_ms(slowest));
  for (Session& session : held) {
    const bool in_time = now() < end - hold / 8;
    check.expect(!in_time || session.silent_for(Duration::zero()),
                 std::to_string(count) + " requests still to be held", "one was answered");
  }
}

/// A body that arrives slowly does not make others wait.
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

/// Connections that load a daemon from a thread of their own, until they go out of scope: some
/// stream large bodies, the others send requests in advance and never read a response.
class Load {
 public:
  explicit Load(Check& check) : check_(check), body_(check.bytes(1u << 20)) {
    const std::uint64_t size = std::clamp<std::uint64_t>(check.capacity() / 64, 4096, 8u << 20);
    for (int i = 0; i < 16; ++i) threads_.emplace_back([this, size] { stream(size); });
    for (int i = 0; i < 8; ++i) threads_.emplace_back([this] { send_and_never_read(); });
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() { over_ = true; }

  /// Bodies that were stored, in bytes.
  std::uint64_t stored() const { return stored_; }

 private:
  Result<Connection> connection() {
    return Connection::open(check_.target().endpoint, now() + patience, check_.target().tls);
  }

  std::string head_of_put(std::uint64_t size) {
    return "PUT " + check_.fresh_name().target() +
           " HTTP/1.1\r\nHost: " + check_.target().endpoint.authority() +
           "\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
  }

  void stream(std::uint64_t size) {
    std::optional<Connection> open;
    std::array<char, 4096> response{};
    while (!over_) {
      if (!open) {
        auto connected = connection();
        if (!connected) return;
        open.emplace(*std::move(connected));
      }
      bool sent = open->send(head_of_put(size), now() + patience).has_value();
      for (std::uint64_t left = size; left > 0 && sent && !over_;) {
        const std::uint64_t piece = std::min<std::uint64_t>(left, body_.size());
        sent = open->send(std::string_view(body_).substr(0, piece), now() + patience).has_value();
        left -= piece;
      }
      const auto got = over_ ? tl::unexpected(Error{ErrorCode::closed, ""})
                             : open->receive(response, now() + patience);
      if (sent && got && *got > 0)
        stored_ += size;
      else
        open.reset();
    }
  }

  /// As many requests in advance as a daemon may be expected to have read, once a second.
  void send_and_never_read() {
    const std::string one =
        "POST /v1/leases/nobody/release HTTP/1.1\r\nHost: " + check_.target().endpoint.authority() +
        "\r\nContent-Length: 0\r\n\r\n";
    std::string requests;
    while (requests.size() < 128 << 10) requests += one;
    while (!over_) {
      auto open = connection();
      if (!open) return;
      (void)open->send(requests, now() + 200ms);
      for (int i = 0; i < 50 && !over_; ++i) std::this_thread::sleep_for(20ms);
    }
  }

  static constexpr auto patience = 10s;
  Check& check_;
  const std::string body_;
  std::atomic<bool> over_ = false;
  std::atomic<std::uint64_t> stored_ = 0;
  std::vector<std::jthread> threads_;  // Ends first.
};

/// Others wait no longer than the multi-process client does, however much some send. Judged by the
/// middle of many, for a machine may wake a thread late.
void streams_delay_nobody(Check& check) {
  constexpr int count = 15;
  (void)check.capacity();
  Session established = check.connect();
  (void)time_of_a_round(check, established);
  std::vector<Duration> of_new;
  std::vector<Duration> of_established;
  std::uint64_t stored = 0;
  const TimePoint begun = now();
  {
    const Load load(check);
    std::this_thread::sleep_for(300ms);
    for (int i = 0; i < count; ++i) {
      const TimePoint asked = now();
      Session fresh = check.connect();
      (void)is_miss(fresh.acquire(check.fresh_name()));
      of_new.push_back(now() - asked);
      const TimePoint again = now();
      (void)is_miss(established.acquire(check.fresh_name()));
      of_established.push_back(now() - again);
    }
    stored = load.stored();
  }
  check.figure("stored meanwhile",
               std::to_string(stored >> 20) + " MiB in " + in_ms(now() - begun));
  const auto limit = check.span(1500ms);
  for (auto& [times, who] : {std::pair{&of_new, "a new connection"},
                             std::pair{&of_established, "an established connection"}}) {
    std::ranges::sort(*times);
    check.figure(std::string("middle and longest time of ") + who + " beside 24 that load",
                 in_ms((*times)[count / 2]) + ", " + in_ms(times->back()));
    check.expect((*times)[count / 2] <= limit,
                 "a response over " + std::string(who) + " within " + in_ms(limit) +
                     ", while others send much",
                 in_ms((*times)[count / 2]) + " in the middle of " + std::to_string(count));
  }
}

/// Large bodies, each of which has begun before another ends.
void expect_large_bodies_kept_apart(Check& check, std::size_t count, std::size_t size) {
  const std::string what =
      "one of " + std::to_string(count) + " PUTs of " + std::to_string(size) + " bytes at once";
  std::atomic<std::size_t> begun = 0;
  std::mutex guard;  // of `refusal`
  std::optional<std::string> refusal;
  check.side_by_side(count, [&](Session& session, std::size_t) {
    const Name name = check.fresh_name();
    const std::string body = check.bytes(size);
    const std::string_view bytes = body;
    bool open = session.try_send_raw(session.head_of(put_request(name, body))) &&
                session.try_send_raw(bytes.substr(0, size / 2));
    ++begun;
    // Not for ever, for a daemon may read some of them when others have ended.
    const TimePoint end = now() + check.span(1s);
    while (begun < count && now() < end) std::this_thread::sleep_for(1ms);
    open = open && session.try_send_raw(bytes.substr(size / 2));
    const auto response = session.response_or_close(check.span(15s));
    // A small cache may have no room while all of them are under way.
    if (response && response->status == 507) return;
    if (!response || response->status != 200) {
      const std::lock_guard lock(guard);
      refusal = response ? described(*response) : "the connection closed without a response";
      return;
    }
    check.expect_stored_or_gone(session, name, body);
  });
  // Not at once, for a 507 may be lost with its connection, or be told by another status.
  if (refusal) throw Missing{{"200 to " + what, *refusal}};
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
  expect_large_bodies_kept_apart(check, 8, 3 << 19);
  expect_large_bodies_kept_apart(check, 2, large_body);
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
  std::set<std::string> ids;
  const std::vector<Grant> grants = check.lease_many(sessions, name, 20 * sessions.size(), {},
                                                     "one of many leases on one object");
  for (const Grant& grant : grants) ids.insert(grant.id);
  check.expect(ids.size() == grants.size(), std::to_string(grants.size()) + " different ids",
               std::to_string(ids.size()));
  expect_own_leases_for_waiters(check, sessions);
  if (const auto odd = check.release_many(sessions, grants))
    check.expect_status(*odd, 200, "the release of one of many leases", Symptom::lease);
}

std::string worker_text(const WorkerFigures& worker) {
  std::array<char, 160> text{};
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
  WorkerOrder order{.connections = stress ? 128u : 16u, .duration = stress ? 10s : 1s};
  const std::string drawn = check.bytes(sizeof order.seed);
  std::memcpy(&order.seed, drawn.data(), sizeof order.seed);
  const auto workers = run_worker_processes(check.target(), order, count);
  std::uint64_t fewest = UINT64_MAX;
  std::uint64_t most = 0;
  for (const WorkerFigures& worker : workers) {
    check.figure("worker " + std::to_string(&worker - workers.data() + 1), worker_text(worker));
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
                 worker_text(worker));
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
    sessions.push_back(*std::move(session));
  }
  // All have asked before the first response is read, so that a slow daemon costs its time once.
  const auto refused = std::ranges::find_if_not(sessions, [](Session& session) {
    try {
      return session.response_or_close().has_value();
    } catch (const Violation&) {
      return false;
    }
  });
  sessions.erase(refused, sessions.end());
  return sessions.size();
}

/// Over each session, all at the same time: a request for one and the same key, which is stored
/// then.
void wake_all(Check& check, std::span<Session> sessions) {
  Session storing = check.connect();
  const Name name = check.fresh_name();
  const auto hold = check.span(6s);
  for (Session& session : sessions) session.send(acquire_request(name, {.hold = hold}));
  (void)sessions.back().silent_for(check.span(100ms));
  check.store(storing, name, "body");
  for (Session& session : sessions) {
    const Response response = session.response(hold + check.span(5s));
    check.expect_status(
        response, 200,
        "each of " + std::to_string(sessions.size()) + " requests for a key that was then stored",
        Symptom::woken);
    check.release(session, check.grant_in(response));
  }
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
  // As many lease requests may wait as eight engines have in flight, and those of one for one key.
  (void)middle_of_holds(check, sessions, check.span(1s));
  wake_all(check, std::span(sessions).first(128));
}

}  // namespace

std::span<const CheckEntry> concurrency_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"CONC-01", core, exclusive, one_engines_connections_are_served},
      {"CONC-02", core, exclusive, held_requests_delay_nobody},
      {"CONC-03", core, exclusive, concurrent_bodies_are_kept_apart},
      {"CONC-04", core, parallel, concurrent_leases_are_different},
      {"CONC-05", full, exclusive, no_worker_starves},
      {"CONC-06", full, exclusive, eight_workers_connections_are_served},
      {"CONC-07", full, exclusive, streams_delay_nobody},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
