// SPDX-License-Identifier: Apache-2.0
// Hostile input: it is refused, it costs nothing lasting, and nothing of it is obeyed.
#include <thread>

#include "daemon/chapters.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

/// Sends bytes over a connection of their own and expects one of these answers or a closed
/// connection, never silence.
void expect_refused(Check& check, const std::string& bytes, std::initializer_list<int> statuses,
                    std::string_view what) {
  Session session = check.connect();
  session.stay_on_connection();
  (void)session.try_send_raw(bytes);
  const auto response = session.response_or_close();
  if (response) check.expect_one_of(*response, statuses, what);
}

std::string host_of(const Check& check) {
  return "Host: " + check.target().endpoint.authority() + "\r\n";
}

/// With line ends that can be seen, as a shell's printf takes them.
std::string escaped(std::string_view bytes) {
  std::string text;
  for (const char c : bytes)
    text += c == '\r' ? std::string("\\r") : c == '\n' ? std::string("\\n") : std::string(1, c);
  return text;
}

std::string put_head(const Check& check, const Name& name, std::string_view headers) {
  return "PUT " + name.target() + " HTTP/1.1\r\n" + host_of(check) + std::string(headers) + "\r\n";
}

std::string whole_put(const Check& check, const Name& name) {
  return put_head(check, name, "Content-Length: 1\r\n") + "x";
}

void both_framings_are_refused(Check& check) {
  const Name name = check.fresh_name();
  const Name smuggled = check.fresh_name("-smuggled");
  const std::string behind = "0\r\n\r\n" + whole_put(check, smuggled);
  const std::string length = "Content-Length: " + std::to_string(behind.size()) + "\r\n";
  const std::string coding = "Transfer-Encoding: chunked\r\n";
  for (const std::string& headers : {length + coding, coding + length}) {
    expect_refused(check, put_head(check, name, headers) + behind, {400},
                   "a PUT with Content-Length and Transfer-Encoding");
  }
  Session session = check.connect();
  check.expect_absent(session, smuggled, "its PUT stood in the body of a refused one");
  check.expect_absent(session, name, "its PUT was to be refused");
}

void doubtful_lengths_are_refused(Check& check) {
  const Name name = check.fresh_name();
  for (const char* headers :
       {"Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: -1\r\n",
        "Content-Length: 1x\r\n", "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 0x1\r\n"}) {
    expect_refused(check, put_head(check, name, headers) + "xx", {400, 413},
                   "a PUT with the headers " + escaped(headers));
  }
  Session session = check.connect();
  check.expect_absent(session, name, "its PUTs had doubtful lengths");
}

void malformed_chunks_are_refused(Check& check) {
  const Name name = check.fresh_name();
  for (const char* body :
       {"zz\r\nxx\r\n0\r\n\r\n", "-2\r\nxx\r\n0\r\n\r\n", "0x2\r\nxx\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFFF\r\nxx\r\n0\r\n\r\n", "2\r\nxxyy\r\n0\r\n\r\n", "\r\nxx\r\n0\r\n\r\n"}) {
    expect_refused(check, put_head(check, name, "Transfer-Encoding: chunked\r\n") + body,
                   {400, 411, 413, 501}, "a PUT with the chunked body \"" + escaped(body) + "\"");
  }
  Session session = check.connect();
  check.expect_absent(session, name, "its PUTs had malformed chunks");
}

void long_targets_are_refused(Check& check) {
  const Name name = check.fresh_name(std::string(64 * 1024, 'k'));
  expect_refused(check, whole_put(check, name), {414, 431, 400}, "a target of 64 KiB");
  check.expect_alive();
}

void large_heads_are_refused(Check& check) {
  const Name name = check.fresh_name();
  expect_refused(check, put_head(check, name, "X: " + std::string(1 << 20, 'x') + "\r\n"),
                 {431, 400}, "a head of 1 MiB");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "X-" + std::to_string(i) + ": 1\r\n";
  expect_refused(check, put_head(check, name, many + "Content-Length: 1\r\n") + "x", {431, 400},
                 "a head of 5,000 headers");
  check.expect_alive();
}

/// In a value a NUL may also be taken for a space (RFC 9110, section 5.5).
void nul_in_a_head_is_refused(Check& check) {
  const Name name = check.fresh_name();
  using namespace std::string_literals;
  for (const std::string& header : {"X\0: ab\r\n"s, "Content\0-Length: 1\r\n"s}) {
    expect_refused(check, put_head(check, name, header + "Content-Length: 1\r\n") + "x", {400},
                   "a head with a NUL in a name");
  }
  Session session = check.connect();
  check.expect_absent(session, name, "the heads of its PUTs had a NUL in a name");
  const Name harmless = check.fresh_name();
  const Response response = [&] {
    Session one = check.connect();
    (void)one.try_send_raw(put_head(check, harmless, "X: a\0b\r\nContent-Length: 1\r\n"s) + "x");
    return one.response_or_close().value_or(Response{});
  }();
  check.expect(response.status == 0 || response.status == 400 || response.status / 100 == 2,
               "a NUL in a value to be refused or to be taken for a space", described(response));
}

void malformed_encodings_are_refused(Check& check) {
  for (const char* ending : {"%zz", "%4", "%", "%%41", "a%4gb"}) {
    const Name name = check.fresh_name(ending);
    Session session = check.connect();
    const Response response = session.put(name, "x");
    check.expect_one_of(response, {400, 404}, std::string("a PUT of a key with ") + ending);
  }
}

void incomplete_targets_are_refused(Check& check) {
  const Name name = check.fresh_name();
  for (const std::string& target : {std::string("/v1/kv/"), "/v1/kv/" + name.bucket,
                                    "/v1/kv/" + name.bucket + "/", "/v1/kv//" + name.key}) {
    Session session = check.connect();
    check.expect_one_of(session.ask({"PUT", target, {}, "x"}), {400, 404, 405}, "PUT " + target);
    Session second = check.connect();
    const Response leased = second.ask({"POST", target + "/leases?timeout_ms=0&ttl_s=1.0", {}, {}});
    check.expect_one_of(leased, {400, 404, 405, 504}, "POST " + target + "/leases");
  }
}

void garbage_is_refused(Check& check) {
  Session witness = check.connect();
  const Name name = check.fresh_name();
  check.store(witness, name, "x");
  expect_refused(check, "GARBAGE\r\n\r\n", {400}, "a line that is not a request");
  expect_refused(check, check.bytes(4000) + "\r\n\r\n", {400}, "4,000 random bytes");
  expect_refused(check, "\x16\x03\x01\x02\r\n\r\n", {400}, "the beginning of a TLS handshake");
  expect_refused(check, "PUT " + name.target() + " HTTP/9.9.9\r\n" + host_of(check) + "\r\n",
                 {400, 505}, "a request of an unknown version");
  check.expect_stored(witness, name, "x");
}

void host_is_required(Check& check) {
  Session session = check.connect();
  session.send_raw("GET / HTTP/1.1\r\n\r\n");
  check.expect_status(session.response(), 400, "a request of HTTP/1.1 without Host");
}

void unfinished_heads_are_cut(Check& check) {
  Session session = check.connect();
  const TimePoint begun = now();
  session.send_raw("PUT /v1/kv/bucket/key HTTP/1.1\r\n" + host_of(check) + "X-Slow: ");
  const auto limit = 10s + check.span(3s);
  while (now() < begun + limit) {
    if (session.closes_within(250ms)) return;
    if (!session.try_send_raw("x")) return;
  }
  throw Violation{"a head unfinished after 10 s to cost the connection",
                  "it is open after " + in_ms(limit)};
}

void silent_connections_do_no_harm(Check& check) {
  Session witness = check.connect();
  std::vector<Session> silent;
  for (int i = 0; i < 2000; ++i) {
    auto session = check.try_connect(check.target().endpoint, check.target().tls, AF_UNSPEC);
    if (!session) {
      if (session.error().code == ErrorCode::out_of_resources)
        throw Skipped{session.error().message};
      break;  // A daemon may refuse some.
    }
    silent.push_back(*std::move(session));
  }
  check.figure("silent connections accepted", std::to_string(silent.size()));
  const Name name = check.fresh_name();
  check.store(witness, name, "x");
  silent.clear();
  check.expect_alive();
}

}  // namespace

std::span<const CheckEntry> limit_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"LIMIT-01", full, serial, both_framings_are_refused},
      {"LIMIT-02", full, serial, doubtful_lengths_are_refused},
      {"LIMIT-03", full, serial, malformed_chunks_are_refused},
      {"LIMIT-04", full, serial, long_targets_are_refused},
      {"LIMIT-05", full, serial, large_heads_are_refused},
      {"LIMIT-06", full, serial, nul_in_a_head_is_refused},
      {"LIMIT-07", full, serial, malformed_encodings_are_refused},
      {"LIMIT-08", full, serial, incomplete_targets_are_refused},
      {"LIMIT-09", full, serial, garbage_is_refused},
      {"LIMIT-10", full, serial, host_is_required},
      {"LIMIT-11", full, parallel, unfinished_heads_are_cut},
      {"LIMIT-12", full, exclusive, silent_connections_do_no_harm},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
