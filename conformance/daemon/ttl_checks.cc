// SPDX-License-Identifier: Apache-2.0
// TTL: from when it counts, and that it ends. Whether a lease lives is asked by releasing it.
#include <span>
#include <thread>

#include "daemon/chapters.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

/// That a lease asked for at `asked` is released with 200. Skips the check where its TTL may have
/// passed by then, for then nothing can be said.
void expect_alive_at(Check& check, Session& session, const Grant& grant, TimePoint asked,
                     Duration ttl, const std::string& what, Symptom symptom = Symptom::lease) {
  const Response response = session.release(grant.id);
  check.forget(grant);
  if (response.status != 200 && response.arrived >= asked + ttl)
    check.skip("this machine is too busy: a lease was released after its TTL of " + in_ms(ttl));
  check.expect_status(response, 200,
                      "a release " + in_ms(now() - asked) + " after a request with " + what,
                      symptom);
}

/// That a lease is released just before its end. Nothing is said where no release was quick enough.
void expect_alive_to_the_end(Check& check, Session& session, const Name& name) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto ttl = check.span(1000ms);
    const TimePoint asked = now();
    const Grant grant = check.lease(session, name, {.ttl = ttl});
    std::this_thread::sleep_until(asked + ttl - 60ms);
    const Response response = session.release(grant.id);
    check.forget(grant);
    if (response.arrived >= asked + ttl) continue;
    check.expect_status(response, 200,
                        "a release " + in_ms(response.arrived - asked) +
                            " after a request with a TTL of " + in_ms(ttl),
                        Symptom::lease);
    return;
  }
}

/// Tells PUT-18 if an object that nobody leased is there. It may have been evicted.
void look_for_old_object(Check& check, Session& session, const Name& name, TimePoint stored) {
  if (now() < stored + check.span(objects_stay)) return;
  const Response response = session.acquire(name);
  if (response.status / 100 != 2) return;
  check.release(session, check.grant_in(response));
  check.target().left_alone->found = true;
}

/// Leaves two objects to PUT-18 that leases keep from being evicted: one until this check ends, the
/// other for as long as it may take to fill the cache for the other checks.
void leave_leased_objects(Check& check, Session& session) {
  for (const auto ttl : {21'500ms, 300'000ms}) {
    const Name name = check.stored(session);
    const Grant grant = check.lease(session, name, {.ttl = ttl});
    check.forget(grant);
    check.target().left_alone->leased.push_back({name, grant, now() + ttl});
  }
}

/// That of these leases of 30 s each is alive at its time. Other checks hold theirs for a shorter
/// time: what ends late explains nothing of what they see.
void expect_alive_later(Check& check, std::span<const Grant> usual, TimePoint asked) {
  const auto expect_alive = [&](const Grant& grant, Duration after) {
    std::this_thread::sleep_until(asked + after);
    Session session = check.connect();
    expect_alive_at(check, session, grant, asked, 30s, "ttl_s=30.0", Symptom::other);
  };
  // Limits that are not the TTL's are round numbers.
  expect_alive(usual[1], 5600ms);
  {
    Session session = check.connect();
    // By now little else is stored beside this check.
    const Name name = check.stored(session);
    const TimePoint stored = now();
    leave_leased_objects(check, session);
    expect_alive(usual[2], 10'600ms);
    look_for_old_object(check, session, name, stored);
  }
  check.only_waits();
  // Early enough for a daemon that is slow to answer beside a check that loads it.
  expect_alive(usual[3], 27s);
}

void lease_lives_for_its_ttl(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  const bool brief = check.profile() == Profile::core;
  const auto ttl = check.span(brief ? 1200ms : 2000ms);
  // Pins the object meanwhile: other checks may fill the cache.
  const Grant hour = check.lease(session, name, {.ttl = 3'601s});
  std::vector<Grant> usual;
  const TimePoint usual_asked = now();
  for (int i = 0; i < 4; ++i) usual.push_back(check.lease(session, name, {.ttl = 30s}));
  // A lease before it on the same object, and one that waited, must not shorten it.
  check.release(session, check.lease(session, name, {.ttl = ttl}));
  Session waiting = check.connect();
  const Name awaited = check.fresh_name();
  waiting.send(acquire_request(awaited, {.hold = check.span(1000ms), .ttl = 3 * ttl}));
  (void)waiting.silent_for(check.span(brief ? 300ms : 700ms));
  check.store(session, awaited, "x");
  const Response woken = waiting.response(check.span(6s));
  const TimePoint woken_at = woken.arrived;
  const TimePoint before = now();
  const Grant grant = check.lease(session, name, {.ttl = ttl});
  // Begun at several moments of a second, for a clock may tell whole seconds only.
  std::vector<Grant> spread;
  for (int i = 1; i < 5; ++i) {
    std::this_thread::sleep_until(before + i * check.span(200ms));
    spread.push_back(check.lease(session, name, {.ttl = ttl}));
  }
  std::this_thread::sleep_until(before + ttl - check.span(500ms));
  expect_alive_at(check, session, grant, before, ttl, "a TTL of " + in_ms(ttl));
  for (std::size_t i = 0; i < spread.size(); ++i) {
    const TimePoint asked = before + (int(i) + 1) * check.span(200ms);
    std::this_thread::sleep_until(asked + ttl - check.span(500ms));
    expect_alive_at(check, session, spread[i], asked, ttl, "a TTL of " + in_ms(ttl));
  }
  expect_alive_at(check, session, hour, before, 3601s, "ttl_s=3601.0");
  // A request that waited may count its TTL from its sending.
  if (woken.status / 100 == 2) {
    expect_alive_at(check, waiting, check.grant_in(woken), woken_at, 3 * ttl - check.span(1000ms),
                    "a TTL of " + in_ms(3 * ttl) + " that waited");
  }
  expect_alive_at(check, session, usual[0], usual_asked, 30s, "ttl_s=30.0");
  if (brief) return;
  expect_alive_to_the_end(check, session, name);
  session.close();
  waiting.close();
  expect_alive_later(check, usual, usual_asked);
}

/// The form that Python gives to small and large numbers.
void exponents_are_understood(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  const TimePoint before = now();
  const Response granted =
      session.ask({"POST", name.target() + "/leases?timeout_ms=0&ttl_s=1e%2B16", {}, {}});
  check.expect_status(granted, 200, "a lease request with ttl_s=1e%2B16");
  const Grant grant = check.grant_in(granted);
  // While the first lease pins the object: in a small cache others may evict it later.
  const Response brief =
      session.ask({"POST", name.target() + "/leases?timeout_ms=0&ttl_s=1e-05", {}, {}});
  check.expect_status(brief, 200, "a lease request with ttl_s=1e-05");
  (void)check.grant_in(brief);
  std::this_thread::sleep_until(before + 1400ms);
  expect_alive_at(check, session, grant, before, 1h, "ttl_s=1e+16");
}

void fraction_of_ttl_counts(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  // Some count halves of a second: looked at behind the half, and behind the whole where no release
  // was quick enough for that.
  constexpr auto ttl = 1990ms;
  constexpr int tries = 2;
  for (int i = 0; i < tries; ++i) {
    const TimePoint before = now();
    const Grant late = check.lease(session, name, {.ttl = ttl});
    const Grant early = check.lease(session, name, {.ttl = ttl});
    std::this_thread::sleep_until(before + 1400ms);
    expect_alive_at(check, session, early, before, ttl, "ttl_s=1.99");
    std::this_thread::sleep_until(before + 1650ms);
    const Response response = session.release(late.id);
    check.forget(late);
    if (response.status != 200 && response.arrived >= before + ttl) continue;
    check.expect_status(
        response, 200,
        "a release " + in_ms(response.arrived - before) + " after a request with ttl_s=1.99",
        Symptom::lease);
    return;
  }
}

void lease_ends_after_its_ttl(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  // Together less than a second, to which a daemon may raise what is shorter.
  const auto ttl = check.span(300ms);
  const LeaseTerms longer{.ttl = check.span(10s)};
  // Whatever other leases there are on the object.
  std::vector<std::pair<Grant, std::string_view>> brief;
  brief.emplace_back(check.lease(session, name, {.ttl = ttl}), "alone on its object");
  const Name other = check.stored(session);
  const Grant before = check.lease(session, other, longer);
  brief.emplace_back(check.lease(session, other, {.ttl = ttl}), "after a longer one");
  const Name third = check.stored(session);
  brief.emplace_back(check.lease(session, third, {.ttl = ttl}), "before a longer one");
  const Grant after = check.lease(session, third, longer);
  std::this_thread::sleep_for(ttl + check.span(500ms));
  for (const auto& [grant, where] : brief) {
    check.forget(grant);
    check.expect_status(session.release(grant.id), 404,
                        "a release 500 ms after the TTL of " + in_ms(ttl) +
                            " has passed, of a lease " + std::string(where));
  }
  check.release(session, before);
  check.release(session, after);
}

void each_lease_has_its_own_ttl(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  const Grant before = check.lease(session, name, {.ttl = check.span(10s)});
  check.forget(check.lease(session, name, {.ttl = check.span(300ms)}));
  const Grant after = check.lease(session, name, {.ttl = check.span(10s)});
  std::this_thread::sleep_for(check.span(800ms));
  for (const Grant* grant : {&before, &after}) {
    check.expect_status(
        session.release(grant->id), 200,
        "the release of a long lease after a short one on the same object has ended",
        Symptom::lease);
    check.forget(*grant);
  }
}

}  // namespace

std::span<const CheckEntry> ttl_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"TTL-01", core, patient, lease_lives_for_its_ttl},
      {"TTL-02", core, parallel, fraction_of_ttl_counts},
      {"TTL-03", core, parallel, lease_ends_after_its_ttl},
      {"TTL-04", core, parallel, each_lease_has_its_own_ttl},
      {"TTL-05", full, parallel, exponents_are_understood},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
