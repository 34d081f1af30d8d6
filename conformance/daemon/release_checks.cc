// SPDX-License-Identifier: Apache-2.0
// Releasing: what it answers, what it ends, and what is none.
#include <array>
#include <cstdio>
#include <span>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

void live_lease_is_released_with_200(Check& check) {
  Session session = check.connect();
  const Grant grant = check.lease(session, check.stored(session));
  check.expect_status(session.release(grant.id), 200, "the release of a live lease",
                      Symptom::lease);
  check.forget(grant);
}

/// Ids that nobody was given, with the whole of one that is live.
std::array<std::string, 2> near_ids(const Grant& grant) {
  return {grant.id + "XX", "XX" + grant.id};
}

void unknown_id_is_answered_404(Check& check) {
  Session session = check.connect();
  check.expect_status(session.release("no-such-lease"), 404, "the release of an id never given");
  const Grant grant = check.lease(session, check.stored(session));
  check.release(session, grant);
  check.expect_status(session.release(grant.id), 404, "the second release of a lease");
  const Grant live = check.lease(session, check.stored(session));
  for (const std::string& id : near_ids(live))
    check.expect_status(session.release(id), 404,
                        "the release of " + id + ", " + live.id + " being live");
  check.release(session, live);
}

/// Half of the cache under many leases, which are all released: if one release is lost, there is no
/// room for five eighths.
void release_many_of_one(Check& check, Pressure& pressure) {
  constexpr std::size_t count = 300;  // More than a counter of 8 bits tells.
  std::vector<Session> sessions = check.connect_many(16);
  const Name name = check.fresh_name();
  if (pressure.store(name, 4 * pressure.size()).status / 100 != 2) return;
  const std::vector<Grant> grants =
      check.lease_many(sessions, name, count, {.ttl = check.span(60s)}, "one of many leases");
  // Whether each is answered 200 is LEASE-06's to judge.
  (void)check.release_many(sessions, grants);
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 eighths of the cache when all of " + std::to_string(count) +
                   " leases on half of it are released",
               "room for " + std::to_string(fitted), Symptom::room);
  pressure.release_all();
}

void release_ends_the_pin_at_once(Check& check) {
  Pressure pressure(check);
  release_many_of_one(check, pressure);
  static constexpr std::array<Way, 4> all{Way::waiting, Way::twice, Way::plainly,
                                          Way::over_a_closed_connection};
  const std::span ways = std::span(all).first(check.profile() == Profile::core ? 2 : all.size());
  for (const Way way : ways) {
    // Those before them were released, too.
    const int fitted = pressure.pin_by(way, 5);
    check.expect(fitted == 5,
                 "room for 5 eighths of the cache when the leases on all others are released",
                 "room for " + std::to_string(fitted), Symptom::room);
    pressure.release_all();
  }
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 eighths of the cache when the leases on 5 others are released",
               "room for " + std::to_string(fitted), Symptom::room);
}

void delete_is_no_release(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  const Grant grant = check.lease(session, name);
  const Response response = session.ask({"DELETE", name.target() + "/leases/" + grant.id, {}, {}});
  check.expect_one_of(response, {404, 405}, "DELETE of a lease under its key");
  check.expect_status(session.release(grant.id), 200,
                      "the release of a lease that DELETE must not end", Symptom::lease);
  check.forget(grant);
}

void release_ends_one_lease(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  const Grant first = check.lease(session, name);
  const Grant second = check.lease(session, name);
  const Grant other = check.lease(session, check.stored(session));
  // Whatever these are answered, they are none of the three; REL-02 is about that.
  for (const std::string& id : near_ids(first)) (void)session.release(id);
  for (const Grant* grant : {&second, &other, &first}) {
    check.expect_status(session.release(grant->id), 200,
                        "the release of a lease after another's release", Symptom::lease);
    check.forget(*grant);
  }
}

void any_connection_may_release(Check& check) {
  Session acquiring = check.connect();
  const Grant grant = check.lease(acquiring, check.stored(acquiring));
  acquiring.close();
  Session releasing = check.connect();
  check.expect_status(releasing.release(grant.id), 200,
                      "a release over another connection, the lease's own being closed",
                      Symptom::lease);
  check.forget(grant);
}

/// A client that percent-encodes more of an id than needs it.
void encoded_ids_are_decoded(Check& check) {
  Session session = check.connect();
  const Grant grant = check.lease(session, check.stored(session));
  std::string encoded;
  for (const char c : grant.id) {
    std::array<char, 8> text;
    std::snprintf(text.data(), text.size(), "%%%02X", static_cast<unsigned char>(c));
    encoded += text.data();
  }
  check.expect_status(session.release(encoded), 200,
                      "the release of " + grant.id + " as " + encoded, Symptom::lease);
  check.forget(grant);
}

}  // namespace

std::span<const CheckEntry> release_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"REL-01", core, serial, live_lease_is_released_with_200},
      {"REL-02", core, serial, unknown_id_is_answered_404},
      {"REL-03", core, exclusive, release_ends_the_pin_at_once},
      {"REL-04", core, serial, delete_is_no_release},
      {"REL-05", core, serial, release_ends_one_lease},
      {"REL-06", core, serial, any_connection_may_release},
      {"REL-07", core, serial, encoded_ids_are_decoded},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
