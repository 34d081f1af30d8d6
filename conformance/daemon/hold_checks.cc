// Holding: what happens to a lease request whose key is absent.
#include <set>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

// Clocks are read before the daemon reads its own, so an answer may seem early by this much.
constexpr auto early = 20ms;

void absent_key_is_held(Check& check) {
  Session session = check.connect();
  for (const auto hold : {300ms, 800ms}) {
    const Answer answer = session.acquire(check.fresh_name(), {.hold = hold});
    check.expect(answer.took() >= hold - early, "no answer before " + in_ms(hold),
                 described(answer) + " after " + in_ms(answer.took()));
  }
}

void miss_is_504_or_404(Check& check) {
  Session session = check.connect();
  for (const auto hold : {0ms, 200ms}) {
    const Answer answer = session.acquire(check.fresh_name(), {.hold = hold});
    check.expect_one_of(answer, {504, 404}, "a lease request whose key stays absent");
  }
}

void hold_ends_in_time(Check& check) {
  Session session = check.connect();
  for (const auto hold : {0ms, 1000ms}) {
    const Answer answer = session.acquire(check.fresh_name(), {.hold = hold});
    check.expect(answer.took() <= hold + check.span(500ms),
                 "an answer within 500 ms of " + in_ms(hold),
                 described(answer) + " after " + in_ms(answer.took()));
  }
}

void held_request_is_granted_when_stored(Check& check) {
  Session waiting = check.connect();
  Session storing = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(3000);
  const auto hold = check.span(5s);
  waiting.send(acquire_request(name, {.hold = hold}));
  check.expect(waiting.silent_for(100ms), "the request to be held", "an answer came at once");
  check.store(storing, name, body);
  const Moment stored = now();
  const Answer answer = waiting.answer(hold + check.span(5s));
  check.expect(answer.status == 200 && answer.arrived - stored < check.span(500ms),
               "a grant within 500 ms of the PUT",
               described(answer) + " after " + in_ms(answer.arrived - stored));
  check.expect_bytes(check.grant_in(answer), body, "the object stored meanwhile");
}

void all_waiters_are_granted(Check& check) {
  std::vector<Session> waiting = check.connect_many(8);
  Session storing = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(3000);
  for (Session& session : waiting) session.send(acquire_request(name, {.hold = check.span(3s)}));
  check.expect(waiting.back().silent_for(100ms), "the requests to be held",
               "an answer came at once");
  check.store(storing, name, body);
  std::set<std::string> ids;
  for (Session& session : waiting) {
    const Answer answer = session.answer(check.span(8s));
    check.expect_status(answer, 200, "each of 8 requests held for a key that was then stored");
    const Grant grant = check.grant_in(answer);
    check.expect_bytes(grant, body, "the object stored meanwhile");
    ids.insert(grant.id);
  }
  check.expect(ids.size() == waiting.size(), "8 different leases", std::to_string(ids.size()));
}

void disconnected_holder_leaves_no_lease(Check& check) {
  Pressure pressure(check);
  std::vector<Name> names;
  std::vector<Session> waiting = check.connect_many(5);
  for (Session& session : waiting) {
    names.push_back(check.fresh_name());
    session.send(acquire_request(names.back(), {.hold = check.span(20s), .ttl = 60s}));
  }
  check.expect(waiting.back().silent_for(check.span(100ms)), "the request to be held",
               "it was answered");
  for (std::size_t i = 0; i < waiting.size(); ++i) i % 2 ? waiting[i].close() : waiting[i].reset();
  std::this_thread::sleep_for(check.span(200ms));
  for (const Name& name : names) (void)pressure.store(name);
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "objects whose waiting clients have gone to be unpinned, with room for 5 others",
               "room for " + std::to_string(fitted));
}

void present_key_is_granted_without_hold(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  check.store(session, name, "x");
  const Answer answer = session.acquire(name, {.hold = check.span(5s)});
  check.expect(answer.status / 100 == 2 && answer.took() < check.span(500ms), "a grant at once",
               described(answer) + " after " + in_ms(answer.took()));
  (void)check.grant_in(answer);
}

}  // namespace

std::span<const CheckEntry> hold_checks() {
  using enum Profile;
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"HOLD-01", core, patient, absent_key_is_held},
      {"HOLD-02", core, patient, miss_is_504_or_404},
      {"HOLD-03", core, patient, hold_ends_in_time},
      {"HOLD-04", core, patient, held_request_is_granted_when_stored},
      {"HOLD-05", core, patient, all_waiters_are_granted},
      {"HOLD-06", full, alone, disconnected_holder_leaves_no_lease},
      {"HOLD-07", core, quick, present_key_is_granted_without_hold},
  };
  return entries;
}

}  // namespace hyperpod::conformance
