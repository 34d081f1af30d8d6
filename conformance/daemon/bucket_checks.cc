// SPDX-License-Identifier: Apache-2.0
// Buckets: name spaces for keys.
#include <array>

#include "daemon/chapters.h"

namespace hyperpod::conformance::daemon {
namespace {

Name in_bucket(const Name& name, std::string_view ending) {
  return {name.bucket + "-" + name.key + std::string(ending), "key"};
}

void first_put_makes_the_bucket(Check& check) {
  Session session = check.connect();
  const Name name = in_bucket(check.fresh_name(), "");
  check.expect_absent(session, name, "nothing was ever stored in its bucket");
  check.expect_status(session.put(name, "x"), 200, "the first PUT into a bucket");
  check.expect_stored(session, name, "x");
}

void expect_apart(Check& check, Session& session, const Name& one, const Name& other) {
  const std::array names{one, other};
  const std::array bodies{check.bytes(50), check.bytes(60)};
  for (std::size_t i = 0; i < 2; ++i) {
    const Response response = session.put(names[i], bodies[i]);
    check.expect(response.status / 100 == 2,
                 one.target() + " and " + other.target() + " to be two objects",
                 described(response));
  }
  for (std::size_t i = 0; i < 2; ++i) check.expect_stored(session, names[i], bodies[i]);
}

void same_key_in_two_buckets(Check& check) {
  Session session = check.connect();
  const Name fresh = check.fresh_name();
  const Name one = in_bucket(fresh, "1");
  const Name two = in_bucket(fresh, "2");
  check.store(session, one, "first");
  check.expect_absent(session, two, "the key was stored in another bucket only");
  const Response response = session.put(two, "second");
  check.expect(response.status / 100 == 2, "the key to be free in the other bucket",
               described(response));
  check.expect_stored(session, one, "first");
  check.expect_stored(session, two, "second");
  // What only looks equal, and what is equal only when bucket and key are joined.
  expect_apart(check, session, in_bucket(fresh, "case"), in_bucket(fresh, "CASE"));
  const Name joined = in_bucket(fresh, "a");
  expect_apart(check, session, {joined.bucket + "%2Fb", "c"}, {joined.bucket, "b%2Fc"});
  expect_apart(check, session, {joined.bucket + "d", "c"}, {joined.bucket, "dc"});
  const int buckets = check.profile() == Profile::core ? 20 : 80;
  for (int i = 0; i < buckets; ++i) {
    const Name next = in_bucket(fresh, "-" + std::to_string(i));
    check.expect(session.put(next, std::to_string(i)).status / 100 == 2,
                 "the key to be free in the bucket " + next.bucket, "it is not");
    check.expect_stored(session, next, std::to_string(i));
  }
}

void bucket_names_are_decoded_once(Check& check) {
  Session session = check.connect();
  const Name fresh = check.fresh_name();
  check.store(session, in_bucket(fresh, "%40a"), "at");
  check.expect_stored(session, in_bucket(fresh, "@a"), "at");
  check.expect_absent(session, in_bucket(fresh, "%2540a"), "only the bucket …@a has the key");
  check.store(session, in_bucket(fresh, "%2Fa"), "slash");
  check.expect_stored(session, in_bucket(fresh, "%2Fa"), "slash");
}

}  // namespace

std::span<const CheckEntry> bucket_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"BUCKET-01", core, serial, first_put_makes_the_bucket},
      {"BUCKET-02", core, serial, same_key_in_two_buckets},
      {"BUCKET-03", core, serial, bucket_names_are_decoded_once},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
