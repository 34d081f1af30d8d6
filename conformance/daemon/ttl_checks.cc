// TTL: from when it counts, and that it ends. Whether a lease lives is asked by releasing it.
#include <thread>

#include "daemon/chapters.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

Name stored(Check& check, Session& session) {
  const Name name = check.fresh_name();
  check.store(session, name, check.bytes(1000));
  return name;
}

void lease_lives_for_its_ttl(Check& check) {
  Session session = check.connect();
  const Name name = stored(check, session);
  const auto ttl = check.span(2000ms);
  const Moment before = now();
  const Grant grant = check.lease(session, name, {.ttl = ttl});
  std::this_thread::sleep_until(before + ttl - check.span(500ms));
  check.expect_status(
      session.release(grant.id), 200,
      "a release " + in_ms(now() - before) + " after a request with a TTL of " + in_ms(ttl));
  check.forget(grant);
}

void fraction_of_ttl_counts(Check& check) {
  Session session = check.connect();
  const Name name = stored(check, session);
  const Moment before = now();
  const Grant grant = check.lease(session, name, {.ttl = 1900ms});
  std::this_thread::sleep_until(before + 1400ms);
  check.expect_status(session.release(grant.id), 200,
                      "a release " + in_ms(now() - before) + " after a request with ttl_s=1.9");
  check.forget(grant);
}

void lease_ends_after_its_ttl(Check& check) {
  Session session = check.connect();
  const Name name = stored(check, session);
  const auto ttl = check.span(500ms);
  const Grant grant = check.lease(session, name, {.ttl = ttl});
  std::this_thread::sleep_for(ttl + check.span(500ms));
  check.expect_status(session.release(grant.id), 404, "a release 500 ms after the TTL has passed");
  check.forget(grant);
}

void each_lease_has_its_own_ttl(Check& check) {
  Session session = check.connect();
  const Name name = stored(check, session);
  const Grant before = check.lease(session, name, {.ttl = check.span(10s)});
  const Grant brief = check.lease(session, name, {.ttl = check.span(300ms)});
  const Grant after = check.lease(session, name, {.ttl = check.span(10s)});
  std::this_thread::sleep_for(check.span(800ms));
  for (const Grant* grant : {&before, &after}) {
    check.expect_status(
        session.release(grant->id), 200,
        "the release of a long lease after a short one on the same object has ended");
    check.forget(*grant);
  }
  check.expect(session.release(brief.id).status != 200, "the short lease to have ended", "200");
}

}  // namespace

std::span<const CheckEntry> ttl_checks() {
  using enum Profile;
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"TTL-01", core, patient, lease_lives_for_its_ttl},
      {"TTL-02", core, patient, fraction_of_ttl_counts},
      {"TTL-03", core, patient, lease_ends_after_its_ttl},
      {"TTL-04", core, patient, each_lease_has_its_own_ttl},
  };
  return entries;
}

}  // namespace hyperpod::conformance
