// SPDX-License-Identifier: Apache-2.0
// Keys: what is decoded, how often, and what tells two keys apart.
#include <array>
#include <cstdint>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/chapters.h"
#include "daemon/names.h"

namespace hyperpod::conformance::daemon {
namespace {

/// Stores under one spelling of a key and expects the object under the other.
void expect_same(Check& check, Session& session, std::string_view one, std::string_view other) {
  const Name name = check.fresh_name();
  const std::string body = check.bytes(100);
  check.store(session, {name.bucket, name.key + std::string(one)}, body);
  const Name again{name.bucket, name.key + std::string(other)};
  const Response response = session.acquire(again);
  const std::string what = "a lease on " + again.key + ", stored as " + std::string(one);
  check.expect_present(response, what);
  check.expect(response.status / 100 == 2, what, described(response));
  const Grant grant = check.grant_in(response);
  check.expect_bytes(grant, body, "the object stored as " + std::string(one));
  check.release(session, grant);
}

/// Stores under two endings of a name and expects two objects.
void expect_different(Check& check, Session& session, const Name& name, std::string_view one,
                      std::string_view other) {
  const std::array names{Name{name.bucket, name.key + std::string(one)},
                         Name{name.bucket, name.key + std::string(other)}};
  const std::array bodies{check.bytes(100), check.bytes(100)};
  for (std::size_t i = 0; i < 2; ++i) {
    const Response response = session.put(names[i], bodies[i]);
    check.expect(response.status / 100 == 2,
                 names[0].key + " and " + names[1].key + " to be two keys", described(response));
  }
  for (std::size_t i = 0; i < 2; ++i) check.expect_stored(session, names[i], bodies[i]);
}

void expect_different(Check& check, Session& session, std::string_view one,
                      std::string_view other) {
  expect_different(check, session, check.fresh_name(), one, other);
}

/// The same for keys that a daemon may refuse, for their length or for control characters in them:
/// only taking one for the other is wrong.
void expect_not_confused(Check& check, Session& session, const std::string& one,
                         const std::string& other) {
  const Name name = check.fresh_name();
  const std::array names{Name{name.bucket, name.key + one}, Name{name.bucket, name.key + other}};
  const std::string body = check.bytes(100);
  const Response first = session.put(names[0], body);
  if (first.status / 100 != 2) {
    if (session.put(names[1], body).status / 100 != 2) return;
    const Response leased = session.acquire(names[0]);
    check.expect(leased.status / 100 != 2, "no grant for a key whose PUT was refused",
                 described(leased));
    return;
  }
  const Response second = session.put(names[1], check.bytes(100));
  check.expect(second.status != 409,
               "keys of " + std::to_string(names[0].key.size()) + " and " +
                   std::to_string(names[1].key.size()) + " characters to be two keys",
               described(second));
  check.expect_stored(session, names[0], body);
}

/// The same while both bodies are under way.
void expect_different_at_once(Check& check, std::string_view one, std::string_view other) {
  const Name name = check.fresh_name();
  const std::array names{Name{name.bucket, name.key + std::string(one)},
                         Name{name.bucket, name.key + std::string(other)}};
  const std::array bodies{check.bytes(100), check.bytes(100)};
  std::array sessions{check.connect(), check.connect()};
  for (std::size_t i = 0; i < 2; ++i)
    sessions[i].send_raw(sessions[i].head_of(put_request(names[i], bodies[i])) +
                         bodies[i].substr(0, 50));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (std::size_t i = 0; i < 2; ++i)
    (void)sessions[i].try_send_raw(std::string_view(bodies[i]).substr(50));
  for (Session& session : sessions) {
    const Response response = session.response();
    check.expect(response.status / 100 == 2,
                 names[0].key + " and " + names[1].key +
                     " to be two keys, their bodies being under way at once",
                 described(response));
  }
  for (std::size_t i = 0; i < 2; ++i) check.expect_stored(sessions[i], names[i], bodies[i]);
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
  expect_different(check, session, "%2F%2Fa", "%2Fa");
  expect_different(check, session, "a%2F", "a");
  expect_different(check, session, "%2Fa%2F..%2Fb", "%2Fb");
  expect_different(check, session, "a%2F.%2Fb", "a%2Fb");
}

void keys_are_decoded_once(Check& check) {
  Session session = check.connect();
  expect_different(check, session, "a%2540b", "a%40b");
  expect_different(check, session, "a%252Fb", "a%2Fb");
  expect_different(check, session, "a%25b", "a%2525b");
  expect_same(check, session, "100%25", "100%25");
  expect_same(check, session, "%61%7A%41%5A%30%39%2D%2E%5F%7Ex", "azAZ09-._~x");
  expect_same(check, session, "azAZ09-._~x", "%61%7A%41%5A%30%39%2D%2E%5F%7Ex");
}

void plus_is_a_plus(Check& check) {
  Session session = check.connect();
  expect_same(check, session, "a+b", "a%2Bb");
  expect_different(check, session, "a+b", "a%20b");
}

void punctuation_may_be_bare(Check& check) {
  constexpr std::string_view all = "@:~!$&'()*,;=";
  check.side_by_side(all.size(), [&](Session& session, std::size_t i) {
    const std::string bare{'a', all[i], 'b'};
    std::string other = "a";
    other.append(encoded(static_cast<unsigned char>(all[i]))).append("b");
    expect_same(check, session, bare, other);
    expect_different(check, session, bare, "a");
  });
}

void keys_may_hold_utf8(Check& check) {
  Session session = check.connect();
  for (const std::string_view text : {"schlüssel", "ключ", "鍵", "\U0001F511"}) {
    std::string key;
    for (const char c : text) key += encoded(static_cast<unsigned char>(c));
    expect_same(check, session, key, key);
  }
  expect_different(check, session, "%C3%A9", "e%CC%81");  // one letter, composed in two ways
  expect_different(check, session, "%F0%9F%94%91", "%F0%9F%94%92");
  expect_different(check, session, "%F0%9F%94%91", "%EF%BF%BD");  // the replacement character
}

/// Keys with this byte in front, in the middle and behind, and what they must not be taken for.
void expect_byte_counts(Check& check, Session& session, unsigned char byte) {
  const std::string text = encoded(byte);
  const Name name = check.fresh_name();
  const std::string body = check.bytes(16);
  // The key ends in the byte, begins with it or has it inside; each object is asked for at once.
  for (const std::string& key :
       {name.key + "x" + text + "y", name.key + "z" + text, text + name.key}) {
    const Response stored = session.put({name.bucket, key}, body);
    // No client puts control characters into keys: a daemon may refuse them, and only not drop
    // them.
    if (may_be_refused(text) && is_refusal(stored)) return;
    check.expect(stored.status / 100 == 2, "200 to the PUT of the new key " + key,
                 described(stored));
    check.expect_stored(session, {name.bucket, key}, body);
  }
  for (const std::string& key :
       {name.key + "xy", name.key + "x", name.key + "z", name.key, name.key + "x%20y"}) {
    if (byte == ' ' && key.ends_with("x%20y")) continue;
    check.expect_absent(session, {name.bucket, key},
                        "only keys with the byte " + text + " in them were stored");
  }
}

/// A key stands for itself, whatever patterns, quotes or queries mean elsewhere.
void expect_no_patterns(Check& check, Session& session) {
  const Name name = check.fresh_name();
  check.store(session, {name.bucket, name.key + "abc"}, "x");
  for (const std::string_view pattern : {"*",
                                         "a*",
                                         "a*c",
                                         "%2A",
                                         "%3F%3F%3F",
                                         "a%3Fc",
                                         "%25",
                                         "a%25",
                                         "a_c",
                                         "a.c",
                                         ".*",
                                         "%5Babc%5D%2B",
                                         "%5Ba-z%5D*",
                                         "abc%7Cd",
                                         "%7Babc,d%7D",
                                         "abc%24",
                                         "abc'%20OR%20'1'='1",
                                         "ab%5Cc",
                                         "abc%00",
                                         "abc%0A"}) {
    // A daemon may refuse control characters.
    const Response response = session.acquire({name.bucket, name.key + std::string(pattern)});
    check.expect(response.status / 100 != 2,
                 "no grant for …" + std::string(pattern) + ", as only …abc was stored",
                 described(response));
  }
}

/// Keys that look like parts of a path, or like nothing. Each in a bucket of its own.
void expect_special_words(Check& check) {
  static constexpr std::array<std::string_view, 14> words{
      "leases", "release", "kv",  "v1",  "null", "0",          "-",
      "~",      "*",       "%2F", "%25", "%20",  "index.html", "..."};
  check.side_by_side(words.size(), [&](Session& session, std::size_t i) {
    const Name name{check.target().bucket + "-" + check.fresh_name().key, std::string(words[i])};
    const std::string body = check.bytes(50);
    check.store(session, name, body);
    check.expect_stored(session, name, body);
  });
}

/// Two endings that give one 32-bit FNV-1a behind `key`, for a hash is not the key.
std::pair<std::string, std::string> endings_of_one_fnv1a(std::string_view key) {
  const auto add = [](std::uint32_t hash, std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    return hash;
  };
  // Spread, for FNV-1a keeps numbers that follow one another apart much longer than others.
  const auto ending = [](std::uint32_t i) { return "-" + std::to_string(i * 2654435761u); };
  const std::uint32_t begun = add(2166136261u, key);
  std::unordered_map<std::uint32_t, std::uint32_t> seen;
  for (std::uint32_t i = 0;; ++i) {
    const auto [at, is_new] = seen.try_emplace(add(begun, ending(i)), i);
    if (!is_new) return {ending(at->second), ending(i)};
  }
}

void keys_differ_by_a_byte(Check& check) {
  Session session = check.connect();
  check.side_by_side(lookalikes().size(), [&](Session& beside, std::size_t i) {
    expect_different(check, beside, lookalikes()[i].first, lookalikes()[i].second);
  });
  for (const auto& [one, other] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"key", "Key"}, {"key", "keyy"}, {"a%2Fb", "a"}})
    expect_different_at_once(check, one, other);
  // Not at the end alone: an ending that is dropped, or a beginning, makes one of two names.
  for (const std::string_view ending : {"%20", ".", "%2F", "%0A", "%00"}) {
    const Name name = check.fresh_name();
    expect_not_confused(check, session, "", std::string(ending));
    const std::string body = check.bytes(20);
    check.store(session, name, body);
    expect_not_stored(check, session, {name.bucket, std::string(ending) + name.key},
                      "it was stored without " + std::string(ending) + " in front");
  }
  expect_special_words(check);
  expect_no_patterns(check, session);
  for (const auto& [one, other] :
       std::vector<std::pair<std::string, std::string>>{{"a%00b", "a"},
                                                        {"a%00b", "a%00c"},
                                                        {"a%07b", "ab"},
                                                        {"a%09b", "a%20b"},
                                                        {"a%7Fb", "ab"}})
    expect_not_confused(check, session, one, other);
  for (const std::size_t size : {200u, 255u, 256u, 512u, 1024u, 2048u}) {
    const std::string long_key(size, 'k');
    expect_not_confused(check, session, long_key + "1", long_key + "2");
    expect_not_confused(check, session, long_key + "1" + long_key, long_key + "2" + long_key);
  }
  const Name alike = check.fresh_name();
  const auto [one, other] = endings_of_one_fnv1a(alike.key);
  expect_different(check, session, alike, one, other);
  if (check.profile() == Profile::core) return;
  check.side_by_side(128, [&](Session& beside, std::size_t byte) {
    expect_byte_counts(check, beside, static_cast<unsigned char>(byte));
  });
}

/// So many keys that a short hash of them would repeat.
void many_keys_are_different(Check& check) {
  constexpr std::size_t count = 1216;
  std::vector<Session> sessions = check.connect_many(64);
  for (std::size_t done = 0; done < count; done += sessions.size()) {
    std::vector<Name> names;
    for (Session& session : sessions) {
      names.push_back(check.fresh_name());
      session.send(put_request(names.back(), "x"));
    }
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      const Response response = sessions[i].response();
      check.expect(response.status != 409, "the key " + names[i].key + " to be free, as it is new",
                   described(response));
    }
  }
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
  const std::string tagged = model + "@8@3@" + hash + "@bfloat16@user%25a@tier%25";
  expect_different(check, session, tagged + "gold", tagged + "silver");
  expect_different(check, session, tagged + "gold", tagged + "gold@more%251");
  const std::string path(120, 'm');
  expect_same(check, session, "%2Fmodels%2F" + path + model + "@8@3@" + hash + "@half",
              "%2Fmodels%2F" + path + model + "@8@3@" + hash + "@half");
}

void hexadecimal_digits_in_both_cases(Check& check) {
  Session session = check.connect();
  expect_same(check, session, "a%2fb%c3%a9", "a%2Fb%C3%A9");
}

}  // namespace

std::span<const CheckEntry> key_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"KEY-01", core, serial, at_sign_may_be_bare_or_encoded},
      {"KEY-02", core, serial, encoded_slash_is_no_separator},
      {"KEY-03", core, serial, keys_are_decoded_once},
      {"KEY-04", core, serial, plus_is_a_plus},
      {"KEY-05", core, serial, punctuation_may_be_bare},
      {"KEY-06", core, serial, keys_may_hold_utf8},
      {"KEY-07", core, serial, keys_differ_by_a_byte},
      {"KEY-08", core, serial, keys_of_lmcache_work},
      {"KEY-09", full, serial, hexadecimal_digits_in_both_cases},
      {"KEY-10", full, exclusive, many_keys_are_different},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
