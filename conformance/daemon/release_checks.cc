// Releasing: what it answers, what it ends, and what is none.
#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance {
namespace {

Name stored(Check& check, Session& session) {
  const Name name = check.fresh_name();
  check.store(session, name, check.bytes(1000));
  return name;
}

void live_lease_is_released_with_200(Check& check) {
  Session session = check.connect();
  const Grant grant = check.lease(session, stored(check, session));
  check.expect_status(session.release(grant.id), 200, "the release of a live lease");
  check.forget(grant);
}

void unknown_id_is_answered_404(Check& check) {
  Session session = check.connect();
  check.expect_status(session.release("no-such-lease"), 404, "the release of an id never given");
  const Grant grant = check.lease(session, stored(check, session));
  check.release(session, grant);
  check.expect_status(session.release(grant.id), 404, "the second release of a lease");
}

void release_ends_the_pin_at_once(Check& check) {
  Pressure pressure(check);
  check.expect(pressure.pin(5) == 5, "room for 5 eighths of the cache", "none");
  pressure.release_all();
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 eighths of the cache when the leases on 5 others are released",
               "room for " + std::to_string(fitted));
}

void delete_is_no_release(Check& check) {
  Session session = check.connect();
  const Name name = stored(check, session);
  const Grant grant = check.lease(session, name);
  const Answer answer = session.ask({"DELETE", name.target() + "/leases/" + grant.id, {}, {}});
  check.expect_one_of(answer, {404, 405}, "DELETE of a lease under its key");
  check.expect_status(session.release(grant.id), 200,
                      "the release of a lease that DELETE must not end");
  check.forget(grant);
}

void release_ends_one_lease(Check& check) {
  Session session = check.connect();
  const Name name = stored(check, session);
  const Grant first = check.lease(session, name);
  const Grant second = check.lease(session, name);
  const Grant other = check.lease(session, stored(check, session));
  for (const Grant* grant : {&second, &other, &first}) {
    check.expect_status(session.release(grant->id), 200,
                        "the release of a lease after another's release");
    check.forget(*grant);
  }
}

void any_connection_may_release(Check& check) {
  Session acquiring = check.connect();
  const Grant grant = check.lease(acquiring, stored(check, acquiring));
  acquiring.close();
  Session releasing = check.connect();
  check.expect_status(releasing.release(grant.id), 200,
                      "a release over another connection, the lease's own being closed");
  check.forget(grant);
}

}  // namespace

std::span<const CheckEntry> release_checks() {
  using enum Profile;
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"REL-01", core, quick, live_lease_is_released_with_200},
      {"REL-02", core, quick, unknown_id_is_answered_404},
      {"REL-03", core, alone, release_ends_the_pin_at_once},
      {"REL-04", core, quick, delete_is_no_release},
      {"REL-05", core, quick, release_ends_one_lease},
      {"REL-06", core, quick, any_connection_may_release},
  };
  return entries;
}

}  // namespace hyperpod::conformance
