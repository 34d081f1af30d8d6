// SPDX-License-Identifier: Apache-2.0
// Acquiring: what a request may look like and what a grant must.
#include <algorithm>
#include <set>
#include <thread>

#include "daemon/chapters.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

void grant_is_200_and_json(Check& check) {
  Session session = check.connect();
  const Response response = session.acquire(check.stored(session));
  check.expect_present(response, "a lease on a stored key");
  check.expect_status(response, 200, "a lease request for a stored key");
  // The in-process client compares the type as it is written.
  const auto type = response.header("content-type").value_or("no Content-Type");
  check.expect(type.starts_with("application/json") && response.media_type() == "application/json",
               "Content-Type: application/json", std::string(type));
  (void)check.grant_in(response);
}

void grant_has_id_and_offsets(Check& check) {
  Session session = check.connect();
  const Response response = session.acquire(check.stored(session));
  check.expect_present(response, "a lease on a stored key");
  check.expect(response.status / 100 == 2, "a lease on a stored key", described(response));
  const Grant grant = check.grant_in(response);
  check.expect(!grant.id.empty(), "an id that is not empty", response.body);
}

void ids_need_no_encoding(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  for (int i = 0; i < 32; ++i) {
    const Grant grant = check.lease(session, name);
    const bool plain = std::ranges::all_of(grant.id, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-';
    });
    check.expect(plain && !grant.id.empty(), "an id of A-Z a-z 0-9 _ -", "\"" + grant.id + "\"");
    check.release(session, grant);
  }
}

void queries_of_the_clients_are_understood(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  for (const char* query :
       {"timeout_ms=5000&ttl_s=30.0", "timeout_ms=1000&ttl_s=30.0", "timeout_ms=0&ttl_s=0.5",
        "timeout_ms=100&ttl_s=12.25", "timeout_ms=5000&ttl_s=30", "timeout_ms=15", "ttl_s=30.0", "",
        "timeout_ms=30000&ttl_s=60.0", "timeout_ms=600000&ttl_s=3600.0", "timeout_ms=1&ttl_s=0.1",
        "timeout_ms=0&ttl_s=0.30000000000000004", "timeout_ms=0&ttl_s=29.999999999999996"}) {
    session.send_raw("POST " + name.target() + "/leases?" + query +
                     " HTTP/1.1\r\nHost: " + check.target().endpoint.authority() +
                     "\r\nUser-Agent: LMCache-SageMaker-HyperPod/1.0\r\nAccept: */*\r\n"
                     "Content-Length: 0\r\n\r\n");
    const Response response = session.response();
    const std::string what = std::string("a lease request with ") + query;
    check.expect_present(response, what);
    check.expect_status(response, 200, what);
    check.release(session, check.grant_in(response));
  }
}

void fragments_cover_the_object(Check& check) {
  Session session = check.connect();
  for (const std::size_t size : {1u, 28u, 65'536u, 1'048'577u}) {
    const Grant grant = check.lease(session, check.stored(session, size));
    check.expect(
        !grant.fragments.empty() && grant.size() == size,
        "fragments of " + std::to_string(size) + " bytes together",
        std::to_string(grant.fragments.size()) + " fragments of " + std::to_string(grant.size()),
        Symptom::place);
    (void)check.read(grant);
    auto sorted = grant.fragments;
    std::ranges::sort(sorted, {}, &Fragment::offset);
    std::uint64_t end = 0;
    for (const Fragment& fragment : sorted) {
      check.expect(fragment.len > 0, "no fragment of length 0",
                   "one at " + std::to_string(fragment.offset), Symptom::place);
      check.expect(fragment.offset >= end, "no two fragments that overlap",
                   "one at " + std::to_string(fragment.offset) + " before the end of another",
                   Symptom::place);
      end = fragment.offset + fragment.len;
    }
    check.release(session, grant);
  }
}

void id_is_a_string(Check& check) {
  Session session = check.connect();
  const Response response = session.acquire(check.stored(session));
  check.expect_present(response, "a lease on a stored key");
  check.expect(response.status / 100 == 2, "a lease on a stored key", described(response));
  const Grant grant = check.grant_in(response);
  check.expect(grant.id_is_string, "an id that is a JSON string", response.body);
}

/// On one object that all want, and on others.
void many_leases_at_once(Check& check) {
  const std::size_t rounds = check.profile() == Profile::core   ? 20
                             : check.profile() == Profile::full ? 80
                                                                : 640;
  std::vector<Session> sessions = check.connect_many(16);
  const std::size_t count = rounds * sessions.size();
  const std::string among = "one of " + std::to_string(count) + " live leases";
  const Name popular = check.stored(sessions[0]);
  std::vector<Grant> grants;
  std::set<std::string> ids;
  for (std::size_t round = 0; round < rounds; ++round) {
    // So few objects of their own that a small cache has room for them.
    const Name name = round % 2 == 0 && round < 80 ? check.stored(sessions[0], 100) : popular;
    std::vector<Grant> some =
        check.lease_many(sessions, name, sessions.size(), {.ttl = check.span(60s)}, among);
    for (Grant& grant : some) {
      ids.insert(grant.id);
      grants.push_back(std::move(grant));
    }
  }
  check.expect(ids.size() == grants.size(), std::to_string(count) + " leases with ids of their own",
               std::to_string(ids.size()) + " different ids");
  if (const auto odd = check.release_many(sessions, grants))
    check.expect_status(*odd, 200, "the release of " + among, Symptom::lease);
}

void misses_are_ordinary(Check& check) {
  Session session = check.connect();
  for (int i = 0; i < 10; ++i) {
    check.expect_absent(session, check.fresh_name(), "nothing was stored under it");
  }
  check.expect(session.reconnects() == 0, "ten misses over one connection",
               std::to_string(session.reconnects() + 1) + " connections");
  const Name name = check.stored(session);
  check.release(session, check.lease(session, name));
}

void missing_parameters_have_defaults(Check& check) {
  Session session = check.connect();
  const auto ask = [&](const Name& name, std::string_view query) {
    return session.ask({"POST", name.target() + "/leases" + std::string(query), {}, {}});
  };
  const Response miss = ask(check.fresh_name(), "?ttl_s=30.0");
  check.expect_miss(miss, "a miss without timeout_ms");
  check.expect(miss.took() < check.span(500ms), "a miss at once without timeout_ms",
               described(miss) + " after " + in_ms(miss.took()));
  const Name name = check.stored(session);
  const Response long_lived = ask(name, "");
  check.expect_status(long_lived, 200, "a lease request without parameters");
  const Grant grant = check.grant_in(long_lived);
  const Grant second = check.grant_in(ask(name, "?timeout_ms=0"));
  std::this_thread::sleep_until(grant.asked + 28s);
  check.expect_status(session.release(grant.id), 200,
                      "the release after 28 s of a lease without ttl_s");
  std::this_thread::sleep_until(second.asked + 30s + check.span(1s));
  check.expect(session.release(second.id).status != 200, "a lease without ttl_s to end after 30 s",
               "it was still alive after 31 s");
}

void malformed_parameters_are_answered_400(Check& check) {
  Session session = check.connect();
  const Name name = check.stored(session);
  for (const char* query :
       {"timeout_ms=soon&ttl_s=30.0", "timeout_ms=-1&ttl_s=30.0", "timeout_ms=&ttl_s=30.0",
        "timeout_ms=0&ttl_s=nan", "timeout_ms=0&ttl_s=inf", "timeout_ms=0&ttl_s=-1",
        "timeout_ms=0&ttl_s=x", "timeout_ms=0&ttl_s="}) {
    const Response response = session.ask({"POST", name.target() + "/leases?" + query, {}, {}});
    check.expect_status(response, 400, std::string("a lease request with ") + query);
  }
}

}  // namespace

std::span<const CheckEntry> lease_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"LEASE-01", core, serial, grant_is_200_and_json},
      {"LEASE-02", core, serial, grant_has_id_and_offsets},
      {"LEASE-03", core, serial, ids_need_no_encoding},
      {"LEASE-04", core, serial, queries_of_the_clients_are_understood},
      {"LEASE-05", core, serial, fragments_cover_the_object},
      {"LEASE-06", core, serial, many_leases_at_once},
      {"LEASE-07", core, serial, misses_are_ordinary},
      {"LEASE-08", stress, parallel, missing_parameters_have_defaults},
      {"LEASE-09", full, serial, malformed_parameters_are_answered_400},
      {"LEASE-10", core, serial, id_is_a_string},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
