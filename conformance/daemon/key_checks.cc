// Keys: what is decoded, how often, and what tells two keys apart.
#include <array>
#include <cstdio>

#include "daemon/chapters.h"

namespace hyperpod::conformance {
namespace {

/// Stores under one spelling of a key and expects the object under the other.
void expect_same(Check& check, Session& session, std::string_view one, std::string_view other) {
  const Name name = check.fresh_name();
  const std::string body = check.bytes(100);
  check.store(session, {name.bucket, name.key + std::string(one)}, body);
  const Name again{name.bucket, name.key + std::string(other)};
  const Answer answer = session.acquire(again);
  check.expect(answer.status / 100 == 2,
               "a lease on " + again.key + ", stored as " + std::string(one), described(answer));
  const Grant grant = check.grant_in(answer);
  check.expect_bytes(grant, body, "the object stored as " + std::string(one));
  check.release(session, grant);
}

/// Stores under two endings of a name and expects two objects.
void expect_different(Check& check, Session& session, std::string_view one,
                      std::string_view other) {
  const Name name = check.fresh_name();
  const std::array names{Name{name.bucket, name.key + std::string(one)},
                         Name{name.bucket, name.key + std::string(other)}};
  const std::array bodies{check.bytes(100), check.bytes(100)};
  for (std::size_t i = 0; i < 2; ++i) {
    const Answer answer = session.put(names[i], bodies[i]);
    check.expect(answer.status / 100 == 2,
                 names[0].key + " and " + names[1].key + " to be two keys", described(answer));
  }
  for (std::size_t i = 0; i < 2; ++i) check.expect_stored(session, names[i], bodies[i]);
}

std::string encoded(unsigned char c) {
  std::array<char, 8> text;
  std::snprintf(text.data(), text.size(), "%%%02X", c);
  return text.data();
}

void at_sign_may_be_bare_or_encoded(Check& check) {
  Session session = check.connect();
  expect_same(check, session, "a%40b", "a@b");
  expect_same(check, session, "a@b", "a%40b");
}

void encoded_slash_is_no_separator(Check& check) {
  Session session = check.connect();
  expect_same(check, session, "%2Fa%2Fb", "%2Fa%2Fb");
  expect_different(check, session, "%2Fa", "%2Fb");
  expect_different(check, session, "", "%2F");
  expect_different(check, session, "", "%2Fleases");
  expect_different(check, session, "%2Fleases", "%2Fleases%2Fx%2Frelease");
}

void keys_are_decoded_once(Check& check) {
  Session session = check.connect();
  expect_different(check, session, "a%2540b", "a%40b");
  expect_different(check, session, "a%252Fb", "a%2Fb");
  expect_different(check, session, "a%25b", "a%2525b");
}

void plus_is_a_plus(Check& check) {
  Session session = check.connect();
  expect_same(check, session, "a+b", "a%2Bb");
  expect_different(check, session, "a+b", "a%20b");
}

void punctuation_may_be_bare(Check& check) {
  Session session = check.connect();
  for (const char c : std::string_view("@:~!$&'()*,;=")) {
    const std::string bare{'a', c, 'b'};
    std::string other = "a";
    other.append(encoded(static_cast<unsigned char>(c))).append("b");
    expect_same(check, session, bare, other);
  }
}

void keys_may_hold_utf8(Check& check) {
  Session session = check.connect();
  for (const std::string_view text : {"schlüssel", "ключ", "鍵", "\U0001F511"}) {
    std::string key;
    for (const char c : text) key += encoded(static_cast<unsigned char>(c));
    expect_same(check, session, key, key);
  }
  expect_different(check, session, "%C3%A9", "e%CC%81");  // one letter, composed in two ways
}

void keys_differ_by_a_byte(Check& check) {
  Session session = check.connect();
  expect_different(check, session, "key", "Key");
  expect_different(check, session, "key", "kez");
  expect_different(check, session, "key", "keyy");
  expect_different(check, session, "key", "key%20");
  expect_different(check, session, "key.", "key");
  const std::string long_key(200, 'k');
  expect_different(check, session, long_key + "1", long_key + "2");
}

void keys_of_lmcache_work(Check& check) {
  Session session = check.connect();
  const std::string model = "-meta-llama%2FLlama-3.1-70B-Instruct";
  const std::string hash(64, 'a');
  for (const std::string& key : {
           model + "@8@3@" + hash + "@bfloat16",
           model + "@8@3@" + hash + "@torch.bfloat16@tenant%25gold@user%25a%2Fb",
           "-vllm@" + model + "@8@3@" + hash,
           model + "@00000803@0@" + hash,
           model + "@00000803@0@" + hash + "@salt%20%2B1",
       }) {
    expect_same(check, session, key, key);
  }
}

void hexadecimal_digits_in_both_cases(Check& check) {
  Session session = check.connect();
  expect_same(check, session, "a%2fb%c3%a9", "a%2Fb%C3%A9");
}

}  // namespace

std::span<const CheckEntry> key_checks() {
  using enum Profile;
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"KEY-01", core, quick, at_sign_may_be_bare_or_encoded},
      {"KEY-02", core, quick, encoded_slash_is_no_separator},
      {"KEY-03", core, quick, keys_are_decoded_once},
      {"KEY-04", core, quick, plus_is_a_plus},
      {"KEY-05", core, quick, punctuation_may_be_bare},
      {"KEY-06", core, quick, keys_may_hold_utf8},
      {"KEY-07", core, quick, keys_differ_by_a_byte},
      {"KEY-08", core, quick, keys_of_lmcache_work},
      {"KEY-09", full, quick, hexadecimal_digits_in_both_cases},
  };
  return entries;
}

}  // namespace hyperpod::conformance
