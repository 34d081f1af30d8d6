// Pins and eviction. Every check here fills the cache, so it needs to be told the capacity.
#include <thread>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

constexpr int twice_the_cache = 16;  // eighths

void leased_bytes_do_not_change(Check& check) {
  Pressure pressure(check);
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(100'000);
  check.store(session, name, body);
  const Grant grant = check.lease(session, name, {.ttl = check.span(60s)});
  for (int i = 0; i < twice_the_cache; ++i) {
    (void)pressure.store();
    check.expect_bytes(
        grant, body,
        "a leased object, after " + std::to_string(i + 1) + " eighths of the cache were stored");
  }
}

void leased_object_stays_where_it_is(Check& check) {
  Pressure pressure(check);
  Session session = check.connect();
  const Name name = check.fresh_name();
  check.store(session, name, check.bytes(100'000));
  const Grant grant = check.lease(session, name, {.ttl = check.span(60s)});
  check.release(session, check.lease(session, name));  // another's release must not unpin it
  for (int i = 0; i < twice_the_cache; ++i) (void)pressure.store();
  const Answer answer = session.acquire(name);
  check.expect(answer.status / 100 == 2, "a second lease on a leased object after much was stored",
               described(answer));
  check.expect(check.grant_in(answer).fragments == grant.fragments, "the same fragments as before",
               "others: the object was moved, or evicted and stored anew");
}

void unpinned_objects_give_way(Check& check) {
  Pressure pressure(check);
  for (int i = 0; i < twice_the_cache; ++i) {
    const Answer answer = pressure.store();
    check.expect_status(
        answer, 200,
        "PUT " + std::to_string(i + 1) + " of an eighth of the cache, nothing being leased");
  }
}

void expired_leases_pin_nothing(Check& check) {
  Pressure pressure(check);
  check.expect(pressure.pin(5, check.span(1s)) == 5, "room for 5 eighths of the cache", "none");
  std::this_thread::sleep_for(check.span(1500ms));
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 eighths of the cache when the leases on 5 others have expired",
               "room for " + std::to_string(fitted));
}

}  // namespace

std::span<const CheckEntry> pin_checks() {
  using enum Profile;
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"PIN-01", core, alone, leased_bytes_do_not_change},
      {"PIN-02", core, alone, leased_object_stays_where_it_is},
      {"PIN-03", core, alone, unpinned_objects_give_way},
      {"PIN-04", full, alone, expired_leases_pin_nothing},
  };
  return entries;
}

}  // namespace hyperpod::conformance
