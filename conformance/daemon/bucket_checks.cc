// Buckets: name spaces for keys.
#include "daemon/chapters.h"

namespace hyperpod::conformance {
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

void same_key_in_two_buckets(Check& check) {
  Session session = check.connect();
  const Name fresh = check.fresh_name();
  const Name one = in_bucket(fresh, "1");
  const Name two = in_bucket(fresh, "2");
  check.store(session, one, "first");
  check.expect_absent(session, two, "the key was stored in another bucket only");
  const Answer answer = session.put(two, "second");
  check.expect(answer.status / 100 == 2, "the key to be free in the other bucket",
               described(answer));
  check.expect_stored(session, one, "first");
  check.expect_stored(session, two, "second");
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
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"BUCKET-01", core, quick, first_put_makes_the_bucket},
      {"BUCKET-02", core, quick, same_key_in_two_buckets},
      {"BUCKET-03", core, quick, bucket_names_are_decoded_once},
  };
  return entries;
}

}  // namespace hyperpod::conformance
