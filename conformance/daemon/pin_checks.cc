// SPDX-License-Identifier: Apache-2.0
// Pins and eviction. Every check here fills the cache, so it needs to be told the capacity. A pin
// is judged by the bytes that stand under the lease once all other room has been used anew, never
// by what a release is answered.
#include <algorithm>
#include <deque>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

// In eighths. In the long run, so that room which is lost bit by bit is missed.
constexpr int in_short = 16;
constexpr int in_the_long_run = 28;

/// Stores an object and leases it in one of the ways in which leases come about.
class Histories {
 public:
  Histories(Check& check, HeldObjects& held)
      : check_(check),
        held_(held),
        session_(check.connect()),
        other_(check.connect()),
        many_(check.connect_many(16)) {}

  void make_all() {
    plain();
    // Small objects may be kept in another way.
    for (const std::size_t size : {1, 100, 1000, 4095, 5000}) of_size(size);
    over_a_closed_connection();
    woken();
    before_a_conflict();
    before_a_put_cut_short();
    before_a_malformed_request();
    beside_a_release(true);
    beside_a_release(false);
    beside_a_second_release();
    beside_two_releases_at_once();
    before_many_others();
    among_as_many_as_a_byte_counts(256, 0);
    among_as_many_as_a_byte_counts(300, 299);
    before_a_release_of_another_object();
    before_a_release_in_another_bucket();
    beside_an_equal_object();
    beside_a_shorter_lease(true);
    beside_a_shorter_lease(false);
    behind_a_released_lease();
    behind_a_reused_id();
    beside_a_delete();
    // Twice, for a lease of somebody else may expire at the same moment.
    behind_an_expired_id();
    behind_an_expired_id();
  }

 private:
  using Object = std::pair<Name, std::string>;

  Object stored() {
    auto object = held_.make();
    check_.store(session_, object.first, object.second);
    return object;
  }

  Grant lease(const Object& object) { return lease(object, held_.ttl()); }
  Grant lease(const Object& object, std::chrono::milliseconds ttl) {
    return check_.lease(session_, object.first, {.ttl = ttl});
  }

  void of_size(std::size_t size) {
    const Object object = held_.make(size);
    check_.store(session_, object.first, object.second);
    held_.add(lease(object), object.second, "that has " + std::to_string(size) + " bytes");
  }

  void plain() {
    const Object object = stored();
    held_.add(lease(object), object.second, "by a request of its own");
  }

  void over_a_closed_connection() {
    const Object object = stored();
    Session brief = check_.connect();
    held_.add(check_.lease(brief, object.first, {.ttl = held_.ttl()}), object.second,
              "over a connection that was then closed");
    brief.close();
  }

  /// Whether it is woken at once is HOLD-04's to judge.
  void woken() {
    const Object object = held_.make();
    other_.send(acquire_request(object.first, {.hold = check_.span(900ms), .ttl = held_.ttl()}));
    (void)other_.silent_for(50ms);
    check_.store(session_, object.first, object.second);
    const Response response = other_.response(check_.span(8s));
    if (response.status / 100 != 2) return;
    held_.add(check_.grant_in(response), object.second, "by a request that waited for it");
  }

  void before_a_conflict() {
    const Object object = stored();
    held_.add(lease(object), object.second, "before a second PUT of its key");
    Session session = check_.connect();
    (void)session.put(object.first, check_.bytes(object.second.size()));
  }

  void before_a_put_cut_short() {
    const Object object = stored();
    held_.add(lease(object), object.second, "before a PUT of its key that was cut short");
    Session session = check_.connect();
    (void)session.try_send_raw(session.head_of(put_request(object.first, object.second)) +
                               object.second.substr(0, object.second.size() / 2));
    session.close();
  }

  void before_a_malformed_request() {
    const Object object = stored();
    held_.add(lease(object), object.second, "before a lease request that is malformed");
    Session session = check_.connect();
    session.send({"POST", object.first.target() + "/leases?timeout_ms=0&ttl_s=x", {}, {}});
    if (const auto response = session.response_or_close(); response && response->status == 200)
      check_.release(session_, check_.grant_in(*response));
  }

  void beside_a_release(bool of_the_first) {
    const Object object = stored();
    const Grant first = lease(object);
    const Grant second = lease(object);
    check_.release(other_, of_the_first ? first : second);
    held_.add(of_the_first ? second : first, object.second,
              of_the_first ? "after another lease on it that was then released"
                           : "before another lease on it that was then released");
  }

  void beside_a_second_release() {
    const Object object = stored();
    const Grant released = lease(object);
    held_.add(lease(object), object.second, "beside a lease on it that was released twice");
    check_.release(other_, released);
    check_.release(other_, released);
  }

  void beside_two_releases_at_once() {
    const Object object = stored();
    const Grant released = lease(object);
    held_.add(lease(object), object.second,
              "beside a lease on it that was released over two connections at once");
    for (Session* session : {&session_, &other_}) session->send(release_request(released.id));
    for (Session* session : {&session_, &other_}) (void)session->response();
    check_.forget(released);
  }

  void before_many_others() {
    const Object object = stored();
    held_.add(lease(object), object.second, "before a hundred other leases");
    (void)many_leases(stored(), 100);
  }

  /// 256 leases on one object are none to a counter of 8 bits.
  void among_as_many_as_a_byte_counts(std::size_t count, std::size_t released) {
    const Object object = stored();
    const std::vector<Grant> leases = many_leases(object, count);
    (void)check_.release_many(many_, std::span(leases).first(released));
    held_.add(leases.back(), object.second,
              "among " + std::to_string(count) + " leases, of which " + std::to_string(released) +
                  " were released");
  }

  void before_a_release_of_another_object() {
    const Object object = stored();
    held_.add(lease(object), object.second, "before another object's lease that was then released");
    check_.release(session_, lease(stored()));
  }

  void before_a_release_in_another_bucket() {
    const Object object = stored();
    held_.add(lease(object), object.second,
              "before a lease on the same key of another bucket that was then released");
    const Name other{object.first.bucket + "-other", object.first.key};
    check_.store(session_, other, "x");
    check_.release(session_, check_.lease(session_, other, {.ttl = held_.ttl()}));
  }

  /// A daemon may let both lie at one place; the other one gives way when the cache is filled.
  void beside_an_equal_object() {
    const Object object = stored();
    const Name twin = check_.fresh_name();
    check_.store(session_, twin, object.second);
    held_.add(check_.lease(session_, twin, {.ttl = held_.ttl()}), object.second,
              "beside an object of the same bytes");
  }

  void beside_a_shorter_lease(bool before) {
    const Object object = stored();
    if (before) (void)lease(object, check_.span(300ms));
    held_.add(lease(object), object.second,
              before ? "after a short lease on it that has expired"
                     : "before a short lease on it that has expired");
    if (!before) (void)lease(object, check_.span(300ms));
  }

  void behind_a_released_lease() {
    const Object object = stored();
    const Grant released = lease(object, check_.span(400ms));
    check_.release(session_, released);
    held_.add(lease(object), object.second, "after a lease that was released before its TTL ended");
  }

  void behind_a_reused_id() {
    const Object object = stored();
    const Grant released = lease(object);
    check_.release(session_, released);
    held_.add(lease(object), object.second, "after a release that was then sent a second time");
    (void)other_.release(released.id);
  }

  /// The client of an expired lease releases it late, when others may have been given its id.
  void behind_an_expired_id() {
    const Object object = stored();
    const Grant over = lease(object, check_.span(100ms));
    std::this_thread::sleep_for(check_.span(130ms));
    held_.add(lease(object), object.second,
              "before the late release of a lease on it that had just expired");
    check_.release(session_, over);
  }

  void beside_a_delete() {
    const Object object = stored();
    const Grant grant = lease(object);
    held_.add(grant, object.second, "before a DELETE of the lease under its key");
    (void)other_.ask({"DELETE", object.first.target() + "/leases/" + grant.id, {}, {}});
  }

  std::vector<Grant> many_leases(const Object& object, std::size_t count) {
    return check_.lease_many(many_, object.first, count, {.ttl = held_.ttl()},
                             "one of many leases on one object");
  }

  Check& check_;
  HeldObjects& held_;
  Session session_;
  Session other_;
  std::vector<Session> many_;
};

/// That a lease's bytes stand when more than half of its TTL has passed and the cache has been
/// filled. False where its TTL was over by then, so that nothing can be said.
bool keeps_its_bytes(Check& check, Pressure& pressure, Session& session, Duration ttl) {
  const LeaseTerms terms{.ttl = std::chrono::ceil<std::chrono::milliseconds>(ttl)};
  HeldObjects brief(check, terms.ttl);
  const auto [name, body] = brief.make();
  check.store(session, name, body);
  const TimePoint asked = now();
  brief.add(check.lease(session, name, terms), body, "for " + in_ms(ttl));
  const auto [other_name, other_body] = brief.make();
  check.store(session, other_name, other_body);
  const Grant over = check.lease(session, other_name, {.ttl = check.span(100ms)});
  std::this_thread::sleep_until(asked + ttl * 55 / 100);
  // The client of an expired lease releases it late, when others may have been given its id.
  brief.add(check.lease(session, other_name, {.ttl = pressure.long_ttl()}), other_body,
            "before the late release of a lease on it that had expired");
  check.release(session, over);
  pressure.refill();
  const bool in_time = now() < asked + ttl - 100ms;
  if (in_time) {
    brief.expect_intact("after more than half of its TTL");
    // By now what is no longer pinned is the oldest, and gives way to a few.
    std::this_thread::sleep_until(asked + ttl * 91 / 100);
    pressure.store_small_ones();
    if (now() < asked + ttl - 30ms) brief.expect_intact("near the end of its TTL");
  }
  brief.release_all(session);
  return in_time;
}

/// A PUT needs room as it begins and takes it as it ends; what was leased between is not its to
/// take.
void leases_got_during_a_put_pin(Pressure& pressure) {
  pressure.store_around([&] { pressure.lease_what_is_there(); });
  pressure.store_small_ones();
  pressure.expect_pinned_bytes("leased while a PUT was under way in a full cache");
  pressure.release_all();
}

void leased_bytes_do_not_change(Check& check) {
  Pressure pressure(check);
  Session session = check.connect();
  const TimePoint filling = now();
  pressure.refill();
  const Duration refill = now() - filling;
  leases_got_during_a_put_pin(pressure);
  // In a full cache, where one that copies what it leases has no room for copies.
  HeldObjects held(check, pressure.long_ttl());
  const TimePoint begun = now();
  Histories(check, held).make_all();
  pressure.refill();
  held.expect_intact("after the cache was filled");

  // So long that the cache can be filled within the second half of it. Where that takes longer than
  // before, once more with a longer one.
  const auto shortest = check.span(check.profile() == Profile::core ? 1000ms : 2000ms);
  bool in_time = false;
  for (auto ttl = std::max<Duration>(shortest, 4 * refill); !in_time && ttl < check.span(25s);
       ttl *= 2) {
    in_time = keeps_its_bytes(check, pressure, session, ttl);
    held.expect_intact("after some seconds, the cache having been filled again");
  }
  if (!in_time) check.figure("pins beyond half of a TTL", "not judged: filling took too long");
  if (check.profile() == Profile::core) return;
  // Limits that are not the TTL's are round numbers.
  for (const std::chrono::seconds limit : {5s, 30s}) {
    if (limit > 5s && check.profile() != Profile::stress) break;
    std::this_thread::sleep_until(begun + limit + 600ms);
    pressure.refill();
    held.expect_intact("after more than " + std::to_string(limit.count()) +
                       " s, the cache having been filled again");
  }
  held.release_all(session);
}

/// Fills the cache with small objects and asks for leases on the oldest while others are stored:
/// what gives way at that moment is a miss, or stays.
void expect_pins_beside_evictions(Check& check) {
  constexpr std::uint64_t largest_cache = 1u << 30;
  constexpr std::size_t objects = 256;  // As many as fill the cache.
  constexpr std::size_t rounds = 96;
  constexpr std::size_t held = 96;
  if (check.capacity() > largest_cache) return;  // It would take too long.
  const std::string filling = check.bytes(check.capacity() / objects);
  const auto body_of = [&](const Name& name) { return name.key + filling.substr(name.key.size()); };
  std::vector<Session> asking = check.connect_many(4);
  Session storing = check.connect();
  std::vector<Name> names;
  std::size_t oldest = 0;
  std::deque<std::pair<Grant, Name>> leases;
  const auto judge_first = [&] {
    const auto [grant, name] = leases.front();
    leases.pop_front();
    check.expect(grant.asked + check.span(50s) < now() ||
                     check.segment().read(grant.fragments).value_or("") == body_of(name),
                 "the bytes of an object leased while others were stored in a full cache",
                 "other bytes", Symptom::bytes);
    check.release(storing, grant);
  };
  for (std::size_t i = 0; i < objects + rounds; ++i) {
    names.push_back(check.fresh_name());
    const bool full = i >= objects;
    for (std::size_t k = 0; full && k < asking.size(); ++k)
      asking[k].send(acquire_request(names[oldest + k], {.ttl = check.span(60s)}));
    (void)storing.put(names.back(), body_of(names.back()));
    for (std::size_t k = 0; full && k < asking.size(); ++k) {
      const Response response = asking[k].response();
      if (response.status / 100 == 2)
        leases.emplace_back(check.grant_in(response), names[oldest + k]);
    }
    if (full) oldest = std::min(oldest + asking.size(), i - asking.size());
    while (leases.size() > held) judge_first();
  }
  while (!leases.empty()) judge_first();
}

/// No object under lease gives way, even where there is nothing else to give way.
void leased_object_stays(Check& check) {
  Pressure pressure(check);
  Session session = check.connect();
  (void)pressure.store();  // So that long_ttl() knows how quick that is.
  const Name name = check.fresh_name();
  const std::string body = check.bytes(100'000);
  check.store(session, name, body);
  const Grant grant = check.lease(session, name, {.ttl = pressure.long_ttl()});
  // Another's release must not unpin it, however often it is sent.
  const Grant other = check.lease(session, name);
  check.release(session, other);
  (void)session.release(other.id);
  (void)pressure.pin(7);
  pressure.refill();
  check.expect_bytes(grant, body, "a leased object after much was stored");
  pressure.expect_pinned_bytes("with the whole cache leased and more stored");
  // What asks for more room than nothing can give is refused, whatever its size.
  for (const std::uint64_t eighths : {5, 8}) {
    const std::uint64_t size = eighths * pressure.size();
    (void)pressure.store(check.fresh_name(), size);
    const std::string when =
        "after a PUT of " + std::to_string(size) + " bytes into a leased cache";
    check.expect_bytes(grant, body, "a leased object " + when);
    pressure.expect_pinned_bytes(when);
  }
  // A daemon that copies what it leases may have no room for another copy.
  const Response response = session.acquire(name);
  if (response.status / 100 == 2)
    check.expect_bytes(check.grant_in(response), body, "a leased object under a second lease");
  pressure.release_all();
  if (check.profile() != Profile::core) expect_pins_beside_evictions(check);
}

/// Ten thousand objects of many sizes, so that room is taken and given back in every way.
void churn(Check& check) {
  constexpr int count = 10'000;
  const std::uint64_t largest = std::clamp<std::uint64_t>(check.capacity() / 256, 64, 256u << 10);
  const std::string body = check.bytes(largest);
  Session session = check.connect();
  for (int i = 0; i < count; ++i) {
    const Name name = check.fresh_name();
    const std::string_view bytes =
        std::string_view(body).substr(static_cast<std::uint64_t>(i) * 7919 % (largest - 1));
    check.expect_status(session.put(name, bytes), 200,
                        "PUT " + std::to_string(i + 1) + " of " + std::to_string(count) +
                            " small objects, nothing being leased",
                        Symptom::room);
    if (i % 50 == 0) check.expect_stored(session, name, bytes);
  }
}

/// Also when every key is stored a second time, which takes no room.
void unpinned_objects_give_way(Check& check) {
  Pressure pressure(check);
  const int puts = check.profile() == Profile::core ? in_short : in_the_long_run;
  for (int i = 0; i < puts; ++i) {
    const Name name = check.fresh_name();
    check.expect_status(
        pressure.store(name), 200,
        "PUT " + std::to_string(i + 1) + " of an eighth of the cache, nothing being leased",
        Symptom::room);
    if (i % 4 == 0) (void)pressure.store(name);
  }
  if (check.profile() == Profile::stress) churn(check);
}

void expired_leases_pin_nothing(Check& check) {
  Pressure pressure(check);
  check.expect(pressure.pin_by(Way::waiting, 5, check.span(1s)) == 5,
               "room for 5 eighths of the cache", "none");
  std::this_thread::sleep_for(check.span(1500ms));
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 eighths of the cache when the leases on 5 others have expired",
               "room for " + std::to_string(fitted));
}

/// A key whose PUT found no room is free when there is room.
void expect_refused_key_free(Check& check, Session& session, Pressure& pressure) {
  const auto [name, refusal] = pressure.pin_until_refused();
  pressure.release_all();
  check.expect_absent(session, name, "its PUT found no room");
  const Response again = pressure.store(name);
  check.expect(again.status != 409, "a key whose PUT found no room to be free",
               described(again) + " after " + described(refusal));
}

/// A PUT that is refused because its object is there does not make it give way to itself.
void expect_conflicts_drop_nothing(Check& check, Session& session, Pressure& pressure) {
  // Of eighths that fill the cache, the first or the second is the next to give way.
  for (const std::size_t oldest : {0, 1}) {
    std::vector<Name> names;
    for (int i = 0; i < 8; ++i) {
      names.push_back(check.fresh_name());
      (void)pressure.store(names.back());
    }
    if (pressure.store(names[oldest]).status != 409) continue;
    const Response granted = session.acquire(names[oldest]);
    check.expect_present(granted, "a lease on an eighth whose second PUT was answered 409");
    if (granted.status / 100 == 2) check.release(session, check.grant_in(granted));
  }
}

/// A PUT that is under way while the cache is filled, and ends later.
class SlowPut {
 public:
  SlowPut(Check& check, const std::pair<Name, std::string>& object)
      : check_(check), session_(check.connect()), name_(object.first), body_(object.second) {
    const std::string half = body_.substr(0, body_.size() / 2);
    (void)session_.try_send_raw(session_.head_of(put_request(name_, body_)) + half);
  }

  /// If it is stored then, its bytes are the body's. It may be refused, for there was no room.
  void finish() {
    (void)session_.try_send_raw(std::string_view(body_).substr(body_.size() / 2));
    const auto stored = session_.response_or_close(check_.span(std::chrono::seconds(10)));
    if (!stored || stored->status != 200) return;
    const Grant grant = check_.lease(session_, name_);
    check_.expect_bytes(grant, body_, "an object whose PUT was under way as the cache was filled");
    check_.release(session_, grant);
  }

 private:
  Check& check_;
  Session session_;
  Name name_;
  std::string body_;
};

/// What was stored before the cache was filled is there with its own bytes, or not there at all and
/// can be stored anew.
void evicted_keys_are_absent(Check& check) {
  constexpr int count = 24;
  Session session = check.connect();
  HeldObjects sizes(check);
  std::vector<std::pair<Name, std::string>> objects;
  for (int i = 0; i < count; ++i) {
    objects.push_back(sizes.make());
    check.store(session, objects.back().first, objects.back().second);
  }
  Pressure pressure(check);
  SlowPut slow(check, sizes.make());
  pressure.refill();
  slow.finish();
  int evicted = 0;
  std::vector<std::pair<Grant, std::string>> anew;
  for (const auto& [name, body] : objects) {
    const Response looked_up = session.acquire(name, {.ttl = pressure.long_ttl()});
    if (looked_up.status / 100 == 2) {
      const Grant grant = check.grant_in(looked_up);
      check.expect_bytes(grant, body, "an object that is granted after the cache was filled");
      check.release(session, grant);
      continue;
    }
    ++evicted;
    const std::string other = check.bytes(body.size());
    check.expect_status(session.put(name, other), 200, "the PUT of a key that was evicted");
    const Response granted = session.acquire(name, {.ttl = pressure.long_ttl()});
    check.expect_present(granted, "a lease on a key stored anew, at once");
    check.expect(granted.status / 100 == 2, "a lease on a key stored anew, at once",
                 described(granted));
    anew.emplace_back(check.grant_in(granted), other);
    check.expect_bytes(anew.back().first, other, "an object stored anew after its eviction");
  }
  check.figure("objects evicted of " + std::to_string(count), std::to_string(evicted));
  pressure.expect_own_bytes_or_none("granted after the cache was filled");
  // A cache that is full takes what is stored, and keeps it while it is leased.
  for (int i = 0; i < 3; ++i) {
    const auto [name, body] = sizes.make();
    check.store(session, name, body);
    const Response granted = session.acquire(name, {.ttl = pressure.long_ttl()});
    check.expect_present(granted, "a lease on what a full cache has just stored");
    check.expect(granted.status / 100 == 2, "a lease on what a full cache has just stored",
                 described(granted));
    anew.emplace_back(check.grant_in(granted), body);
  }
  for (int i = 0; i < 4; ++i) {
    const Name name = check.fresh_name();
    if (pressure.store(name).status / 100 != 2) continue;  // PIN-03 is about that.
    const Response found = session.acquire(name);
    check.expect_present(found, "a lease on an eighth that a full cache has just stored");
    check.expect(found.status / 100 == 2, "a lease on an eighth that a full cache has just stored",
                 described(found));
    check.release(session, check.grant_in(found));
  }
  pressure.refill();
  for (const auto& [grant, body] : anew) {
    check.expect_bytes(grant, body, "an object stored anew after its eviction, others following");
    check.release(session, grant);
  }
  expect_refused_key_free(check, session, pressure);
  if (check.profile() != Profile::core) expect_conflicts_drop_nothing(check, session, pressure);
}

}  // namespace

std::span<const CheckEntry> pin_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"PIN-01", core, exclusive, leased_bytes_do_not_change},
      {"PIN-02", core, exclusive, leased_object_stays},
      {"PIN-03", core, exclusive, unpinned_objects_give_way},
      {"PIN-04", full, exclusive, expired_leases_pin_nothing},
      {"PIN-05", core, exclusive, evicted_keys_are_absent},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
