// SPDX-License-Identifier: Apache-2.0
// Buckets: name spaces for keys.
#include <array>

#include "daemon/chapters.h"
#include "daemon/names.h"

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
  std::array<bool, 2> refused{};
  for (std::size_t i = 0; i < 2; ++i) {
    const Response response = session.put(names[i], bodies[i]);
    refused[i] = may_be_refused(names[i].target()) && is_refusal(response);
    check.expect(refused[i] || response.status / 100 == 2,
                 one.target() + " and " + other.target() + " to be two objects",
                 described(response));
  }
  for (std::size_t i = 0; i < 2; ++i) {
    if (refused[i]) {
      expect_not_stored(check, session, names[i], "its PUT was refused");
    } else {
      check.expect_stored(session, names[i], bodies[i]);
    }
  }
}

/// Buckets with each byte in front, in the middle and behind: all of them different ones.
void every_byte_counts(Check& check) {
  check.side_by_side(128, [&](Session& session, std::size_t byte) {
    const std::string text = encoded(static_cast<unsigned char>(byte));
    const Name base = in_bucket(check.fresh_name(), "");
    check.store(session, base, "plain");
    for (const std::string& bucket :
         {text + base.bucket, base.bucket + text, base.bucket + text + "x"}) {
      const Response response = session.put({bucket, "key"}, bucket);
      if (may_be_refused(text) && is_refusal(response)) continue;
      check.expect(response.status / 100 == 2, "200 to the first PUT into the bucket " + bucket,
                   described(response));
      check.expect_stored(session, {bucket, "key"}, bucket);
    }
    check.expect_stored(session, base, "plain");
  });
}

/// Bucket and key are two names, whatever stands between them when they are put together.
void expect_boundary(Check& check) {
  static constexpr std::array<std::string_view, 12> separators{
      "%3A", ":", "%00", "@", "-", "_", ".", "%7C", "%20", "%0A", "%25", "%2F%2F"};
  check.side_by_side(separators.size(), [&](Session& session, std::size_t i) {
    const std::string at(separators[i]);
    const Name base = in_bucket(check.fresh_name(), "");
    expect_apart(check, session, {base.bucket + at + "x", "y" + at + "z"},
                 {base.bucket, "x" + at + "y" + at + "z"});
  });
}

/// A long name may be refused, and not cut.
void expect_long_names_whole(Check& check, Session& session) {
  for (const std::size_t size : {63u, 64u, 128u, 200u, 255u, 256u, 1024u}) {
    const Name base = in_bucket(check.fresh_name(), "");
    if (base.bucket.size() >= size) continue;
    const std::string bucket = base.bucket + std::string(size - base.bucket.size(), 'b');
    if (session.put({bucket + "1", "key"}, "1").status / 100 != 2) continue;
    check.expect(
        session.put({bucket + "2", "key"}, "2").status != 409,
        "buckets whose names differ in character " + std::to_string(size + 1) + " to be two",
        "they are one");
    check.expect_stored(session, {bucket + "1", "key"}, "1");
  }
}

void expect_many_apart(Check& check, const Name& base) {
  const std::size_t buckets = check.profile() == Profile::core   ? 80
                              : check.profile() == Profile::full ? 1100
                                                                 : 3000;
  check.side_by_side(buckets, [&](Session& session, std::size_t i) {
    const Name next = in_bucket(base, "-" + std::to_string(i));
    check.expect(session.put(next, std::to_string(i)).status / 100 == 2,
                 "the key to be free in the bucket " + next.bucket, "it is not");
    check.expect_stored(session, next, std::to_string(i));
  });
  check.side_by_side(buckets / 7, [&](Session& session, std::size_t i) {
    const Name earlier = in_bucket(base, "-" + std::to_string(7 * i));
    const Response response = session.acquire(earlier);
    if (response.status / 100 != 2) return;  // It may have been evicted.
    const Grant grant = check.grant_in(response);
    check.expect_bytes(grant, std::to_string(7 * i), "the object of the bucket " + earlier.bucket);
    check.release(session, grant);
  });
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
  expect_boundary(check);
  check.side_by_side(lookalikes().size(), [&](Session& other, std::size_t i) {
    const auto& [first, second] = lookalikes()[i];
    const Name base = in_bucket(check.fresh_name(), "");
    expect_apart(check, other, {base.bucket + std::string(first), "key"},
                 {base.bucket + std::string(second), "key"});
  });
  expect_long_names_whole(check, session);
  expect_many_apart(check, fresh);
  if (check.profile() != Profile::core) every_byte_counts(check);
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
