// SPDX-License-Identifier: Apache-2.0
// Wire: what a client's requests look like.
#include <algorithm>
#include <regex>

#include "client/payload.h"
#include "client/send_trace.h"
#include "client/suite.h"
#include "proxy/recording_proxy.h"

namespace hyperpod::conformance::client {
namespace {
namespace wire {

using namespace std::chrono_literals;
using emulator::JournalOperation;

constexpr std::uint64_t size = 4096;

void keys_arrive_as_they_are(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon);
  daemon.begin();
  const std::vector<std::string> keys{"meta-llama/Llama-3.1-8B@8@0@ab12cd@bfloat16",
                                      "a%2Fb",
                                      "%",
                                      "100%25",
                                      "a+b c",
                                      "naïve/κλειδί/鍵",
                                      "façade-ÿ",  // Latin-1 has all of it.
                                      "~!$&'()*,;=:@-._",
                                      "a//b/../c",
                                      "?x=1#y",
                                      "tag@k%v@w%z",
                                      "\"\\<>^`{|}",
                                      "e\u0301 and \u00E9",  // The letter in both its forms.
                                      "\U0001F511",
                                      " a space at each end ",
                                      "two\nlines",
                                      std::string(300, 'k') + "-long"};
  std::uint64_t seed = 0;
  for (const std::string& key : keys) {
    const ClientOutcome put = client.put(key, size, ++seed);
    check.expect(put.may_be_stored(), "a put of " + key, put.described());
    const auto puts = daemon.requests(JournalOperation::put);
    check.expect(!puts.empty() && puts.back().key == key, "the key " + key + " at the daemon",
                 puts.empty() ? "no PUT" : puts.back().key);
    check.expect_hit(client.get(key, size), seed, size, "the key " + key);
  }
}

void targets_are_encoded_as_lmcache_does(Check& check) {
  TestDaemon& daemon = check.daemon();
  RecordingProxy recorder(daemon.emulator().port());
  ClientProcess client = check.client_at(recorder.url(), daemon.shm_name(), Json::object());
  (void)client.put("a/b%c+d e\xC3\xA9", size, 1);
  const auto puts = recorder.puts();
  check.expect(puts.size() == 1, "a PUT", std::to_string(puts.size()));
  const std::string expected = "/v1/kv/conformance/a%2Fb%25c%2Bd%20e%C3%A9";
  check.expect(puts[0].head.target == expected, expected, puts[0].head.target);
}

void leases_are_asked_for_properly(Check& check) {
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 1, size);
  RecordingProxy recorder(daemon.emulator().port());
  ClientProcess client = check.client_at(recorder.url(), daemon.shm_name(), Json::object());
  check.expect_hit(client.get(keys[0], size), 0, size, "a get");
  const auto leases = recorder.acquires();
  check.expect(leases.size() == 1, "a lease request", std::to_string(leases.size()));
  const RequestHead& head = leases[0].head;
  check.expect(std::regex_search(head.parameter("timeout_ms").value_or(""), std::regex("^[0-9]+$")),
               "timeout_ms with a whole number", head.target);
  check.expect(
      std::regex_search(head.parameter("ttl_s").value_or(""), std::regex(R"(^[0-9]+\.[0-9]+$)")),
      "ttl_s with a decimal number, as 30.0", head.target);
  check.expect(head.header("Content-Length") == "0", "Content-Length: 0",
               head.header("Content-Length").value_or("none"));
}

void puts_are_plain(Check& check) {
  TestDaemon& daemon = check.daemon();
  RecordingProxy recorder(daemon.emulator().port());
  ClientProcess client = check.client_at(recorder.url(), daemon.shm_name(), Json::object());
  (void)client.put(check.fresh_key(), 300'000, 1);
  const auto puts = recorder.puts();
  check.expect(puts.size() == 1, "a PUT", std::to_string(puts.size()));
  const RequestHead& head = puts[0].head;
  const std::size_t bytes = check.object(std::string(300'000, 'x')).size();
  check.expect(head.header("Content-Length") == std::to_string(bytes),
               "Content-Length: " + std::to_string(bytes),
               head.header("Content-Length").value_or("none"));
  check.expect(head.header("Content-Type") == "application/octet-stream",
               "Content-Type: application/octet-stream",
               head.header("Content-Type").value_or("none"));
  for (const char* unwanted : {"Transfer-Encoding", "Expect"})
    check.expect(!head.header(unwanted), std::string("no ") + unwanted, head.text());
}

void user_agent_is_lmcaches(Check& check) {
  TestDaemon& daemon = check.daemon();
  RecordingProxy recorder(daemon.emulator().port());
  ClientProcess client = check.client_at(recorder.url(), daemon.shm_name(),
                                         {{"timeout_ms", 200}, {"lease_wait_timeout_ms", 100}});
  (void)client.put(check.fresh_key(), size, 1);
  (void)client.get(check.fresh_key(), size);
  for (const auto& request : recorder.requests()) {
    const auto agent = request.head.header("User-Agent");
    check.expect(agent == "LMCache-SageMaker-HyperPod/1.0",
                 "User-Agent: LMCache-SageMaker-HyperPod/1.0", agent.value_or("none"));
  }
}

/// What is sent for a payload, and that it is read back, with this value of save_chunk_meta.
void expect_object(Check& check, bool save_chunk_meta, const std::string& header) {
  TestDaemon& daemon = check.daemon();
  RecordingProxy recorder(daemon.emulator().port());
  ClientProcess client =
      check.client_at(recorder.url(), daemon.shm_name(), {{"save_chunk_meta", save_chunk_meta}});
  const std::string key = check.fresh_key();
  (void)client.put(key, size, 5);
  const auto puts = recorder.puts();
  check.expect(puts.size() == 1, "a PUT", std::to_string(puts.size()));
  const std::string expected = header + payload(5, size);
  check.expect(puts[0].body.size() == expected.size(),
               "an object of " + std::to_string(expected.size()) + " bytes",
               std::to_string(puts[0].body.size()));
  check.expect(
      puts[0].body == expected, "the header and the payload that docs/drivers.md gives",
      "other bytes, from byte " +
          std::to_string(std::ranges::mismatch(puts[0].body, expected).in1 - puts[0].body.begin()) +
          " on");
  check.expect_hit(client.get(key, size), 5, size, "the chunk read back");
}

void chunks_have_their_header(Check& check) {
  if (check.target().facts.header == DriverFacts::Header::never)
    check.skip("the client writes no headers");
  expect_object(check, true, chunk_header(size));
}

void chunks_without_meta_have_none(Check& check) {
  if (check.target().facts.header == DriverFacts::Header::always)
    check.skip("the client always writes headers");
  expect_object(check, false, "");
}

void pieces_are_small_enough(Check& check) {
  check.needs_parameter("put_stream_chunk_bytes");
  constexpr std::uint64_t piece = 4096;
  // Less than what socket buffers hold, so that no piece waits for room and is sent with the next.
  constexpr std::uint64_t body = 96 * 1024;
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, {{"put_stream_chunk_bytes", piece}});
  (void)client.put(check.fresh_key(), 64, 1);  // the connection is there
  SendTrace trace(client.process().pid());
  if (!trace.begun())
    check.skip("system calls of the client cannot be watched here: " + trace.obstacle());
  client.send(put_command(check.fresh_key(), body, 2));
  const auto sends = trace.run(body, check.span(10s));
  const ClientOutcome outcome = client.receive_outcome();
  check.expect(outcome.may_be_stored(), "the put to succeed", outcome.described());
  std::uint64_t largest = 0;
  std::uint64_t total = 0;
  for (const std::uint64_t sent : sends) {
    largest = std::max(largest, sent);
    total += sent;
  }
  if (total < body) check.skip("the client sends by other system calls than those watched");
  check.figure("largest of " + std::to_string(sends.size()) + " sends",
               std::to_string(largest) + " bytes");
  // A head or a chunk header may go out with the first piece.
  check.expect(largest <= piece + 1024, "pieces of at most 4096 bytes",
               "one of " + std::to_string(largest));
}

void bucket_is_the_configured_one(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess named = check.client(daemon, Json::object(), "a bucket/of its own");
  ClientProcess unnamed = check.client(daemon, {{"bucket", nullptr}});
  daemon.begin();
  (void)named.put(check.fresh_key(), size, 1);
  (void)unnamed.put(check.fresh_key(), size, 1);
  const auto puts = daemon.requests(JournalOperation::put);
  check.expect(puts.size() == 2, "two puts", std::to_string(puts.size()));
  check.expect(puts[0].bucket == "a bucket/of its own", "the bucket a bucket/of its own",
               puts[0].bucket);
  check.expect(puts[1].bucket == "lmcache", "the bucket lmcache by default", puts[1].bucket);
}

void short_timeouts_are_raised(Check& check) {
  check.needs_parameter("timeout_ms");
  TestDaemon& daemon = check.daemon();
  RecordingProxy recorder(daemon.emulator().port());
  ClientProcess client = check.client_at(recorder.url(), daemon.shm_name(), {{"timeout_ms", 10}});
  (void)client.get(check.fresh_key(), size);
  const auto leases = recorder.acquires();
  check.expect(!leases.empty(), "a lease request", "none");
  const std::string asked = leases[0].head.parameter("timeout_ms").value_or("");
  // A client whose wait is a parameter of its own may ask for longer.
  check.expect(std::strtol(asked.c_str(), nullptr, 10) >= 100,
               "timeout_ms=100 or more for a value of 10", "timeout_ms=" + asked);
}

}  // namespace wire
}  // namespace

std::span<const CheckEntry> wire_checks() {
  using namespace wire;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-WIRE-01", core, parallel, keys_arrive_as_they_are},
      {"C-WIRE-02", core, parallel, targets_are_encoded_as_lmcache_does},
      {"C-WIRE-03", core, parallel, leases_are_asked_for_properly},
      {"C-WIRE-04", core, parallel, puts_are_plain},
      {"C-WIRE-05", core, parallel, user_agent_is_lmcaches},
      {"C-WIRE-06", core, parallel, chunks_have_their_header},
      {"C-WIRE-07", core, parallel, chunks_without_meta_have_none},
      {"C-WIRE-08", core, parallel, pieces_are_small_enough},
      {"C-WIRE-09", core, parallel, bucket_is_the_configured_one},
      {"C-WIRE-10", core, parallel, short_timeouts_are_raised},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
