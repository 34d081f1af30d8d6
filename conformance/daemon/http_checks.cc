// SPDX-License-Identifier: Apache-2.0
// HTTP as the clients use it, and as any HTTP/1.1 server owes it.
#include <ifaddrs.h>
#include <netinet/in.h>

#include <thread>

#include "daemon/chapters.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

void daemon_speaks_http_1_1(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  for (const Response& response : {session.put(name, "x"), session.acquire(check.fresh_name()),
                                   session.release("no-such-lease")}) {
    check.expect(response.version == "HTTP/1.1", "HTTP/1.1", response.version);
  }
}

bool machine_has_ipv6_loopback() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return false;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(first, &::freeifaddrs);
  for (const ifaddrs* next = first; next != nullptr; next = next->ifa_next) {
    if (next->ifa_addr == nullptr || next->ifa_addr->sa_family != AF_INET6) continue;
    const auto* address = reinterpret_cast<const sockaddr_in6*>(next->ifa_addr);
    if (IN6_IS_ADDR_LOOPBACK(&address->sin6_addr)) return true;
  }
  return false;
}

void port_is_reachable_over_both_families(Check& check) {
  Endpoint endpoint = check.target().endpoint;
  if (endpoint.host != "localhost") {
    check.skip("the URL gives an address; give http://localhost:PORT to have both families tried");
  }
  if (!machine_has_ipv6_loopback()) check.skip("this machine has no IPv6");
  for (const char* address : {"127.0.0.1", "::1"}) {
    endpoint.host = address;
    auto session = check.try_connect(endpoint, check.target().tls, AF_UNSPEC);
    check.expect(session.has_value(), std::string("a connection to ") + endpoint.authority(),
                 session ? "" : session.error().message);
    check.expect_status(session->ask({"GET", "/", {}, {}}), 404, "GET / over this family");
  }
}

void there_is_no_inspection_api(Check& check) {
  Session session = check.connect();
  for (const char* path :
       {"/", "/health", "/metrics", "/stats", "/status", "/buckets", "/cache", "/debug/vars"}) {
    check.expect_status(session.ask({"GET", path, {}, {}}), 404, std::string("GET ") + path);
  }
}

void objects_stay_behind_leases(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = "bytes-that-only-a-lease-leads-to";
  check.store(session, name, body);
  const std::vector<std::pair<std::string, std::string>> asked{
      {"GET", name.target()},
      {"DELETE", name.target()},
      {"GET", "/v1/kv/" + name.bucket},
      {"GET", "/v1/kv/" + name.bucket + "/"},
      {"GET", "/v1/kv"},
      {"DELETE", "/v1/kv/" + name.bucket}};
  for (const auto& [method, target] : asked) {
    const Response response = session.ask({method, target, {}, {}});
    check.expect_one_of(response, {404, 405}, method + " " + target);
    check.expect(response.body.find(body) == std::string::npos, "no object bytes over HTTP",
                 response.body);
  }
  check.expect_stored(session, name, body);
}

void connections_are_kept_alive(Check& check) {
  Session session = check.connect();
  for (int i = 0; i < 40; ++i) {
    const Name name = check.fresh_name();
    check.store(session, name, "x");
    check.release(session, check.lease(session, name));
  }
  check.expect(session.reconnects() == 0, "one connection for 120 requests, one after the other",
               std::to_string(session.reconnects() + 1) +
                   " connections, the daemon having closed " +
                   std::to_string(session.reconnects()));
}

void pipelined_requests_are_answered_in_order(Check& check) {
  Session session = check.connect();
  session.stay_on_connection();
  const Name one = check.fresh_name();
  const Name two = check.fresh_name();
  const std::string body_one = check.bytes(3000);
  const std::string body_two = check.bytes(5000);
  session.send_raw(session.head_of(put_request(one, body_one)) + body_one +
                   session.head_of(put_request(two, body_two)) + body_two +
                   session.head_of(acquire_request(one, {})) +
                   session.head_of(acquire_request(two, {})) +
                   session.head_of(release_request("no-such-lease")));
  check.expect_status(session.response(), 200, "the first of two pipelined PUTs");
  check.expect_status(session.response(), 200, "the second of two pipelined PUTs");
  for (const std::string& body : {body_one, body_two}) {
    const Response response = session.response();
    check.expect_present(response, "a pipelined lease request");
    check.expect_status(response, 200, "a pipelined lease request");
    check.expect_bytes(check.grant_in(response), body, "the object asked for, in order");
  }
  // Which status that is, is REL-02's to judge.
  (void)session.response();
}

void heads_may_arrive_byte_by_byte(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string head = session.head_of(put_request(name, "body"));
  for (const char c : head + "body") {
    session.send_raw({&c, 1});
    std::this_thread::sleep_for(1ms);
  }
  check.expect_status(session.response(), 200, "a PUT sent byte by byte");
  check.expect_stored(session, name, "body");
}

void header_names_mean_the_same_in_any_case(Check& check) {
  Session session = check.connect();
  const std::string host = check.target().endpoint.authority();
  for (const std::string& headers : {"hOsT:" + host + "\r\ncontent-length:4\r\n",
                                     "HOST:\t " + host + " \t\r\nCONTENT-LENGTH:   4  \r\n"}) {
    const Name name = check.fresh_name();
    session.send_raw("PUT " + name.target() + " HTTP/1.1\r\n" + headers + "\r\nbody");
    check.expect_status(session.response(), 200, "a PUT with unusual spelling of headers");
    check.expect_stored(session, name, "body");
  }
}

void absolute_targets_are_understood(Check& check) {
  Session session = check.connect();
  const Name name = check.fresh_name("%2Fa@b");
  const std::string root = check.target().endpoint.url();
  const Response stored = session.ask({"PUT", root + name.target(), {}, "body"});
  check.expect_status(stored, 200, "a PUT with a target in absolute form");
  check.expect_stored(session, name, "body");
}

void connection_close_is_honoured(Check& check) {
  Session session = check.connect();
  session.stay_on_connection();
  const std::string body = check.bytes(2000);
  Request request = put_request(check.fresh_name(), body);
  request.headers.emplace_back("Connection", "close");
  check.expect_status(session.ask(request), 200, "a PUT with Connection: close");
  check.expect(session.closes_within(check.span(2s)), "the connection closed after the response",
               "it is still open after " + in_ms(check.span(2s)));
}

void http_1_0_is_answered_and_closed(Check& check) {
  Session session = check.connect();
  session.stay_on_connection();
  const Name name = check.fresh_name();
  session.send_raw("PUT " + name.target() + " HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody");
  check.expect_status(session.response(), 200, "a PUT of HTTP/1.0");
  check.expect(session.closes_within(check.span(2s)), "the connection closed after the response",
               "it is still open after " + in_ms(check.span(2s)));
}

void idle_connections_still_serve(Check& check) {
  Session session = check.connect();
  session.stay_on_connection();
  const Name name = check.fresh_name();
  check.store(session, name, "x");
  const Grant grant = check.lease(session, name, {.ttl = 60s});
  check.expect(session.silent_for(31s), "a connection that stays open while idle for 31 s",
               "it was closed");
  check.expect_status(session.release(grant.id), 200, "a release after 31 s", Symptom::lease);
  check.forget(grant);
}

}  // namespace

std::span<const CheckEntry> http_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"HTTP-01", core, serial, daemon_speaks_http_1_1},
      {"HTTP-02", full, serial, port_is_reachable_over_both_families},
      {"HTTP-03", core, serial, there_is_no_inspection_api},
      {"HTTP-04", core, serial, objects_stay_behind_leases},
      {"HTTP-05", core, serial, connections_are_kept_alive},
      {"HTTP-06", full, serial, pipelined_requests_are_answered_in_order},
      {"HTTP-07", full, parallel, heads_may_arrive_byte_by_byte},
      {"HTTP-08", full, serial, header_names_mean_the_same_in_any_case},
      {"HTTP-09", full, serial, absolute_targets_are_understood},
      {"HTTP-10", full, serial, connection_close_is_honoured},
      {"HTTP-11", full, serial, http_1_0_is_answered_and_closed},
      {"HTTP-12", stress, parallel, idle_connections_still_serve},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
