// SPDX-License-Identifier: Apache-2.0
// Storing: what a PUT answers, what it keeps, and what a refused or broken one leaves behind.
#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

/// Sizes at which something may go wrong: one less, exactly and one more than powers of two and
/// than multiples of what blocks are made of.
std::vector<std::size_t> delicate_sizes(std::size_t most) {
  std::set<std::size_t> sizes{28};
  for (std::size_t power = 1; power <= most; power *= 2) sizes.insert({power, power + 1});
  for (std::size_t power = 2; power <= most; power *= 2) sizes.insert(power - 1);
  for (const std::size_t unit : {4096u, 65'536u, 1u << 20}) {
    for (const std::size_t count : {3u, 5u})
      sizes.insert({count * unit - 1, count * unit, count * unit + 1});
  }
  std::vector<std::size_t> fitting;
  std::ranges::copy_if(sizes, std::back_inserter(fitting),
                       [&](std::size_t size) { return size <= most; });
  return fitting;
}

/// Bodies that somebody may take for text, for a message or for nothing, beside random ones.
std::vector<std::string> delicate_bodies(Check& check) {
  const std::string random = check.bytes(2000);
  const std::string twin = check.bytes(70'000);
  std::string other_twin = twin;
  other_twin.back() = static_cast<char>(~other_twin.back());
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  return {std::string(5000, '\0'), random + std::string(3000, '\0'),
          std::string(3000, '\0') + random, std::string(100, '\xFF'), every_byte + every_byte,
          "one\r\ntwo\nthree\rfour\r\n\r\n", " \t blank \t \r\n", "5\r\nhello\r\n0\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "\x1F\x8B\x08" + random,
          "\xEF\xBB\xBFtext", R"({"id": "x", "offsets": []})", "%41+%2F&#65;",
          // Of one size and beginning; and the same bytes a second time.
          twin, other_twin, twin};
}

/// In pieces, for a slow daemon may take longer for all of them than for one. False when the daemon
/// has closed the connection before it took them all.
bool try_send_in_pieces(Session& session, std::string_view bytes) {
  constexpr std::size_t piece = 1 << 20;
  bool open = true;
  for (; !bytes.empty() && open; bytes.remove_prefix(std::min(piece, bytes.size())))
    open = session.try_send_raw(bytes.substr(0, piece));
  return open;
}

/// Over a connection of its own, for a daemon may refuse it and close before it has read all. Its
/// response, or nullopt if the daemon closes the connection without one.
std::optional<Response> put_large(Check& check, const Name& name, std::string_view body) {
  Session session = check.connect();
  if (session.try_send_raw(session.head_of(put_request(name, body))))
    (void)try_send_in_pieces(session, body);
  return session.response_or_close();
}

/// Bodies that, with their heads, fill a buffer, or lack a byte of that, or have one more; and
/// their names.
void add_buffers_full(Check& check, const Session& session, std::vector<Name>& names,
                      std::vector<std::string>& bodies) {
  for (const std::size_t buffer : {4096u, 8192u, 16'384u, 65'536u}) {
    for (const std::size_t whole : {buffer - 1, buffer, buffer + 1}) {
      names.push_back(check.fresh_name());
      std::string body = check.bytes(whole);
      // Its length has as many digits when the head's is taken off.
      body.resize(whole - session.head_of(put_request(names.back(), body)).size());
      bodies.push_back(std::move(body));
    }
  }
}

void body_is_stored_byte_for_byte(Check& check) {
  Session session = check.connect();
  const std::uint64_t capacity = check.target().capacity;
  const std::size_t room =
      capacity == 0 ? 5u << 20 : std::min<std::uint64_t>(5u << 20, capacity / 8);
  const std::size_t most =
      check.profile() == Profile::core ? std::min<std::size_t>(room, 1u << 20) : room;
  std::vector<Name> names;
  std::vector<std::string> bodies;
  add_buffers_full(check, session, names, bodies);
  std::ranges::move(delicate_bodies(check), std::back_inserter(bodies));
  for (const std::size_t size : delicate_sizes(most)) bodies.push_back(check.bytes(size));
  // The larger ones alone, so that a small cache has room. Those that have names stay in front.
  const auto larger =
      std::stable_partition(bodies.begin(), bodies.end(),
                            [](const std::string& body) { return body.size() <= 128u << 10; });
  const auto small = static_cast<std::size_t>(larger - bodies.begin());
  while (names.size() < bodies.size()) names.push_back(check.fresh_name());
  const auto expect_kept = [&](Session& using_it, std::size_t i) {
    // A client looks for most of what it stores before.
    if (i % 2 == 0) (void)using_it.acquire(names[i]);
    check.store(using_it, names[i], bodies[i]);
    check.expect_stored(using_it, names[i], bodies[i]);
  };
  check.side_by_side(small, expect_kept);
  for (std::size_t i = small; i < bodies.size(); ++i) expect_kept(session, i);
  // Not in the way in which it is put away only.
  check.side_by_side(bodies.size(), [&](Session& other, std::size_t i) {
    check.expect_stored_or_gone(other, names[i], bodies[i]);
  });
}

/// The room that one of these objects, of one size, takes: the least distance between two of them.
std::uint64_t room_of_one(const std::vector<Grant>& grants) {
  std::set<std::uint64_t> offsets;
  for (const Grant& grant : grants) {
    if (!grant.fragments.empty()) offsets.insert(grant.fragments[0].offset);
  }
  std::uint64_t least = UINT64_MAX;
  std::optional<std::uint64_t> before;
  for (const std::uint64_t offset : offsets) {
    if (before) least = std::min(least, offset - *before);
    before = offset;
  }
  return least;
}

std::string body_of(const Name& name) { return "the bytes of " + name.key; }

/// Leaves free room in small pieces only, and stores what is larger than any of them: an object in
/// hundreds of fragments, unless the daemon evicts or moves what is in the way.
void scattered_body_is_stored(Check& check) {
  constexpr std::uint64_t most_pieces = 1000;
  constexpr std::uint64_t largest_body = 64u << 20;
  const std::uint64_t capacity = check.capacity();
  if (capacity > 1u << 30) return;  // It would take too long.
  std::vector<Session> sessions = check.connect_many(16);
  Session& session = sessions[0];
  const std::string small = check.bytes(capacity / (most_pieces * 2));
  std::vector<Grant> between;
  std::uint64_t pieces = most_pieces;
  std::uint64_t room = 0;
  for (std::uint64_t i = 0; i < pieces; i += sessions.size()) {
    std::vector<Name> names;
    for (Session& one : sessions) {
      names.push_back(check.fresh_name());
      one.send(put_request(names.back(), small));
    }
    for (Session& one : sessions) {
      const Response stored = one.response();
      check.expect(stored.status / 100 == 2, "200 to the PUT of a new key", described(stored));
    }
    // Every second one is leased.
    for (std::size_t k = 0; k < names.size(); k += 2)
      sessions[k].send(acquire_request(names[k], {.ttl = check.span(60s)}));
    for (std::size_t k = 0; k < names.size(); k += 2) {
      const Response response = sessions[k].response();
      // Others of these may have made it give way.
      if (!is_miss(response)) between.push_back(check.grant_in(response));
    }
    if (i != 0) continue;
    if (between.size() < 4) throw Missing{{"leases on small objects just stored", "misses"}};
    room = std::max<std::uint64_t>(room_of_one(between) / 2, small.size());
    pieces = std::min(most_pieces, capacity / 4 * 3 / room);
  }
  const Name name = check.fresh_name();
  const std::string body = check.bytes(std::min(largest_body, room * (pieces / 3)));
  const auto stored = put_large(check, name, body);
  if (stored && stored->status / 100 == 2) {
    const Grant grant = check.lease(session, name);
    check.expect_bytes(grant, body, "an object stored where room was free in small pieces only");
    check.figure("fragments where room was free in small pieces only",
                 std::to_string(grant.fragments.size()));
    check.release(session, grant);
  }
  for (const Grant& grant : between)
    check.expect_bytes(grant, small, "one of many small objects under a lease");
  (void)check.release_many(sessions, between);
}

/// What takes all room lies in long pieces, however scattered what was there before. A daemon may
/// have less room than that for one body, or others may have leases.
void largest_body_is_stored(Check& check) {
  const std::uint64_t capacity = check.capacity();
  if (capacity > 256u << 20) return;  // It would take too long.
  for (const std::uint64_t size : {capacity, capacity / 8 * 7, capacity / 4 * 3}) {
    const Name name = check.fresh_name();
    const std::string body = check.bytes(size);
    const auto stored = put_large(check, name, body);
    if (!stored || stored->status / 100 != 2) continue;
    Session reader = check.connect();
    const Response leased = reader.acquire(name);
    // A daemon that evicts ahead of need lets what fills it give way at once.
    if (is_miss(leased)) continue;
    const Grant grant = check.grant_in(leased);
    check.expect_bytes(grant, body, "an object of " + std::to_string(size) + " bytes");
    check.figure("largest body read back", std::to_string(size) + " bytes in " +
                                               std::to_string(grant.fragments.size()) +
                                               " fragments");
    return check.release(reader, grant);
  }
}

/// As large as the chunks of real models, where the cache is.
void large_bodies_are_stored(Check& check) {
  const std::uint64_t capacity = check.capacity();
  Session session = check.connect();
  std::string sizes;
  for (const std::uint64_t size : {(8ull << 20) + 1, 20ull << 20, (80ull << 20) - 3}) {
    if (size > capacity / 2) continue;
    const Name name = check.fresh_name();
    const std::string body = check.bytes(size);
    const std::string what = "a PUT of " + std::to_string(size) + " bytes";
    const auto stored = put_large(check, name, body);
    check.expect(stored.has_value(), "200 to " + what, "the connection closed without a response");
    check.expect_status(*stored, 200, what);
    const Grant grant = check.lease(session, name);
    check.expect_bytes(grant, body, "an object of " + std::to_string(size) + " bytes");
    sizes += (sizes.empty() ? "" : ", ") + std::to_string(size) + " in " +
             std::to_string(grant.fragments.size()) + " fragments";
    check.release(session, grant);
  }
  check.figure("bodies read back", sizes);
  scattered_body_is_stored(check);
  largest_body_is_stored(check);
}

/// A second PUT in other forms than the clients use: whatever it is answered, the bytes stay.
void expect_kept_in_any_form(Check& check, Session& session) {
  const Name name = check.fresh_name();
  const std::string body = check.bytes(5000);
  check.store(session, name, body);
  for (const std::string_view form :
       {"Transfer-Encoding: chunked", "Expect: 100-continue", "Content-Type: text/plain",
        "If-None-Match: *", "If-Match: *"}) {
    const auto colon = form.find(": ");
    Request again = put_request(name, {});
    again.headers = {{std::string(form.substr(0, colon)), std::string(form.substr(colon + 2))}};
    const std::string other = check.bytes(5000);
    const bool chunked = form.starts_with("Transfer");
    if (!chunked) again.headers.emplace_back("Content-Length", std::to_string(other.size()));
    Session beside = check.connect();
    std::string framed = chunked ? "1388\r\n" + other + "\r\n0\r\n\r\n" : other;
    if (!beside.try_send_raw(beside.head_of(again) + framed)) continue;
    const auto second = beside.response_or_close();
    const std::string what = "a second PUT of a key, with " + std::string(form);
    if (second) check.expect_taken(*second, what);
    check.expect_stored(session, name, body);
  }
}

void expect_large_kept(Check& check, Session& session) {
  const Name name = check.fresh_name();
  const std::string body = check.bytes(large_body);
  // A small cache may have no room beside what others lease, or let it go at once.
  const auto stored = put_large(check, name, body);
  if (!stored || stored->status / 100 != 2) return;
  const Response leased = session.acquire(name, {.ttl = check.span(60s)});
  if (leased.status / 100 != 2) return;
  const Grant grant = check.grant_in(leased);
  const std::string what = "a second PUT of a key, of " + std::to_string(large_body) + " bytes";
  const auto second = put_large(check, name, check.bytes(large_body));
  if (second && second->status != 507) {
    check.expect_taken(*second, what);
    check.expect_status(*second, 409, what);
  }
  check.expect_bytes(grant, body, "the leased object after " + what);
  check.expect_stored_or_gone(session, name, body);
  check.release(session, grant);
}

void existing_key_is_answered_409(Check& check) {
  Session session = check.connect();
  expect_kept_in_any_form(check, session);
  expect_large_kept(check, session);
  constexpr std::size_t size = 5000;
  for (const bool leased : {false, true}) {
    const Name name = check.fresh_name();
    const std::string body = check.bytes(size);
    check.store(session, name, body);
    std::optional<Grant> grant;
    if (leased) grant = check.lease(session, name);
    for (const std::string& again :
         {check.bytes(size), check.bytes(100), check.bytes(4 * size), body}) {
      const std::string what = "a second PUT of a key, of " + std::to_string(again.size()) +
                               " bytes after " + std::to_string(size) +
                               (leased ? ", under a lease" : "");
      const Response second = session.put(name, again);
      check.expect_taken(second, what);
      check.expect_status(second, 409, what);
      if (grant) check.expect_bytes(*grant, body, "the leased object after " + what);
      check.expect_stored(session, name, body);
    }
  }
}

/// A PUT whose body comes in pieces, some time after its head.
class PutInPieces {
 public:
  /// Sends the head, and so many bytes of the body in its own segment.
  PutInPieces(Check& check, std::size_t with_head)
      : check_(check),
        session_(check.connect()),
        name_(check.fresh_name()),
        body_(check.bytes(100'000)),
        sent_(with_head) {
    session_.send_raw(session_.head_of(put_request(name_, body_)) + body_.substr(0, with_head));
  }

  /// Sends the rest from then on, and expects the object.
  void finish_from(TimePoint time) {
    check_.expect(session_.silent_for(std::max(time - now(), Duration::zero())),
                  "no response before the body", "one came");
    bool looked = false;
    for (std::size_t piece = 28; sent_ < body_.size(); piece = piece < 3000 ? piece * 2 : 2999) {
      if (!looked && sent_ > body_.size() / 4 * 3) {
        check_.expect(session_.silent_for(check_.span(100ms)),
                      "no response while a quarter of the body is missing", "one came");
        looked = true;
      }
      session_.send_raw(std::string_view(body_).substr(sent_, piece));
      sent_ += piece;
      std::this_thread::sleep_for(2ms);
    }
    check_.expect_status(session_.response(), 200, "a PUT whose body came late and in pieces");
    check_.expect_stored(session_, name_, body_);
  }

 private:
  Check& check_;
  Session session_;
  Name name_;
  std::string body_;
  std::size_t sent_;
};

void body_may_come_late_and_in_pieces(Check& check) {
  // Longer than the time limits that servers set to a pause.
  const auto pause = check.span(check.profile() == Profile::core ? 1300ms : 5300ms);
  PutInPieces late(check, 0);
  const TimePoint end = now() + pause;
  PutInPieces early(check, 28);
  early.finish_from(now() + check.span(150ms));
  late.finish_from(end);
}

void heads_of_the_clients_are_accepted(Check& check) {
  Session session = check.connect();
  const std::string body = check.bytes(65'536 + 28);
  const Name name = check.fresh_name("@8@3@0123456789abcdef@bfloat16");
  const std::string head = "PUT " + name.target() +
                           " HTTP/1.1\r\nHost: " + check.target().endpoint.authority() +
                           "\r\nUser-Agent: LMCache-SageMaker-HyperPod/1.0\r\n"
                           "Content-Length: " +
                           std::to_string(body.size()) +
                           "\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
                           "Content-Type: application/octet-stream\r\n\r\n";
  session.send_raw(head + body.substr(0, 28));
  session.send_raw(std::string_view(body).substr(28));
  const Response response = session.response();
  check.expect_status(response, 200, "a PUT with the clients' own head");
  check.expect_stored(session, name, body);
}

void success_is_200(Check& check) {
  Session session = check.connect();
  for (const std::size_t size : {1u, 100'000u}) {
    const std::string body = check.bytes(size);
    check.expect_status(session.put(check.fresh_name(), body), 200, "the PUT of a new key");
  }
  // A key for which a request waits is new all the same.
  Session waiting = check.connect();
  const Name awaited = check.fresh_name();
  waiting.send(acquire_request(awaited, {.hold = check.span(300ms)}));
  (void)waiting.silent_for(50ms);
  check.expect_status(session.put(awaited, "x"), 200, "the PUT of a key that a request waits for");
  if (const Response woken = waiting.response(check.span(5s)); woken.status / 100 == 2)
    (void)check.grant_in(woken);
}

void chunked_bodies_are_accepted(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(30);
  session.send_raw(session.head_of({"PUT", name.target(), {{"Transfer-Encoding", "chunked"}}, {}}) +
                   "A\r\n" + body.substr(0, 10) + "\r\n14;ext=1\r\n" + body.substr(10) + "\r\n");
  session.send_raw("0\r\nTrailer: 1\r\n\r\n");
  check.expect_status(session.response(), 200, "a PUT with a chunked body");
  check.expect_stored(session, name, body);
}

/// application/json, or a type made of it, as application/problem+json.
bool is_json_type(std::string_view type) {
  return type == "application/json" || type.ends_with("+json");
}

void expect_small_error(const Check& check, const Response& response, std::string_view what) {
  check.expect(response.status >= 400, "an error to " + std::string(what), described(response));
  if (response.body.empty()) return;
  // RFC 9110 lets a server leave the type out.
  const std::string type = response.media_type();
  check.expect((type.empty() || is_json_type(type)) && is_json(response.body),
               "an empty or a JSON body in the error to " + std::string(what), described(response));
}

void errors_have_an_empty_or_json_body(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  check.store(session, name, "x");
  const Response second = session.put(name, "y");
  // Whether it is refused is PUT-02's to judge.
  if (second.status >= 400) expect_small_error(check, second, "a second PUT of a key");
  // Keys that stand otherwise in JSON than in a key. One with a control character may be refused,
  // by a proxy as well.
  for (const std::string_view ending : {"%22", "%5C", "%C3%A9", "%0A", "%22%5D%7D"}) {
    const Name special = check.fresh_name(ending);
    if (session.put(special, "x").status / 100 != 2) continue;
    const Response again = session.put(special, "y");
    if (again.status >= 400)
      expect_small_error(check, again, "a second PUT of a key with " + std::string(ending));
  }
  expect_small_error(check, session.acquire(check.fresh_name("%22%5C")),
                     "a lease on an absent key with %22%5C");
  expect_small_error(check, session.acquire(check.fresh_name()), "a lease on an absent key");
  // Whether this one is an error is REL-02's to judge.
  const Response released = session.release("no-such-lease");
  if (released.status >= 400) expect_small_error(check, released, "the release of an unknown id");
}

/// A body in which every 512 bytes stand a request, should somebody read it as requests.
std::string body_of_requests(const Session& session, const Name& smuggled, std::size_t size) {
  std::string request = session.head_of(put_request(smuggled, "x")) + "x";
  request.resize(512, '\n');
  std::string body;
  body.reserve(size);
  while (body.size() < size) body += request;
  return body;
}

/// Sends a PUT that is to be refused, with requests in its body, and then a request behind it.
void expect_body_passed_over(Check& check, const std::string& target, const std::string& what,
                             bool late, const Name& known, const std::string& body) {
  Session session = check.connect();
  session.stay_on_connection();
  const Request put{"PUT", target, {{"Content-Type", "application/octet-stream"}}, body};
  session.send_raw(session.head_of(put));
  if (late) (void)session.silent_for(check.span(100ms));
  if (!try_send_in_pieces(session, body)) return;
  const auto refusal = session.response_or_close();
  if (!refusal) return;
  check.expect(refusal->status >= 400, "an error to " + what, described(*refusal));
  if (refusal->says_close()) return;
  if (!session.try_send_raw(session.head_of(acquire_request(known, {})))) return;
  const auto next = session.response_or_close();
  if (!next) return;
  check.expect(
      next->status == 200 && is_json(next->body) && check.grant_in(*next).size() == 1,
      "after the refusal of " + what + " a lease on the same connection, or a closed connection",
      described(*next));
}

void refused_bodies_are_never_requests(Check& check) {
  const Name name = check.fresh_name();
  const Name smuggled = check.fresh_name("-smuggled");
  Session first = check.connect();
  check.store(first, name, "x");
  // Pinned, for it is asked for once more when much has been sent.
  const Grant pin = check.lease(first, name, {.ttl = check.span(60s)});
  const std::string body = body_of_requests(first, smuggled, 1 << 20);
  const std::vector<std::pair<std::string, std::string>> refused{
      {name.target(), "a second PUT of a key"},
      {"/v1/kv/" + name.bucket, "a PUT without a key"},
      {"/no/such/path", "a PUT of a path that is not there"}};
  for (const auto& [target, what] : refused) {
    for (const bool late : {false, true})
      expect_body_passed_over(check, target, what, late, name, body);
  }
  // As large as the chunks of real models, and longer than what somebody may read before he gives
  // up; but not so large that it is refused for its size.
  const auto size =
      std::min<std::uint64_t>(81u << 20, check.segment().facts().size / 4 * 3) >> 20 << 20;
  expect_body_passed_over(check, name.target(),
                          "a second PUT of a key, of " + std::to_string(size >> 20) + " MiB", false,
                          name, body_of_requests(first, smuggled, size));
  check.expect_absent(first, smuggled, "its PUT stood in the body of a refused one");
  check.release(first, pin);
}

/// Reads whatever is granted under the name: one of the bodies, or nothing at all.
void expect_whole_or_absent(Check& check, Session& session, const Name& name,
                            const std::vector<std::string>& bodies, const std::string& when,
                            Symptom symptom = Symptom::other) {
  const Response response = session.acquire(name);
  if (response.status / 100 != 2) return;
  const Grant grant = check.grant_in(response);
  const std::string found = check.read(grant);
  check.release(session, grant);
  check.expect(
      std::ranges::find(bodies, found) != bodies.end(), "a whole body or a miss " + when,
      "a grant of " + std::to_string(found.size()) + " bytes that were not sent as one body",
      symptom);
}

/// A large PUT of whose body so many bytes arrive.
void expect_nothing_of_large(Check& check, Session& reader, std::size_t sent, bool abrupt) {
  const Name name = check.fresh_name();
  const std::string body = check.bytes(large_body);
  Session storing = check.connect();
  if (storing.try_send_raw(storing.head_of(put_request(name, body))))
    (void)try_send_in_pieces(storing, std::string_view(body).substr(0, sent));
  std::this_thread::sleep_for(check.span(50ms));
  expect_whole_or_absent(check, reader, name, {}, "while a large body is arriving");
  abrupt ? storing.reset() : storing.close();
  std::this_thread::sleep_for(check.span(50ms));
  expect_whole_or_absent(check, reader, name, {}, "after a large PUT that was cut short");
  // A daemon that reads slowly sees the end late.
  const TimePoint end = now() + check.span(3s);
  auto again = put_large(check, name, body);
  while (again && again->status == 409 && now() < end) {
    std::this_thread::sleep_for(check.span(100ms));
    again = put_large(check, name, body);
  }
  check.expect(!again || again->status != 409,
               "the key to be free after a large PUT that was cut short",
               again ? described(*again) : "");
  check.expect_stored_or_gone(reader, name, body);
}

void expect_none_of_cut(Check& check, const Response& response) {
  check.expect(response.status / 100 != 2, "a miss (504 or 404): its PUT was cut short",
               described(response), Symptom::cut);
  check.expect_miss(response, "a miss (504 or 404): its PUT was cut short");
}

void cut_short_leaves_nothing(Check& check) {
  Session other = check.connect();
  const std::string body = check.bytes(200'000);
  for (const bool abrupt : {true, false}) {
    const Name name = check.fresh_name();
    Session session = check.connect();
    session.send_raw(session.head_of(put_request(name, body)));
    session.send_raw(std::string_view(body).substr(0, body.size() - 1));
    std::this_thread::sleep_for(check.span(50ms));
    check.expect_absent(other, name, "a byte of its body is still missing");
    abrupt ? session.reset() : session.close();
    std::this_thread::sleep_for(check.span(50ms));
    expect_none_of_cut(check, other.acquire(name));
    check.expect_status(other.put(name, body), 200,
                        "the PUT of a key whose first PUT was cut short");
    check.expect_stored(other, name, body);
  }
  if (check.profile() == Profile::core) return;
  expect_nothing_of_large(check, other, large_body - 1, true);
}

void of_two_puts_at_once_one_wins(Check& check) {
  const Name name = check.fresh_name();
  std::vector<std::string> bodies{check.bytes(100'000), check.bytes(100'000)};
  std::vector<Session> sessions = check.connect_many(2);
  for (std::size_t i = 0; i < 2; ++i) {
    sessions[i].send_raw(sessions[i].head_of(put_request(name, bodies[i])) +
                         bodies[i].substr(0, 50'000));
  }
  std::this_thread::sleep_for(check.span(50ms));
  for (std::size_t i = 0; i < 2; ++i) (void)sessions[i].try_send_raw(bodies[i].substr(50'000));
  const std::vector<Response> responses{sessions[0].response(), sessions[1].response()};
  const std::size_t winner = responses[0].status == 200 ? 0 : 1;
  check.expect_taken(responses[1 - winner], "one of two PUTs of a key at once");
  check.expect(responses[winner].status == 200 && responses[1 - winner].status == 409,
               "200 to one of two PUTs of a key at once and 409 to the other",
               described(responses[0]) + " and " + described(responses[1]));
  Session reader = check.connect();
  check.expect_stored(reader, name, bodies[winner]);
}

/// A body of 4 GiB and some bytes, of which the latter arrive. Only where it cannot be stored, so
/// that nothing need give way to it.
void expect_long_length_not_cut(Check& check, Session& reader) {
  constexpr std::uint64_t wrap = 1ull << 32;
  constexpr std::size_t sent = 100;
  const std::uint64_t capacity = check.target().capacity;
  if (capacity == 0 || capacity >= wrap || check.segment().facts().size >= wrap) return;
  const Name name = check.fresh_name();
  const std::string bytes = check.bytes(sent);
  Session session = check.connect();
  (void)session.try_send_raw(
      session.head_of(
          {"PUT", name.target(), {{"Content-Length", std::to_string(wrap + sent)}}, {}}) +
      bytes);
  if (!session.silent_for(check.span(1s))) {
    const auto response = session.response_or_close();
    check.expect(!response || response->status / 100 != 2,
                 "no success for 100 bytes of a PUT of " + std::to_string(wrap + sent),
                 response ? described(*response) : "");
  }
  expect_whole_or_absent(check, reader, name, {}, "while 100 bytes of 4 GiB have arrived");
}

/// PUTs that break off at several places.
void expect_none_of_cut_bodies(Check& check, Session& reader, std::size_t size, bool abrupt) {
  struct Cut {
    Name name;
    std::string what;
    Session storing;
  };
  const std::string body = check.bytes(size);
  std::vector<Cut> cuts;
  for (const std::size_t sent : {std::size_t{0}, std::size_t{1}, size / 2, size - 1}) {
    cuts.push_back({check.fresh_name(),
                    std::to_string(sent) + " of " + std::to_string(size) + " bytes",
                    check.connect()});
    Session& storing = cuts.back().storing;
    storing.send_raw(storing.head_of(put_request(cuts.back().name, body)) + body.substr(0, sent));
  }
  cuts.push_back({check.fresh_name(), "all chunks but the last, empty one", check.connect()});
  // A daemon may refuse it: then nothing of it may be there all the same.
  (void)cuts.back().storing.try_send_raw(
      cuts.back().storing.head_of(
          {"PUT", cuts.back().name.target(), {{"Transfer-Encoding", "chunked"}}, {}}) +
      "64\r\n" + body.substr(0, 100) + "\r\n");
  std::this_thread::sleep_for(check.span(50ms));
  for (const Cut& cut : cuts)
    expect_whole_or_absent(check, reader, cut.name, {}, "while " + cut.what + " have arrived");
  for (Cut& cut : cuts) abrupt ? cut.storing.reset() : cut.storing.close();
  std::this_thread::sleep_for(check.span(50ms));
  for (const Cut& cut : cuts) {
    const std::string when = "after a PUT that was cut short behind " + cut.what;
    expect_whole_or_absent(check, reader, cut.name, {}, when, Symptom::cut);
    // A daemon that reads slowly sees the end late.
    const TimePoint end = now() + check.span(3s);
    Response again = reader.put(cut.name, body);
    while (again.status == 409 && now() < end) {
      std::this_thread::sleep_for(check.span(100ms));
      again = reader.put(cut.name, body);
    }
    check.expect(again.status != 409, "the key to be free " + when, described(again), Symptom::cut);
    check.expect_stored(reader, cut.name, body);
  }
}

void only_whole_bodies_are_granted(Check& check) {
  constexpr std::size_t size = 100'000;
  Session reader = check.connect();
  for (const bool abrupt : {true, false}) expect_none_of_cut_bodies(check, reader, size, abrupt);
  // Once, for in a small cache it takes much of the room that others use.
  expect_nothing_of_large(check, reader, large_body / 2, false);
  if (check.profile() != Profile::core) expect_long_length_not_cut(check, reader);
  // Two at once, their pieces alternating; which of them wins is PUT-10's to judge.
  const Name name = check.fresh_name();
  const std::vector<std::string> bodies{check.bytes(size), check.bytes(size)};
  std::vector<Session> storing = check.connect_many(2);
  for (std::size_t i = 0; i < 2; ++i)
    (void)storing[i].try_send_raw(storing[i].head_of(put_request(name, bodies[i])));
  for (std::size_t at = 0; at < size; at += size / 4) {
    // Now one of them is the later, now the other.
    const std::size_t first = at / (size / 4) % 2;
    for (const std::size_t i : {first, 1 - first}) {
      (void)storing[i].try_send_raw(std::string_view(bodies[i]).substr(at, size / 4));
      std::this_thread::sleep_for(check.span(10ms));
    }
  }
  for (Session& session : storing) (void)session.response_or_close();
  expect_whole_or_absent(check, reader, name, bodies, "after two PUTs of its key at once");
  // One that is cut short takes nothing of what the other has stored.
  const Name won = check.fresh_name();
  Session brief = check.connect();
  (void)brief.try_send_raw(brief.head_of(put_request(won, bodies[0])) +
                           bodies[0].substr(0, size / 2));
  std::this_thread::sleep_for(check.span(50ms));
  Session winner = check.connect();
  winner.send(put_request(won, bodies[1]));
  // A daemon may let it wait until the first one has ended.
  const bool waits = winner.silent_for(check.span(300ms));
  if (waits) brief.reset();
  if (winner.response().status != 200) return;
  // Pinned, for in a small cache what other checks store meanwhile would evict it.
  const Grant pin = check.lease(reader, won, {.ttl = check.span(60s)});
  if (!waits) brief.reset();
  std::this_thread::sleep_for(check.span(50ms));
  check.expect_stored(reader, won, bodies[1]);
  check.release(reader, pin);
}

/// Objects that are leased as soon as they are stored, one after the other, so that a cache that is
/// full has no reason to let one of them go. Now and then one is lost by a daemon that races with
/// itself. Their leases; `names` becomes their names.
std::vector<Grant> leased_at_once(Check& check, Session& session, std::size_t most,
                                  std::vector<Name>& names) {
  constexpr int most_lost = 2;  // Of a daemon that evicts in the background.
  const TimePoint end = now() + check.span(3s);
  std::vector<Grant> grants;
  int lost = 0;
  while (names.size() < most && (names.size() < 16 || now() < end)) {
    names.push_back(check.fresh_name());
    const std::string body = body_of(names.back());
    check.store(session, names.back(), body);
    const Response response = session.acquire(names.back(), {.ttl = check.span(60s)});
    if (is_miss(response)) {
      names.pop_back();
      if (++lost <= most_lost) continue;
      throw Missing{
          {"a lease on what was stored by the request before it",
           std::to_string(lost) + " misses among " + std::to_string(grants.size()) + " grants"}};
    }
    grants.push_back(check.grant_in(response));
    check.expect_bytes(grants.back(), body, "a small object that was just stored");
  }
  return grants;
}

/// Asks for a lease on each of the objects, over all sessions at a time. `judge` is given the
/// object's index and the response, and says which lease is to be released.
template <class Judge>
void lease_each(Check& check, std::vector<Session>& sessions, const std::vector<Name>& names,
                const Judge& judge) {
  for (std::size_t at = 0; at < names.size(); at += sessions.size()) {
    const std::size_t some = std::min(sessions.size(), names.size() - at);
    for (std::size_t i = 0; i < some; ++i) sessions[i].send(acquire_request(names[at + i], {}));
    std::vector<Grant> grants;
    for (std::size_t i = 0; i < some; ++i) {
      if (std::optional<Grant> grant = judge(at + i, sessions[i].response()))
        grants.push_back(*std::move(grant));
    }
    (void)check.release_many(sessions, grants);
  }
}

/// That each object under a lease is granted once more: whatever gives way, these do not.
void expect_granted_again(Check& check, std::vector<Session>& sessions,
                          const std::vector<Name>& names) {
  lease_each(check, sessions, names, [&](std::size_t i, const Response& response) {
    check.expect_present(response, "a second lease on an object under a lease");
    check.expect(response.status / 100 == 2, "a second lease on an object under a lease",
                 described(response));
    const Grant grant = check.grant_in(response);
    check.expect_bytes(grant, body_of(names[i]), "a small object under a lease");
    return std::optional(grant);
  });
}

/// That the end of the last lease on an object is not the end of the object. Some may give way
/// where the cache is full and somebody else stores.
void expect_there_after_release(Check& check, std::vector<Session>& sessions,
                                const std::vector<Name>& names) {
  constexpr std::size_t most_lost = 4;
  std::size_t lost = 0;
  lease_each(check, sessions, names, [&](std::size_t, const Response& response) {
    if (is_miss(response)) ++lost;
    return response.status / 100 == 2 ? std::optional(check.grant_in(response)) : std::nullopt;
  });
  if (lost <= most_lost) return;
  throw Missing{{"a lease on each of " + std::to_string(names.size()) +
                     " small objects right after the release of its first one",
                 std::to_string(lost) + " misses"}};
}

/// So many small objects that a table of fixed length overflows, in half of the cache.
void many_objects_stay(Check& check) {
  constexpr std::size_t most_leased = 600;
  const std::size_t most = check.profile() == Profile::core   ? 600
                           : check.profile() == Profile::full ? 1500
                                                              : 20'000;
  std::vector<Session> sessions = check.connect_many(64);
  std::vector<Name> names;
  std::vector<Grant> grants = leased_at_once(check, sessions[0], 16, names);
  const std::uint64_t room = room_of_one(grants);
  const std::size_t count = std::min<std::uint64_t>(most, check.capacity() / 2 / room);
  check.figure("small objects, each taking " + std::to_string(room) + " bytes of the cache",
               std::to_string(count));
  if (count < 100) check.skip("the cache has room for " + std::to_string(count) + " objects only");
  std::ranges::move(leased_at_once(check, sessions[0], std::min(count, most_leased), names),
                    std::back_inserter(grants));
  check.figure("of them leased as soon as they were stored", std::to_string(names.size()));
  expect_granted_again(check, sessions, names);
  (void)check.release_many(sessions, grants);
  expect_there_after_release(check, sessions, names);
  while (names.size() < count) {
    const std::size_t some = std::min(sessions.size(), count - names.size());
    for (std::size_t i = 0; i < some; ++i) {
      names.push_back(check.fresh_name());
      sessions[i].send(put_request(names.back(), body_of(names.back())));
    }
    for (std::size_t i = 0; i < some; ++i)
      check.expect_status(sessions[i].response(), 200, "the PUT of one of many small objects");
  }
  // The cache may be full of what others stored, and then any of these may give way. A table of
  // fixed length loses those that came first, all of them.
  std::size_t lost = 0;
  bool first_ones = true;
  lease_each(check, sessions, names, [&](std::size_t i, const Response& response) {
    if (response.status / 100 != 2) {
      first_ones = first_ones && lost == i;
      ++lost;
      return std::optional<Grant>();
    }
    const Grant grant = check.grant_in(response);
    check.expect_bytes(grant, body_of(names[i]), "one of many small objects");
    return std::optional(grant);
  });
  check.figure("of them given way", std::to_string(lost));
  // A daemon that lets much go at once, to have room ahead, has room the next time.
  if (first_ones && lost >= count / 20) {
    throw Missing{{"each of " + std::to_string(count) +
                       " small objects to stay, as half of the cache is enough for all",
                   "the first " + std::to_string(lost) + " are gone"}};
  }
}

/// A miss while the body was arriving is forgotten when it has arrived.
void expect_found_after_a_miss(Check& check) {
  const Name name = check.fresh_name();
  const std::string body = check.bytes(1000);
  Session storing = check.connect();
  storing.send_raw(storing.head_of(put_request(name, body)) + body.substr(0, 500));
  std::this_thread::sleep_for(check.span(20ms));
  Session reader = check.connect();
  // Whether it is a miss is PUT-17's to judge.
  if (const Response early = reader.acquire(name); early.status / 100 == 2)
    check.release(reader, check.grant_in(early));
  storing.send_raw(std::string_view(body).substr(500));
  const Response stored = storing.response();
  check.expect(stored.status / 100 == 2,
               "200 to a PUT whose key was asked for while its body was arriving",
               described(stored));
  check.expect_stored(reader, name, body);
}

/// Whether objects that others left alone are there. What a lease kept may have been evicted when
/// that had ended before this check began, so that nothing can be said.
bool finds_what_was_left_alone(Check& check) {
  const LeftAlone& left = *check.target().left_alone;
  const TimePoint begun = now();
  constexpr auto soon = 5s;
  Session session = check.connect();
  bool found = false;
  bool decided = false;
  for (const LeftAlone::Leased& object : left.leased) {
    if (object.ends < begun + soon) {
      std::this_thread::sleep_until(object.ends + 300ms);
    } else {
      check.release(session, object.grant);
    }
    const Response response = session.acquire(object.name);
    const bool is_there = response.status / 100 == 2;
    if (is_there) check.release(session, check.grant_in(response));
    if (!decided) found = is_there;
    decided = decided || is_there || object.ends > begun;
  }
  check.figure("an object was there after " + in_ms(check.span(objects_stay)),
               left.found ? "yes" : "no");
  check.figure("an object was there when its lease had ended", found ? "yes" : "no");
  return left.found && found;
}

/// Some of these may have been evicted even so.
void expect_still_there(Check& check) {
  // Round numbers are what somebody may let objects live for.
  const auto time = check.span(check.profile() == Profile::stress ? 30'500ms : 15'500ms);
  constexpr int count = 8;
  Session session = check.connect();
  std::vector<Name> names(count);
  for (Name& name : names) name = check.stored(session);
  std::this_thread::sleep_for(time);
  for (const Name& name : names) {
    const Response response = session.acquire(name);
    if (response.status / 100 != 2) continue;
    return check.release(session, check.grant_in(response));
  }
  throw Missing{
      {"one of 8 small objects to stay for " + in_ms(time) + ", nothing else being stored",
       "none is there"}};
}

void stored_objects_stay(Check& check) {
  expect_found_after_a_miss(check);
  // Those who waited anyway may have left some that are there.
  const bool patient = check.profile() == Profile::stress;
  if (check.profile() != Profile::core && (patient || !finds_what_was_left_alone(check)))
    expect_still_there(check);
  many_objects_stay(check);
}

void empty_body_is_answered_400(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  check.expect_status(session.put(name, ""), 400, "a PUT with an empty body");
  Session second = check.connect();
  check.expect_absent(second, name, "its PUT was empty");
}

/// The connection over which a PUT was refused goes on, or ends.
void expect_answers_after_507(Check& check, std::uint64_t size) {
  Session session = check.connect();
  session.stay_on_connection();
  const std::string piece = check.bytes(std::min<std::uint64_t>(size, 1 << 20));
  bool open = session.try_send_raw(session.head_of(
      {"PUT", check.fresh_name().target(), {{"Content-Length", std::to_string(size)}}, {}}));
  for (std::uint64_t left = size; left > 0 && open;) {
    const auto some = std::min<std::uint64_t>(left, piece.size());
    open = session.try_send_raw(std::string_view(piece).substr(0, some));
    left -= some;
  }
  const auto refusal = session.response_or_close(check.span(30s));
  if (!open || !refusal || refusal->says_close()) return;
  if (session.try_send_raw(session.head_of(acquire_request(check.fresh_name(), {}))))
    (void)session.response_or_close(check.span(5s));
}

/// A PUT that is refused since others have leases lets nothing give way in vain.
void expect_refusal_evicts_nothing(Check& check, Session& session, Pressure& pressure) {
  constexpr std::uint64_t largest_capacity = 1u << 30;  // Beyond, it would take too long.
  constexpr int leased = 5;
  if (check.capacity() > largest_capacity || pressure.pin(leased) != leased) return;
  std::vector<Name> names(8);
  for (Name& name : names) name = check.stored(session);
  const Response refusal = pressure.store(check.fresh_name(), 4 * pressure.size());
  bool found = false;
  for (const Name& name : names) {
    const Response response = session.acquire(name);
    if (response.status / 100 != 2) continue;
    check.release(session, check.grant_in(response));
    found = true;
  }
  pressure.release_all();
  // Where it was stored, or for another reason not, nothing can be said.
  if (refusal.status != 507 || found) return;
  throw Missing{
      {"one of 8 small objects to stay that no lease pins, when a PUT of half of the "
       "cache beside five leased eighths is answered 507",
       "none is there"}};
}

void no_room_is_answered_507(Check& check) {
  Session session = check.connect();
  Pressure pressure(check);
  expect_refusal_evicts_nothing(check, session, pressure);
  const Name pinned = check.fresh_name();
  const std::string body = check.bytes(10'000);
  check.store(session, pinned, body);
  const Grant grant = check.lease(session, pinned, {.ttl = check.span(60s)});
  const Response refusal = pressure.pin_until_refused().second;
  check.expect_status(refusal, 507, "a PUT into a cache full of leased objects");
  check.expect_bytes(grant, body, "a leased object");
  expect_answers_after_507(check, pressure.size());
  pressure.release_all();
  check.expect(pressure.pin(1) == 1, "room again after all leases were released", "none",
               Symptom::room);
}

void too_large_is_answered_413(Check& check) {
  Session session = check.connect();
  const std::uint64_t size = check.capacity() + 1;
  const Name name = check.fresh_name();
  session.send_raw(
      session.head_of({"PUT", name.target(), {{"Content-Length", std::to_string(size)}}, {}}));
  check.expect_status(session.response(), 413, "the head of a PUT larger than the cache");
}

void expect_100_continue_is_honoured(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(5000);
  Request request = put_request(name, body);
  request.headers.emplace_back("Expect", "100-continue");
  session.send_raw(session.head_of(request));
  check.expect_status(session.any_response(), 100, "a head with Expect: 100-continue");
  session.send_raw(body);
  check.expect_status(session.response(), 200, "the body after 100");
  check.expect_stored(session, name, body);
}

/// More than a daemon may have places for that it forgets to give back.
void expect_stored_after_many_cut_short(Check& check) {
  constexpr int most = 208;
  constexpr int at_once = 16;
  for (int done = 0; done < most; done += at_once) {
    const std::string body = check.bytes(1000);
    for (Session& session : check.connect_many(at_once)) {
      (void)session.try_send_raw(session.head_of(put_request(check.fresh_name(), body)) +
                                 body.substr(0, 500));
    }
  }
  // It may take the daemon some time to see all the ends.
  const TimePoint end = now() + check.span(3s);
  Session session = check.connect();
  const std::string body = check.bytes(1000);
  Response stored = session.put(check.fresh_name(), body);
  while (stored.status / 100 != 2 && now() < end) {
    std::this_thread::sleep_for(check.span(100ms));
    session = check.connect();
    stored = session.put(check.fresh_name(), body);
  }
  check.expect(stored.status / 100 == 2,
               "200 to a PUT after " + std::to_string(most) + " that were cut short",
               described(stored));
}

/// Of two PUTs of one key one is refused, and keeps nothing.
void expect_room_after_races(Check& check) {
  constexpr int races = 5;
  const std::uint64_t capacity = check.capacity();
  if (capacity > 256u << 20) return;  // It would take too long.
  const std::string body = check.bytes(capacity / 8);
  const std::size_t early = std::min<std::size_t>(50'000, body.size() / 2);
  for (int i = 0; i < races; ++i) {
    const Name name = check.fresh_name();
    std::vector<Session> sessions = check.connect_many(2);
    for (Session& session : sessions)
      (void)session.try_send_raw(session.head_of(put_request(name, body)) + body.substr(0, early));
    std::this_thread::sleep_for(check.span(20ms));
    // The second one only then, for a daemon may let it wait until the first one has ended.
    for (Session& session : sessions) {
      (void)try_send_in_pieces(session, std::string_view(body).substr(early));
      (void)session.response_or_close(check.span(30s));
    }
  }
  Pressure pressure(check);
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 objects of an eighth of the cache after five pairs of PUTs of one key",
               "room for " + std::to_string(fitted));
}

void cut_short_gives_back_its_room(Check& check) {
  const std::uint64_t size = check.capacity() / 4 * 3;
  for (int i = 0; i < 3; ++i) {
    Session session = check.connect();
    session.send_raw(
        session.head_of(
            {"PUT", check.fresh_name().target(), {{"Content-Length", std::to_string(size)}}, {}}) +
        check.bytes(100'000));
    std::this_thread::sleep_for(check.span(50ms));
    session.reset();
  }
  std::this_thread::sleep_for(check.span(100ms));
  Pressure pressure(check);
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 objects of an eighth of the cache after three PUTs cut short",
               "room for " + std::to_string(fitted));
  pressure.release_all();
  expect_stored_after_many_cut_short(check);
  expect_room_after_races(check);
}

}  // namespace

std::span<const CheckEntry> store_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"PUT-01", core, serial, body_is_stored_byte_for_byte},
      {"PUT-02", core, serial, existing_key_is_answered_409},
      {"PUT-03", core, parallel, body_may_come_late_and_in_pieces},
      {"PUT-04", core, serial, heads_of_the_clients_are_accepted},
      {"PUT-05", core, serial, success_is_200},
      {"PUT-06", full, serial, chunked_bodies_are_accepted},
      {"PUT-07", core, serial, errors_have_an_empty_or_json_body},
      {"PUT-08", core, serial, refused_bodies_are_never_requests},
      {"PUT-09", core, parallel, cut_short_leaves_nothing},
      {"PUT-10", core, parallel, of_two_puts_at_once_one_wins},
      {"PUT-11", full, serial, empty_body_is_answered_400},
      {"PUT-12", full, exclusive, no_room_is_answered_507},
      {"PUT-13", full, serial, too_large_is_answered_413},
      {"PUT-14", full, serial, expect_100_continue_is_honoured},
      {"PUT-15", full, exclusive, cut_short_gives_back_its_room},
      {"PUT-16", full, exclusive, large_bodies_are_stored},
      {"PUT-17", core, parallel, only_whole_bodies_are_granted},
      {"PUT-18", core, late, stored_objects_stay},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
