// SPDX-License-Identifier: Apache-2.0
// Holding: what happens to a lease request whose key is absent.
#include <algorithm>
#include <set>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

// Clocks are read before the daemon reads its own, so a response may seem early by this much.
constexpr auto early = 20ms;

/// Requests for absent keys that wait at the same time, while things happen that concern them not.
class Waiting {
 public:
  Waiting(Check& check, std::chrono::milliseconds hold) : check_(check), hold_(hold) {}

  Name wait_for(const Name& name, std::string how) {
    return wait_for(name, std::move(how), check_.connect());
  }

  Name wait_for(const Name& name, std::string how, Session session,
                std::chrono::milliseconds ttl = LeaseTerms().ttl) {
    sessions_.push_back(std::move(session));
    sessions_.back().send(acquire_request(name, {.hold = hold_, .ttl = ttl}));
    begun_.push_back(now());
    how_.push_back(std::move(how));
    names_.push_back(name);
    return name;
  }

  /// This one may be answered.
  void ignore(const Name& name) {
    const auto found = std::ranges::find(names_, name.target(), &Name::target);
    const auto at = found - names_.begin();
    sessions_.erase(sessions_.begin() + at);
    begun_.erase(begun_.begin() + at);
    how_.erase(how_.begin() + at);
    names_.erase(found);
  }

  /// That none is answered before its time, and each is soon after it.
  void expect_held() {
    const TimePoint end = begun_.front() + hold_;
    // Many looks, for this thread may be woken too late for one of them.
    for (TimePoint look = now(); look < end; look = std::min(look + 200ms, end - early)) {
      std::this_thread::sleep_until(look);
      for (std::size_t i = 0; i < sessions_.size() && now() < end; ++i) {
        const bool silent = sessions_[i].silent_for(Duration::zero());
        check_.expect(silent || now() >= end, "no response before " + in_ms(hold_) + " " + how_[i],
                      "one came");
      }
      if (look == end - early) break;
    }
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      const Response response = sessions_[i].response(check_.span(5s));
      check_.expect(is_miss(response), "a miss " + how_[i], described(response));
    }
  }

 private:
  Check& check_;
  std::chrono::milliseconds hold_;
  std::vector<Session> sessions_;
  std::vector<TimePoint> begun_;
  std::vector<std::string> how_;
  std::vector<Name> names_;
};

void absent_key_is_held(Check& check) {
  // Longer than the second and the three seconds at which a daemon may think that it is enough.
  const auto hold = check.profile() == Profile::core ? 1300ms : 3400ms;
  Waiting waiting(check, hold);
  Session other = check.connect();
  const Name plain = check.fresh_name();
  Session used = check.connect();
  check.store(used, check.fresh_name(), "x");
  std::this_thread::sleep_for(100ms);
  waiting.wait_for(plain, "for a key that nobody stores");
  waiting.wait_for(check.fresh_name(), "over a connection that was used before", std::move(used));
  waiting.wait_for(check.fresh_name(), "for a lease of half a second", check.connect(), 500ms);
  waiting.wait_for({check.target().bucket + "-" + plain.key, "key"},
                   "for a key in a bucket that does not exist");
  const Name arriving = waiting.wait_for(check.fresh_name(), "while a PUT of its key is under way");
  const Name cut = waiting.wait_for(check.fresh_name(), "while a PUT of its key is cut short");
  const Name refused = waiting.wait_for(check.fresh_name(), "while a PUT of its key is refused");
  const Name elsewhere =
      waiting.wait_for(check.fresh_name(), "while its key is stored in another bucket");
  std::this_thread::sleep_for(100ms);

  Session slow = check.connect();
  const std::string body = check.bytes(2000);
  slow.send_raw(slow.head_of(put_request(arriving, body)) + body.substr(0, 500));
  std::this_thread::sleep_for(50ms);
  waiting.wait_for(arriving, "for a key whose PUT is under way already");
  Session brief = check.connect();
  brief.send_raw(brief.head_of(put_request(cut, body)) + body.substr(0, 500));
  Session broken = check.connect();
  // An empty body is refused by most daemons; where it is stored, this one tells nothing.
  broken.send_raw(broken.head_of(put_request(refused, "")));
  if (const auto response = broken.response_or_close(); response && response->status < 400)
    waiting.ignore(refused);
  check.store(other, {elsewhere.bucket + "-other", elsewhere.key}, "x");
  check.store(other, check.fresh_name(), "x");
  std::this_thread::sleep_for(50ms);
  brief.reset();
  waiting.expect_held();
  slow.close();
}

void miss_is_504_or_404(Check& check) {
  Session session = check.connect();
  for (const auto hold : {0ms, 200ms}) {
    const Response response = session.acquire(check.fresh_name(), {.hold = hold});
    check.expect_one_of(response, {504, 404}, "a lease request whose key stays absent");
  }
}

/// That a hold ends within 500 ms of its time, `beside` other keys that are stored meanwhile.
void expect_end_in_time(Check& check, std::chrono::milliseconds hold, bool beside) {
  constexpr int tries = 3;  // A machine that is busy otherwise may wake somebody late.
  Session session = check.connect();
  std::vector<Session> storing = check.connect_many(8);
  for (int i = 1; i <= tries; ++i) {
    session.send(acquire_request(check.fresh_name(), {.hold = hold}));
    const TimePoint begun = now();
    // Nobody waits for their responses: a daemon may take its time.
    for (std::size_t part = 0; beside && part < storing.size(); ++part) {
      std::this_thread::sleep_until(begun + hold * (part + 1) / (storing.size() + 1));
      storing[part].send(put_request(check.fresh_name(), "x"));
    }
    const Response response = session.response(hold + check.span(8s));
    for (std::size_t part = 0; beside && part < storing.size(); ++part)
      (void)storing[part].response(check.span(8s));
    if (response.took() <= hold + check.span(500ms)) return;
    check.expect(i < tries,
                 "a response within 500 ms of " + in_ms(hold) +
                     (beside ? ", other keys being stored meanwhile" : ""),
                 described(response) + " after " + in_ms(response.took()) + ", and " +
                     std::to_string(tries - 1) + " times before");
  }
}

void hold_ends_in_time(Check& check) {
  for (const auto hold : {0ms, 1000ms}) expect_end_in_time(check, hold, false);
  expect_end_in_time(check, 700ms, true);
  if (check.profile() != Profile::core) expect_end_in_time(check, 1800ms, false);
}

enum class Awaited : std::uint8_t { plain, again, long_since, in_a_new_bucket };

/// How a grant came later than `limit` after the PUT; nullopt if it came in time.
std::optional<std::string> wake_late(Check& check, Awaited how, Duration limit) {
  Session waiting = check.connect();
  Session storing = check.connect();
  Name name = check.fresh_name();
  if (how == Awaited::in_a_new_bucket) name.bucket += "-" + name.key;
  const std::string body = check.bytes(3000);
  const auto hold = check.span(5s);
  if (how == Awaited::again)
    check.expect(is_miss(waiting.acquire(name, {.hold = 50ms})), "a miss", "none");
  waiting.send(acquire_request(name, {.hold = hold}));
  const auto wait = how == Awaited::long_since ? 1300ms : 100ms;
  check.expect(waiting.silent_for(wait), "the request to be held", "a response came at once");
  check.store(storing, name, body);
  const TimePoint stored = now();
  const Response response = waiting.response(hold + check.span(5s));
  if (response.status == 200)
    check.expect_bytes(check.grant_in(response), body, "the object stored meanwhile");
  if (response.status == 200 && response.arrived - stored < limit) return std::nullopt;
  return described(response) + " after " + in_ms(response.arrived - stored);
}

void held_request_is_granted_when_stored(Check& check) {
  for (const auto& [how, text] :
       {std::pair{Awaited::plain, ""},
        {Awaited::again, ", of a key waited for in vain before"},
        {Awaited::long_since, ", of a key waited for longer than a second"},
        {Awaited::in_a_new_bucket, ", which made its bucket"}}) {
    std::optional<std::string> late;
    // A machine that is busy otherwise may wake somebody late.
    for (int tries = 0; tries < 3; ++tries) {
      late = wake_late(check, how, check.span(500ms));
      if (!late) break;
    }
    check.expect(!late, "a grant within 500 ms of the PUT" + std::string(text), late.value_or(""));
  }
}

/// Whenever it is granted: now, or when its time is over.
void waiting_request_gets_its_own_object(Check& check) {
  Session waiting = check.connect();
  Session storing = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(3000);
  const auto hold = check.span(700ms);
  waiting.send(acquire_request(name, {.hold = hold}));
  check.expect(waiting.silent_for(100ms), "the request to be held", "a response came at once");
  check.store(storing, {name.bucket + "-other", name.key}, check.bytes(3000));
  Session slow = check.connect();
  slow.send_raw(slow.head_of(put_request(name, body)) + body.substr(0, 1000));
  check.expect(waiting.silent_for(100ms), "the request to be held while the body is arriving",
               "a response came");
  slow.send_raw(std::string_view(body).substr(1000));
  check.expect(slow.response().status / 100 == 2, "the PUT of an awaited key to be stored",
               "it was not");
  for (int i = 0; i < 4; ++i) check.store(storing, check.fresh_name(), check.bytes(3000));
  const Response response = waiting.response(hold + check.span(5s));
  if (response.status / 100 == 2) {
    check.expect_bytes(check.grant_in(response), body, "the object that was waited for");
  } else {
    check.expect(is_miss(response), "a grant or a miss", described(response));
  }
  check.expect_stored(storing, name, body);
}

void all_waiters_are_granted(Check& check) {
  std::vector<Session> gone = check.connect_many(2);
  std::vector<Session> waiting = check.connect_many(check.profile() == Profile::stress ? 1000 : 8);
  Session storing = check.connect();
  const Name name = check.fresh_name();
  for (Session& session : gone)
    session.send(acquire_request(name, {.hold = check.span(3s), .ttl = 1s}));
  (void)gone.back().silent_for(50ms);
  for (Session& session : gone) session.reset();
  const std::string body = check.bytes(3000);
  for (Session& session : waiting) session.send(acquire_request(name, {.hold = check.span(3s)}));
  check.expect(waiting.back().silent_for(100ms), "the requests to be held",
               "a response came at once");
  check.store(storing, name, body);
  std::set<std::string> ids;
  for (Session& session : waiting) {
    const Response response = session.response(check.span(8s));
    check.expect_status(response, 200, "each request held for a key that was then stored");
    const Grant grant = check.grant_in(response);
    check.expect_bytes(grant, body, "the object stored meanwhile");
    ids.insert(grant.id);
  }
  check.expect(ids.size() == waiting.size(), std::to_string(waiting.size()) + " different leases",
               std::to_string(ids.size()));
}

void disconnected_holder_leaves_no_lease(Check& check) {
  Pressure pressure(check);
  // Leases that are left behind last until the cache has been filled, and must not be in the way of
  // the checks that follow.
  const TimePoint begun = now();
  (void)pressure.store();
  const auto ttl = std::chrono::ceil<std::chrono::milliseconds>(
      std::max<Duration>(check.span(2s), 25 * (now() - begun)));
  std::vector<Name> names;
  std::vector<Session> waiting = check.connect_many(5);
  for (Session& session : waiting) {
    names.push_back(check.fresh_name());
    session.send(acquire_request(names.back(), {.hold = check.span(20s), .ttl = ttl}));
  }
  check.expect(waiting.back().silent_for(check.span(100ms)), "the request to be held",
               "it was answered");
  for (std::size_t i = 0; i < waiting.size(); ++i) i % 2 ? waiting[i].close() : waiting[i].reset();
  std::this_thread::sleep_for(check.span(200ms));
  for (const Name& name : names) (void)pressure.store(name);
  const int fitted = pressure.pin(5);
  if (fitted < 5) {
    pressure.release_all();
    std::this_thread::sleep_for(ttl + check.span(200ms));
  }
  check.expect(fitted == 5,
               "objects whose waiting clients have gone to be unpinned, with room for 5 others",
               "room for " + std::to_string(fitted));
}

void present_key_is_granted_without_hold(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  check.store(session, name, "x");
  std::optional<Response> response;
  // A machine that is busy otherwise may be late once.
  for (int tries = 0; tries < 3; ++tries) {
    response = session.acquire(name, {.hold = check.span(5s)});
    if (response->status / 100 == 2) (void)check.grant_in(*response);
    if (response->status / 100 == 2 && response->took() < check.span(500ms)) return;
  }
  check.expect(false, "a grant at once",
               described(*response) + " after " + in_ms(response->took()));
}

}  // namespace

std::span<const CheckEntry> hold_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"HOLD-01", core, parallel, absent_key_is_held},
      {"HOLD-02", core, parallel, miss_is_504_or_404},
      {"HOLD-03", core, parallel, hold_ends_in_time},
      {"HOLD-04", core, parallel, held_request_is_granted_when_stored},
      {"HOLD-05", core, parallel, all_waiters_are_granted},
      {"HOLD-06", full, exclusive, disconnected_holder_leaves_no_lease},
      {"HOLD-07", core, serial, present_key_is_granted_without_hold},
      {"HOLD-08", core, parallel, waiting_request_gets_its_own_object},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
