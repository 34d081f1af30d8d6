// Storing: what a PUT answers, what it keeps, and what a refused or broken one leaves behind.
#include <thread>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

void body_is_stored_byte_for_byte(Check& check) {
  Session session = check.connect();
  for (const std::size_t size : {1u, 28u, 4095u, 65'536u, 262'147u, 1'048'577u}) {
    const Name name = check.fresh_name();
    const std::string body = check.bytes(size);
    check.store(session, name, body);
    check.expect_stored(session, name, body);
  }
}

void existing_key_is_answered_409(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(5000);
  check.store(session, name, body);
  for (const std::string& again : {check.bytes(5000), check.bytes(100), body}) {
    check.expect_status(session.put(name, again), 409, "a second PUT of a key");
    check.expect_stored(session, name, body);
  }
}

void body_may_come_late_and_in_pieces(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(100'000);
  session.send_raw(session.head_of(put_request(name, body)));
  check.expect(session.silent_for(check.span(150ms)), "no answer before the body", "one came");
  std::string_view rest = body;
  for (std::size_t piece = 28; !rest.empty(); piece = 33'333) {
    session.send_raw(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
    std::this_thread::sleep_for(10ms);
  }
  check.expect_status(session.answer(), 200, "a PUT whose body came in pieces");
  check.expect_stored(session, name, body);
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
  const Answer answer = session.answer();
  check.expect_status(answer, 200, "a PUT with the clients' own head");
  check.expect(!answer.header("content-encoding"), "no content coding", "Content-Encoding is set");
  check.expect_stored(session, name, body);
}

void success_is_200(Check& check) {
  Session session = check.connect();
  for (const std::size_t size : {1u, 100'000u}) {
    const std::string body = check.bytes(size);
    check.expect_status(session.put(check.fresh_name(), body), 200, "the PUT of a new key");
  }
}

void chunked_bodies_are_accepted(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(30);
  session.send_raw("PUT " + name.target() +
                   " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + "A\r\n" +
                   body.substr(0, 10) + "\r\n14;ext=1\r\n" + body.substr(10) + "\r\n");
  session.send_raw("0\r\nTrailer: 1\r\n\r\n");
  check.expect_status(session.answer(), 200, "a PUT with a chunked body");
  check.expect_stored(session, name, body);
}

void expect_small_error(const Check& check, const Answer& answer, std::string_view what) {
  check.expect(answer.status >= 400, "an error to " + std::string(what), described(answer));
  if (answer.body.empty()) return;
  const char first = answer.body[answer.body.find_first_not_of(" \r\n\t")];
  check.expect(
      answer.media_type() == "application/json" && (first == '{' || first == '"' || first == '['),
      "an empty or a JSON body in the error to " + std::string(what), described(answer));
}

void errors_have_an_empty_or_json_body(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  check.store(session, name, "x");
  expect_small_error(check, session.put(name, "y"), "a second PUT of a key");
  expect_small_error(check, session.acquire(check.fresh_name()), "a lease on an absent key");
  expect_small_error(check, session.release("no-such-lease"), "the release of an unknown id");
}

/// A body in which every 512 bytes stand a request, should somebody read it as requests.
std::string body_of_requests(const Name& smuggled) {
  std::string request =
      "PUT " + smuggled.target() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
  request.resize(512, '\n');
  std::string body;
  while (body.size() < 1 << 20) body += request;
  return body;
}

void refused_bodies_are_never_requests(Check& check) {
  const Name name = check.fresh_name();
  const Name smuggled = check.fresh_name("-smuggled");
  Session first = check.connect();
  check.store(first, name, "x");
  const std::string body = body_of_requests(smuggled);
  for (const bool late : {false, true}) {
    Session session = check.connect();
    const Request put = put_request(name, body);
    session.send_raw(session.head_of(put));
    if (late) (void)session.silent_for(check.span(100ms));
    if (!session.try_send_raw(body)) continue;
    const auto refusal = session.answer_or_close();
    if (!refusal) continue;
    check.expect_status(*refusal, 409, "a second PUT of a key");
    if (!session.try_send_raw(session.head_of(acquire_request(name, {})))) continue;
    const auto next = session.answer_or_close();
    if (!next) continue;
    check.expect(next->status == 200 && check.grant_in(*next).size() == 1,
                 "after the 409 a lease on the same connection, or a closed connection",
                 described(*next));
  }
  check.expect_absent(first, smuggled, "its PUT stood in the body of a refused one");
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
    check.expect_absent(other, name, "its PUT was cut short");
    check.expect_status(other.put(name, body), 200,
                        "the PUT of a key whose first PUT was cut short");
    check.expect_stored(other, name, body);
  }
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
  const std::vector<Answer> answers{sessions[0].answer(), sessions[1].answer()};
  const std::size_t winner = answers[0].status == 200 ? 0 : 1;
  check.expect(answers[winner].status == 200 && answers[1 - winner].status == 409,
               "200 to one of two PUTs of a key at once and 409 to the other",
               described(answers[0]) + " and " + described(answers[1]));
  Session reader = check.connect();
  check.expect_stored(reader, name, bodies[winner]);
}

void empty_body_is_answered_400(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  check.expect_status(session.put(name, ""), 400, "a PUT with an empty body");
  Session second = check.connect();
  check.expect_absent(second, name, "its PUT was empty");
}

void no_room_is_answered_507(Check& check) {
  Session session = check.connect();
  Pressure pressure(check);
  const Name pinned = check.fresh_name();
  const std::string body = check.bytes(10'000);
  check.store(session, pinned, body);
  const Grant grant = check.lease(session, pinned, {.ttl = check.span(60s)});
  const Answer refusal = pressure.pin_until_refused();
  check.expect_status(refusal, 507, "a PUT into a cache full of leased objects");
  check.expect_bytes(grant, body, "a leased object");
  pressure.release_all();
  check.expect(pressure.pin(1) == 1, "room again after all leases were released", "none");
}

void too_large_is_answered_413(Check& check) {
  Session session = check.connect();
  const std::uint64_t size = check.capacity() + 1;
  const Name name = check.fresh_name();
  session.send_raw("PUT " + name.target() +
                   " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
  check.expect_status(session.answer(), 413, "the head of a PUT larger than the cache");
}

void expect_100_continue_is_honoured(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(5000);
  Request request = put_request(name, body);
  request.headers.emplace_back("Expect", "100-continue");
  session.send_raw(session.head_of(request));
  check.expect_status(session.answer(), 100, "a head with Expect: 100-continue");
  session.send_raw(body);
  check.expect_status(session.answer(), 200, "the body after 100");
  check.expect_stored(session, name, body);
}

void cut_short_gives_back_its_room(Check& check) {
  const std::uint64_t size = check.capacity() / 4 * 3;
  for (int i = 0; i < 3; ++i) {
    Session session = check.connect();
    session.send_raw("PUT " + check.fresh_name().target() +
                     " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) +
                     "\r\n\r\n" + check.bytes(100'000));
    std::this_thread::sleep_for(check.span(50ms));
    session.reset();
  }
  std::this_thread::sleep_for(check.span(100ms));
  Pressure pressure(check);
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5,
               "room for 5 objects of an eighth of the cache after three PUTs cut short",
               "room for " + std::to_string(fitted));
}

}  // namespace

std::span<const CheckEntry> store_checks() {
  using enum Profile;
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"PUT-01", core, quick, body_is_stored_byte_for_byte},
      {"PUT-02", core, quick, existing_key_is_answered_409},
      {"PUT-03", core, patient, body_may_come_late_and_in_pieces},
      {"PUT-04", core, quick, heads_of_the_clients_are_accepted},
      {"PUT-05", core, quick, success_is_200},
      {"PUT-06", full, quick, chunked_bodies_are_accepted},
      {"PUT-07", core, quick, errors_have_an_empty_or_json_body},
      {"PUT-08", core, quick, refused_bodies_are_never_requests},
      {"PUT-09", core, patient, cut_short_leaves_nothing},
      {"PUT-10", core, patient, of_two_puts_at_once_one_wins},
      {"PUT-11", full, quick, empty_body_is_answered_400},
      {"PUT-12", full, alone, no_room_is_answered_507},
      {"PUT-13", full, quick, too_large_is_answered_413},
      {"PUT-14", full, quick, expect_100_continue_is_honoured},
      {"PUT-15", full, alone, cut_short_gives_back_its_room},
  };
  return entries;
}

}  // namespace hyperpod::conformance
