// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/emulator/journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace hyperpod::emulator::journal {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

JournalEntry lease(std::string key, int status = 200) {
  JournalEntry entry;
  entry.connection = 1;
  entry.peer = "127.0.0.1:43210";
  entry.operation = JournalOperation::lease;
  entry.bucket = std::string("b");  // g++ 12 warns of the plain literal
  entry.key = std::move(key);
  entry.status = status;
  return entry;
}

JournalEntry of_connection(std::uint64_t connection) {
  JournalEntry entry = lease("k");
  entry.connection = connection;
  return entry;
}

JournalEntry of_bucket(std::string bucket) {
  JournalEntry entry = lease("k");
  entry.bucket = std::move(bucket);
  return entry;
}

std::vector<std::string> keys_of(const std::vector<JournalEntry>& entries) {
  std::vector<std::string> keys;
  keys.reserve(entries.size());
  for (const JournalEntry& entry : entries) keys.push_back(entry.key);
  return keys;
}

// About what a production key looks like.
std::string long_key(std::size_t number) {
  return "vllm@meta-llama/Llama-3.1-70B-Instruct@8@3@" + std::to_string(number) + "@bfloat16";
}

TEST(Journal, KeepsAllThatAnEntrySays) {
  Journal journal(8);
  JournalEntry entry;
  entry.at = TimePoint{} + 90s;
  entry.connection = 7;
  entry.peer = "[::1]:9";
  entry.operation = JournalOperation::put;
  entry.bucket = "bucket";
  entry.key = std::string("k\0\xff", 3);
  entry.lease_id = "id";
  entry.status = 201;
  entry.bytes_in = 1;
  entry.bytes_out = 2;
  entry.held = 3us;
  entry.served = 4us;
  entry.in_flight = 5;
  entry.fault = "slow";
  entry.end = ConnectionEnd::reset_by_fault;
  journal.record(entry);

  const auto kept = journal.entries();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].sequence, 1u);
  EXPECT_EQ(kept[0].at, entry.at);
  EXPECT_EQ(kept[0].connection, 7u);
  EXPECT_EQ(kept[0].peer, entry.peer);
  EXPECT_EQ(kept[0].operation, JournalOperation::put);
  EXPECT_EQ(kept[0].bucket, entry.bucket);
  EXPECT_EQ(kept[0].key, entry.key);
  EXPECT_EQ(kept[0].lease_id, entry.lease_id);
  EXPECT_EQ(kept[0].status, 201);
  EXPECT_EQ(kept[0].bytes_in, 1u);
  EXPECT_EQ(kept[0].bytes_out, 2u);
  EXPECT_EQ(kept[0].held, 3us);
  EXPECT_EQ(kept[0].served, 4us);
  EXPECT_EQ(kept[0].in_flight, 5u);
  EXPECT_EQ(kept[0].fault, "slow");
  EXPECT_EQ(kept[0].end, ConnectionEnd::reset_by_fault);
}

TEST(Journal, DropsTheOldestEntriesAndCountsThem) {
  Journal journal(3);
  for (const char* key : {"a", "b", "c", "d", "e"}) journal.record(lease(key));
  EXPECT_THAT(keys_of(journal.entries()), ElementsAre("c", "d", "e"));
  EXPECT_EQ(journal.entries().front().sequence, 3u);
  EXPECT_EQ(journal.last_sequence(), 5u);
  EXPECT_EQ(journal.recorded(), 5u);
  EXPECT_EQ(journal.dropped(), 2u);
  EXPECT_EQ(journal.totals().requests, 5u);
}

TEST(Journal, WithoutCapacityKeepsTotalsOnly) {
  Journal journal(0);
  journal.record(lease("a"));
  EXPECT_TRUE(journal.entries().empty());
  EXPECT_EQ(journal.recorded(), 1u);
  EXPECT_EQ(journal.dropped(), 1u);
  EXPECT_EQ(journal.totals().leases, 1u);
}

TEST(Journal, LongNamesPushOutMoreEntriesAndStayWhole) {
  Journal journal(1000);
  for (std::size_t i = 0; i < 3000; ++i) {
    // Sizes that do not divide anything, so that texts meet the end of a chunk in every way.
    journal.record(lease(std::to_string(i) + std::string(i * 37 % 5000, 'x')));
  }
  const auto kept = journal.entries();
  ASSERT_FALSE(kept.empty());
  EXPECT_LT(kept.size(), 1000u);
  EXPECT_EQ(journal.dropped() + kept.size(), 3000u);
  for (const JournalEntry& entry : kept) {
    const std::size_t i = entry.sequence - 1;
    EXPECT_EQ(entry.key, std::to_string(i) + std::string(i * 37 % 5000, 'x'));
    EXPECT_EQ(entry.peer, "127.0.0.1:43210");
  }
}

TEST(Journal, KeepsTheHeadsOfRequestsAndResponses) {
  Journal journal(4);
  journal.record(lease("a"), "POST /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
  journal.record(lease("b", 0), "POST /b HTTP/1.1\r\n\r\n");
  journal.record(lease("c"));
  const auto first = journal.heads(1);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->request, "POST /a HTTP/1.1\r\n\r\n");
  EXPECT_EQ(first->response, "HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(journal.heads(2));
  EXPECT_EQ(journal.heads(2)->response, "");
  EXPECT_FALSE(journal.heads(3));
  EXPECT_FALSE(journal.heads(0));
  EXPECT_FALSE(journal.heads(4));
  journal.clear();
  EXPECT_FALSE(journal.heads(1));
  Journal totals_only(0);
  totals_only.record(lease("a"), "POST /a HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(totals_only.heads(1));
}

TEST(Journal, CutsLongHeadsAndSaysSo) {
  Journal journal(4);
  const std::string most = "GET /" + std::string(Journal::longest_head - 5, 'x');
  journal.record(lease("a"), most, most + "y");
  EXPECT_EQ(journal.heads(1)->request, most);
  EXPECT_EQ(journal.heads(1)->response, most + "\r\n[cut]");
}

TEST(Journal, LongHeadsPushOutOlderHeadsAndNoEntry) {
  Journal journal(100);
  for (int i = 1; i <= 1000; ++i) {
    journal.record(lease(std::to_string(i)), std::to_string(i) + " " + std::string(1000, 'q'),
                   std::to_string(i) + std::string(i * 37 % 1000, 'r'));
  }
  EXPECT_EQ(journal.entries().size(), 100u);
  std::uint64_t kept = 0;
  for (std::uint64_t sequence = 901; sequence <= 1000; ++sequence) {
    const auto heads = journal.heads(sequence);
    EXPECT_TRUE(heads || kept == 0) << sequence << ": the newest have theirs";
    if (!heads) continue;
    ++kept;
    EXPECT_TRUE(heads->request.starts_with(std::to_string(sequence) + " q"));
    EXPECT_EQ(heads->response, std::to_string(sequence) + std::string(sequence * 37 % 1000, 'r'));
  }
  EXPECT_GE(kept, 25u);
  EXPECT_LT(kept, 100u);
}

// What the journal makes of a head.
std::string shown(std::string_view head) {
  Journal journal(1);
  journal.record(lease("k"), head);
  return journal.heads(1)->request;
}

TEST(Journal, ShowsNoCredentials) {
  EXPECT_EQ(
      shown("PUT /v1/kv/tokens/key:1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3\r\n\r\n"),
      "PUT /v1/kv/tokens/key:1 HTTP/1.1\r\nHost: a\r\nAuthorization: [redacted]\r\n\r\n");
  for (const char* name :
       {"PROXY-AUTHORIZATION", "cookie", "Set-Cookie", "X-Amz-Security-Token", "x-api-key",
        "X-Vault-Token", "X-Client-Secret", "X-Password", "Authorization ", "X-Auth-User"}) {
    const std::string out = shown("GET / HTTP/1.1\r\n" + std::string(name) + ":s3\r\nA: b\r\n\r\n");
    EXPECT_EQ(out.find("s3"), out.npos) << out;
    EXPECT_TRUE(out.ends_with("\r\nA: b\r\n\r\n")) << out;
  }
  // What is not a request, or not a whole one.
  for (const char* head :
       {"GET / HTTP/1.1\nAuthorization: s3\n", "GET / HTTP/1.1\r\nAuthorization: s3",
        "GET / HTTP/1.1\r\nAuthorization:\r\n s3\r\n\ts3\r\n\r\n", "Authorization: Bearer s3\r\n",
        "GET / HTTP/1.1\r\nauthorization s3\r\n", "GET / HTTP/1.1\r\nAuthorization: a\rs3\r\n"}) {
    EXPECT_EQ(shown(head).find("s3"), std::string::npos) << shown(head);
  }
  EXPECT_EQ(shown("GET /a?b=c&X-Amz-Signature=s3&t%6fken=s3&d HTTP/1.1\r\n\r\n"),
            "GET /a?b=c&X-Amz-Signature=[redacted]&t%6fken=[redacted]&d HTTP/1.1\r\n\r\n");
  EXPECT_EQ(shown("GET http://me:s3@host/a@b HTTP/1.1\r\n\r\n"),
            "GET http://[redacted]@host/a@b HTTP/1.1\r\n\r\n");
  EXPECT_EQ(shown("GET /a://b@c HTTP/1.1\r\n\r\n"), "GET /a://b@c HTTP/1.1\r\n\r\n");
  EXPECT_EQ(shown("POST /x/leases?timeout_ms=5&ttl_s=1 HTTP/1.1\r\nUser-Agent: a\r\n\r\n"),
            "POST /x/leases?timeout_ms=5&ttl_s=1 HTTP/1.1\r\nUser-Agent: a\r\n\r\n");
}

TEST(Journal, ShowsNoCredentialsInHeadsThatAreMalformed) {
  for (const char* head :
       {"GET / HTTP/1.1\rAuthorization: Bearer s3\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: a\rAuthorization: Bearer s3\r\n\r\n",
        "GET / HTTP/1.1\r\nAuthorization: a\r\rs3\r\n", " Authorization: Bearer s3\r\n\r\n",
        "\r\n\tAuthorization: Bearer s3\r\n\r\n", "\n\nAuthorization: Bearer s3\r\n\r\n",
        "GET / HTTP/1.1\r\n Authorization: Bearer s3\r\n\r\n", "Authorization Bearer s3\r\n\r\n",
        "authorization s3\r\n", "GET /\ttoken=s3 HTTP/1.1\r\nAuthorization : s3\r\n\r\n",
        "GET /a b?tok%65n=s3 HTTP/1.1\r\n\r\n", "GET /?a=1  HTTP/1.1 T%6FKEN s3\r\n\r\n",
        "GET http://me:s3@h/ x HTTP/1.1\r\n\r\n", "GET /?token=a\rs3 HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 Authorization: s3\r\n"}) {
    EXPECT_EQ(shown(head).find("s3"), std::string::npos) << shown(head);
  }
  EXPECT_EQ(shown("GET /v1 HTTP/1.1 and token=s3\r\nA: b\r\n"),
            "GET /v1 HTTP/1.1 and [redacted]\r\nA: b\r\n");
  EXPECT_EQ(shown("HTTP/1.1 511 Network Authentication Required\r\nA: b\r\n\r\n"),
            "HTTP/1.1 511 Network Authentication Required\r\nA: b\r\n\r\n");
  const std::string long_path = "PUT /v1/kv/tokens/" + std::string(2000, 'k');
  EXPECT_EQ(shown(long_path), long_path.substr(0, Journal::longest_head) + "\r\n[cut]");
}

TEST(Journal, ShowsNoCredentialsInParametersOfAnyUrl) {
  const auto line_of = [](const std::string& target) {
    const std::string out = shown("GET " + target + " HTTP/1.1\r\n\r\n");
    return out.substr(4, out.size() - 4 - std::strlen(" HTTP/1.1\r\n\r\n"));
  };
  EXPECT_EQ(line_of("/?a=1;token=s3"), "/?a=1;token=[redacted]");
  EXPECT_EQ(line_of("/?token=s3;s3&b=2"), "/?token=[redacted]&b=2");
  EXPECT_EQ(line_of("/token=1?a=b=c&d"), "/token=1?a=b=c&d");
  EXPECT_EQ(line_of("/#token=s3"), "/#token=[redacted]");
  EXPECT_EQ(line_of("/?u=http://me:s3@h/?token=s3"), "/?u=http://[redacted]@h/?token=[redacted]");
  EXPECT_EQ(line_of("/?t%6fken%zz=s3"), "/?t%6fken%zz=[redacted]");
  EXPECT_EQ(shown("GET / HTTP/1.1\r\nReferer: https://me:s3@h/a?b=c&token=s3#d\r\n e?\r\nA: b\r\n"),
            "GET / HTTP/1.1\r\nReferer: https://[redacted]@h/a?b=c&token=[redacted]\r\n"
            "[redacted]\r\nA: b\r\n");
  EXPECT_EQ(shown("GET / HTTP/1.1\r\nReferer: http://h/a?b=c;d=e\r\nAccept: */*;q=0.8\r\n"),
            "GET / HTTP/1.1\r\nReferer: http://h/a?b=c;d=e\r\nAccept: */*;q=0.8\r\n");
}

TEST(Journal, CutsATextThatIsLongerThanItKeeps) {
  Journal journal(1);
  JournalEntry entry = lease(std::string(1 << 20, 'k'));
  entry.peer = entry.bucket = entry.lease_id = entry.fault = entry.key;
  journal.record(entry);
  const auto kept = journal.entries();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].key, std::string(Journal::longest_text, 'k'));
  EXPECT_EQ(kept[0].fault.size(), Journal::longest_text);
}

TEST(Journal, HundredThousandEntriesTakeBoundedMemory) {
  constexpr std::size_t capacity = 100'000;
  const auto bytes_in_use = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const std::size_t before = bytes_in_use();
  Journal journal(capacity);
  const auto record_all = [&] {
    for (std::size_t i = 0; i < capacity; ++i) journal.record(lease(long_key(i)));
  };
  record_all();
  EXPECT_EQ(journal.entries({}, 1).front().sequence, 1u);
  const std::size_t in_use = bytes_in_use();
  EXPECT_LT(in_use, before + 400 * capacity + (1 << 20));  // and the heads
  record_all();
  record_all();
  // A thousandth of what the entries take.
  EXPECT_LT(bytes_in_use(), in_use + capacity / 2);
  EXPECT_EQ(journal.recorded(), 3 * capacity);
  EXPECT_EQ(journal.dropped(), 2 * capacity);
  EXPECT_EQ(journal.totals().requests, 3 * capacity);
  const auto last = journal.entries({.after_sequence = 3 * capacity - 1});
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].key, long_key(capacity - 1));
}

TEST(Journal, FiltersByEachMember) {
  Journal journal(16);
  journal.record(lease("plain"));
  JournalEntry other = lease("other");
  other.operation = JournalOperation::put;
  other.bucket = std::string("c");
  other.connection = 2;
  other.status = 201;
  other.fault = "slow";
  journal.record(other);

  EXPECT_THAT(keys_of(journal.entries({.operation = JournalOperation::put})), ElementsAre("other"));
  EXPECT_THAT(keys_of(journal.entries({.bucket = "c"})), ElementsAre("other"));
  EXPECT_THAT(keys_of(journal.entries({.key = "other"})), ElementsAre("other"));
  EXPECT_THAT(keys_of(journal.entries({.connection = 2})), ElementsAre("other"));
  EXPECT_THAT(keys_of(journal.entries({.status = 201})), ElementsAre("other"));
  EXPECT_THAT(keys_of(journal.entries({.fault = "slow"})), ElementsAre("other"));
  EXPECT_THAT(keys_of(journal.entries({.fault = ""})), ElementsAre("plain"));
  EXPECT_THAT(keys_of(journal.entries({.after_sequence = 1})), ElementsAre("other"));
  EXPECT_THAT(keys_of(journal.entries({.bucket = "c", .status = 200})), ElementsAre());
}

TEST(Journal, GivesTheFirstEntriesThatItIsAskedFor) {
  Journal journal(2000);
  for (std::size_t i = 0; i < 1500; ++i) journal.record(lease(std::to_string(i % 500)));
  EXPECT_THAT(keys_of(journal.entries({}, 2)), ElementsAre("0", "1"));
  EXPECT_TRUE(journal.entries({}, 0).empty());
  // Beyond what one look covers.
  const auto found = journal.entries({.key = "499", .after_sequence = 600}, 2);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].sequence, 1500u);
  EXPECT_EQ(journal.entries().size(), 1500u);
}

TEST(Journal, CountsWhatKindOfRequestsThereWere) {
  Journal journal(1);
  JournalEntry put = lease("p", 201);
  put.operation = JournalOperation::put;
  put.bytes_in = 100;
  put.bytes_out = 10;
  put.in_flight = 9;
  journal.record(put);
  journal.record(lease("granted"));
  journal.record(lease("miss", 504));
  journal.record(lease("missing", 404));
  journal.record(lease("failed", 503));
  JournalEntry silent = lease("silent", 0);
  silent.operation = JournalOperation::release;
  silent.fault = "never";
  silent.in_flight = 3;
  journal.record(silent);

  const JournalTotals totals = journal.totals();
  EXPECT_EQ(totals.requests, 6u);
  EXPECT_EQ(totals.puts, 1u);
  EXPECT_EQ(totals.leases, 4u);
  EXPECT_EQ(totals.releases, 1u);
  EXPECT_EQ(totals.errors, 2u);
  EXPECT_EQ(totals.faults, 1u);
  EXPECT_EQ(totals.bytes_in, 100u);
  EXPECT_EQ(totals.bytes_out, 10u);
  EXPECT_EQ(totals.peak_in_flight, 9u);
}

using What = LeaseChange::What;

std::string leases_in(const JournalTotals& totals) {
  return fmt::format("granted {} released {} expired {} dropped {} live {} abandoned {}",
                     totals.leases_granted, totals.leases_released, totals.leases_expired,
                     totals.leases_dropped, totals.leases_live, totals.leases_abandoned);
}

TEST(Journal, CountsWhatBecameOfLeasesWhereTheyWereAskedFor) {
  Journal journal(1);
  for (const What what : {What::granted, What::granted, What::granted, What::granted,
                          What::released, What::expired, What::dropped, What::abandoned}) {
    journal.count({what, 7, "b"});
  }
  journal.count({What::granted, 8, "c"});
  EXPECT_EQ(leases_in(journal.totals()),
            "granted 5 released 1 expired 1 dropped 1 live 2 abandoned 1");
  EXPECT_EQ(leases_in(journal.totals_by_connection().at(7)),
            "granted 4 released 1 expired 1 dropped 1 live 1 abandoned 1");
  EXPECT_EQ(leases_in(journal.totals_by_bucket().at("c")),
            "granted 1 released 0 expired 0 dropped 0 live 1 abandoned 0");
  EXPECT_EQ(journal.totals().requests, 0u);
}

TEST(Journal, ClearForgetsNoLeaseThatLives) {
  constexpr std::uint64_t kept = Journal::connections_kept;
  Journal journal(1);
  journal.count({What::granted, 1, "first"});
  journal.count({What::granted, 1, "first"});
  journal.count({What::released, 1, "first"});
  journal.count({What::granted, kept + 1, "second"});  // 1 is old now
  for (std::size_t i = 0; i < Journal::buckets_kept; ++i) {
    journal.record(of_bucket(std::to_string(i)));
  }
  journal.count({What::granted, 2, "late"});  // counted among the others
  journal.clear();
  EXPECT_EQ(leases_in(journal.totals()),
            "granted 0 released 0 expired 0 dropped 0 live 3 abandoned 0");
  for (const auto& [connection, bucket] : {std::pair(1, "first"), std::pair(2, "late"),
                                           std::pair(static_cast<int>(kept) + 1, "second")}) {
    journal.count({What::expired, static_cast<std::uint64_t>(connection), bucket});
  }
  for (const auto& [connection, totals] : journal.totals_by_connection()) {
    EXPECT_EQ(totals.leases_live, 0u) << connection;
  }
  for (const auto& [bucket, totals] : journal.totals_by_bucket()) {
    EXPECT_EQ(totals.leases_live, 0u) << bucket;
  }
  journal.clear();
  EXPECT_TRUE(journal.totals_by_connection().empty());
  EXPECT_TRUE(journal.totals_by_bucket().empty());
}

TEST(Journal, FoldsOldConnectionsTogether) {
  constexpr std::uint64_t kept = Journal::connections_kept;
  Journal journal(1);
  for (std::uint64_t c = 1; c <= kept; ++c) journal.record(of_connection(c));
  EXPECT_EQ(journal.totals_by_connection().size(), kept);
  EXPECT_FALSE(journal.totals_by_connection().contains(0));

  journal.record(of_connection(kept + 1));  // takes the place of 1
  journal.record(of_connection(1));         // an old one that is still there
  journal.record(of_connection(kept + 1));
  const auto totals = journal.totals_by_connection();
  EXPECT_EQ(totals.size(), kept + 1);
  EXPECT_FALSE(totals.contains(1));
  EXPECT_EQ(totals.at(0).requests, 2u);
  EXPECT_EQ(totals.at(2).requests, 1u);
  EXPECT_EQ(totals.at(kept + 1).requests, 2u);
}

TEST(Journal, TellsWhenConnectionsBeganAndEnded) {
  const auto at = [](int seconds) { return TimePoint{} + std::chrono::seconds{seconds}; };
  constexpr std::uint64_t kept = Journal::connections_kept;
  Journal journal(0);
  journal.connection_opened(1, "127.0.0.1:1001", at(1));
  journal.connection_opened(2, "127.0.0.1:1002", at(2));
  journal.connection_closed(1, at(3));
  auto lives = journal.connections();
  ASSERT_EQ(lives.size(), 2u);
  EXPECT_EQ(lives[0].peer, "127.0.0.1:1001");
  EXPECT_EQ(lives[0].opened, at(1));
  EXPECT_EQ(lives[0].closed, at(3));
  EXPECT_EQ(lives[1].closed, std::nullopt);

  journal.clear();
  EXPECT_EQ(journal.connections().size(), 1u) << "the open one stays";

  journal.connection_opened(kept + 2, "127.0.0.1:1003", at(4));  // takes the place of 2
  journal.connection_closed(2, at(5));
  lives = journal.connections();
  ASSERT_EQ(lives.size(), 1u);
  EXPECT_EQ(lives[0].connection, kept + 2);
  EXPECT_EQ(lives[0].closed, std::nullopt);
}

TEST(Journal, FoldsTheSurplusOfBucketsTogether) {
  Journal journal(1);
  for (std::size_t i = 0; i < Journal::buckets_kept; ++i) {
    journal.record(of_bucket(std::to_string(i)));
  }
  EXPECT_FALSE(journal.totals_by_bucket().contains(""));
  journal.record(of_bucket("late"));
  journal.record(of_bucket("0"));
  journal.record(of_bucket(""));
  const auto totals = journal.totals_by_bucket();
  EXPECT_EQ(totals.size(), Journal::buckets_kept + 1);
  EXPECT_EQ(totals.at("").requests, 2u);
  EXPECT_EQ(totals.at("0").requests, 2u);

  Journal another(1);
  another.record(of_bucket(std::string(Journal::longest_bucket_kept + 1, 'b')));
  EXPECT_EQ(another.totals_by_bucket().at("").requests, 1u);
}

TEST(Journal, CountsStatusesAndTimesByOperation) {
  Journal journal(1);
  JournalEntry entry = lease("k");
  entry.served = 50us;  // a bound belongs to its own range
  journal.record(entry);
  entry.served = 50us + 1ns;
  journal.record(entry);
  entry.status = 504;
  entry.served = entry.held = 31s;
  journal.record(entry);

  const auto totals = journal.totals_by_operation();
  ASSERT_EQ(totals.size(), 1u);
  const OperationTotals& leases = totals.at(JournalOperation::lease);
  EXPECT_THAT(leases.by_status, ElementsAre(Pair(200, 2u), Pair(504, 1u)));
  EXPECT_EQ(leases.served.count, 3u);
  EXPECT_EQ(leases.served.sum, 31s + 100us + 1ns);
  EXPECT_EQ(leases.served.counts[0], 1u);
  EXPECT_EQ(leases.served.counts[1], 1u);
  EXPECT_EQ(leases.served.counts.back(), 1u);
  EXPECT_EQ(leases.held.count, 1u);
  EXPECT_EQ(leases.held.sum, 31s);
  EXPECT_TRUE(std::ranges::is_sorted(Histogram::bounds));
}

TEST(Journal, ClearForgetsEverythingButTheSequence) {
  Journal journal(3);
  for (int i = 0; i < 5; ++i) journal.record(lease("k"));
  journal.clear();
  EXPECT_TRUE(journal.entries().empty());
  EXPECT_EQ(journal.recorded(), 0u);
  EXPECT_EQ(journal.dropped(), 0u);
  EXPECT_EQ(journal.totals().requests, 0u);
  EXPECT_TRUE(journal.totals_by_connection().empty());
  EXPECT_TRUE(journal.totals_by_bucket().empty());
  EXPECT_TRUE(journal.totals_by_operation().empty());

  for (const char* key : {"a", "b"}) journal.record(lease(key));
  EXPECT_THAT(keys_of(journal.entries()), ElementsAre("a", "b"));
  EXPECT_EQ(journal.entries().front().sequence, 6u);
  for (const char* key : {"c", "d"}) journal.record(lease(key));
  EXPECT_THAT(keys_of(journal.entries()), ElementsAre("b", "c", "d"));
  EXPECT_EQ(journal.dropped(), 1u);
}

TEST(Journal, WaitsUntilAConditionHolds) {
  Journal journal(8);
  std::jthread peer([&] {
    for (int i = 0; i < 3; ++i) journal.record(lease("k"));
  });
  EXPECT_TRUE(journal.wait_until([](const Journal& now) { return now.recorded() == 3; },
                                 std::chrono::steady_clock::now() + 30s));
}

TEST(Journal, AClearedJournalWakesWhoWaits) {
  Journal journal(8);
  journal.record(lease("k"));
  std::jthread peer([&] { journal.clear(); });
  EXPECT_TRUE(journal.wait_until([](const Journal& now) { return now.recorded() == 0; },
                                 std::chrono::steady_clock::now() + 30s));
}

TEST(Journal, AWaitEndsAtItsDeadline) {
  const Journal journal(8);
  EXPECT_FALSE(journal.wait_until([](const Journal&) { return false; },
                                  std::chrono::steady_clock::now() + 1ms));
}

TEST(Journal, AConditionThatHoldsIsSeenAfterTheDeadlineToo) {
  const Journal journal(8);
  EXPECT_TRUE(journal.wait_until([](const Journal&) { return true; },
                                 std::chrono::steady_clock::now() - 1s));
}

TEST(Journal, KeepsTheOrderInWhichThreadsRecord) {
  constexpr std::size_t threads = 3;
  constexpr std::size_t entries = 900;  // each thread's chunk is full several times
  Journal journal(entries);
  std::atomic<std::size_t> turn{0};
  {
    std::vector<std::jthread> recorders;
    for (std::size_t me = 0; me < threads; ++me) {
      recorders.emplace_back([&, me] {
        for (std::size_t mine = me; mine < entries; mine += threads) {
          for (auto now = turn.load(); now != mine; now = turn.load()) turn.wait(now);
          journal.record(lease(long_key(mine)), std::string(600, 'h'));
          ++turn;
          turn.notify_all();
        }
      });
    }
  }
  std::vector<std::string> all;
  for (std::size_t i = 0; i < entries; ++i) all.push_back(long_key(i));
  EXPECT_EQ(keys_of(journal.entries()), all);
}

// Each thread has memory of its own in the journal, until there are more than sixteen.
void on_another_thread(const std::function<void()>& work) { std::jthread{work}; }

TEST(Journal, KeepsTheNewestOfAllThreads) {
  constexpr std::size_t capacity = 500;
  std::mt19937 random(7);
  Journal journal(capacity);
  std::vector<std::string> all;
  for (int round = 0; round < 400; ++round) {
    on_another_thread([&] {
      for (std::size_t count = random() % 150 + 1; count > 0; --count) {
        all.push_back(long_key(all.size()));
        journal.record(lease(all.back()));
      }
    });
    if (random() % 8 != 0) continue;
    const std::size_t kept = std::min(all.size(), capacity);
    const std::size_t dropped = all.size() - kept;
    const auto entries = journal.entries();
    ASSERT_EQ(keys_of(entries), std::vector(all.begin() + static_cast<long>(dropped), all.end()));
    EXPECT_EQ(entries.front().sequence, dropped + 1);
    EXPECT_EQ(journal.dropped(), dropped);
    EXPECT_EQ(journal.last_sequence(), all.size());
  }
}

TEST(Journal, KeepsTheOrderWhereLongNamesOfSeveralThreadsGiveWay) {
  Journal journal(100);
  std::size_t recorded = 0;
  for (int round = 0; round < 40; ++round) {
    on_another_thread([&] {
      for (int i = 0; i < 3; ++i) journal.record(lease(std::to_string(recorded++)));
      for (int i = 0; i < 3; ++i) {
        journal.record(lease(std::to_string(recorded++) + std::string(20'000, 'x')));
      }
    });
  }
  const auto kept = journal.entries();
  ASSERT_FALSE(kept.empty());
  EXPECT_EQ(journal.dropped() + kept.size(), recorded);
  EXPECT_EQ(kept.back().sequence, recorded);
  for (const JournalEntry& entry : kept) {
    EXPECT_EQ(entry.key.substr(0, entry.key.find('x')), std::to_string(entry.sequence - 1));
  }
}

TEST(Journal, KeepsAllThatItHasRoomForWhereMostThreadsAreSlow) {
  constexpr std::size_t capacity = 1000;
  Journal journal(capacity);
  const JournalEntry entry = lease(std::string(120, 'k'));
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 64; ++i) journal.record(entry);
    for (int i = 0; i < 15; ++i) on_another_thread([&] { journal.record(entry); });
  }
  EXPECT_EQ(journal.entries().size(), capacity);
}

TEST(Journal, GoesOnAfterAClearWithANameOfManyKiB) {
  Journal journal(100);
  journal.record(lease("forgotten"));
  journal.clear();
  journal.record(lease(std::string(20'000, 'k')));
  for (int i = 0; i < 1000; ++i) journal.record(lease("k"));
  EXPECT_EQ(journal.entries().size(), 100u);
  EXPECT_EQ(journal.recorded(), 1001u);
}

TEST(Journal, KeepsTheHeadsOfAllThreads) {
  Journal journal(100);
  for (int i = 1; i <= 40; ++i) {
    on_another_thread([&] { journal.record(lease("k"), "GET /" + std::to_string(i), "200"); });
  }
  for (int i = 1; i <= 40; ++i) {
    ASSERT_TRUE(journal.heads(i));
    EXPECT_EQ(journal.heads(i)->request, "GET /" + std::to_string(i));
  }
}

TEST(Journal, AddsUpWhatThreadsCount) {
  using enum LeaseChange::What;
  constexpr std::uint64_t kept = Journal::connections_kept;
  Journal journal(8);
  on_another_thread([&] {
    journal.record(of_connection(1), {}, {}, std::array{LeaseChange{granted, 1, "b"}});
  });
  on_another_thread([&] {
    journal.record(of_connection(2), {}, {}, std::array{LeaseChange{granted, 1, "b"}});
  });
  on_another_thread([&] { journal.count({released, 1, "b"}); });
  EXPECT_EQ(leases_in(journal.totals()),
            "granted 2 released 1 expired 0 dropped 0 live 1 abandoned 0");
  EXPECT_EQ(leases_in(journal.totals_by_connection().at(1)),
            "granted 2 released 1 expired 0 dropped 0 live 1 abandoned 0");
  EXPECT_EQ(leases_in(journal.totals_by_bucket().at("b")),
            "granted 2 released 1 expired 0 dropped 0 live 1 abandoned 0");
  EXPECT_EQ(journal.totals().requests, 2u);
  EXPECT_EQ(journal.totals_by_operation().at(JournalOperation::lease).by_status.at(200), 2u);
  EXPECT_EQ(journal.totals_by_operation().at(JournalOperation::lease).served.count, 2u);

  on_another_thread([&] { journal.record(of_connection(kept + 1)); });  // takes the place of 1
  EXPECT_FALSE(journal.totals_by_connection().contains(1));
  EXPECT_EQ(journal.totals_by_connection().at(0).leases_live, 1u);
  on_another_thread([&] { journal.clear(); });
  EXPECT_EQ(journal.totals().requests, 0u);
  on_another_thread([&] { journal.count({expired, 1, "b"}); });
  EXPECT_EQ(journal.totals().leases_live, 0u);
  EXPECT_EQ(journal.totals_by_bucket().at("b").leases_live, 0u);
}

TEST(Journal, FoldsTheSurplusOfAllThreadsBucketsTogether) {
  Journal journal(1);
  for (std::size_t i = 0; i < Journal::buckets_kept; ++i) {
    const auto record = [&] { journal.record(of_bucket(std::to_string(i))); };
    i % 256 == 0 ? on_another_thread(record) : record();
  }
  const auto late = [&] { journal.record(of_bucket("late")); };
  late();
  on_another_thread(late);
  on_another_thread([&] { journal.record(of_bucket("0")); });
  const auto totals = journal.totals_by_bucket();
  EXPECT_EQ(totals.size(), Journal::buckets_kept + 1);
  EXPECT_EQ(totals.at("").requests, 2u);
  EXPECT_EQ(totals.at("0").requests, 2u);
  journal.clear();
  on_another_thread(late);
  EXPECT_EQ(journal.totals_by_bucket().at("late").requests, 1u);
}

TEST(Journal, KeepsTheOrderWhereANameIsVeryLong) {
  Journal journal(8);
  const std::string longest(Journal::longest_text, 'k');
  for (const auto& key : {std::string("a"), longest, std::string("b")}) journal.record(lease(key));
  EXPECT_THAT(keys_of(journal.entries()), ElementsAre("a", longest, "b"));
}

TEST(Journal, CountsWhatARequestDidToLeases) {
  using enum LeaseChange::What;
  constexpr std::uint64_t requests = 500;
  Journal journal(8);
  const std::array changes{LeaseChange{granted, 2, "b"}, LeaseChange{released, 3, "other"}};
  for (std::uint64_t i = 0; i < requests; ++i) journal.record(of_connection(1), {}, {}, changes);

  EXPECT_EQ(journal.totals().leases_granted, requests);
  EXPECT_EQ(journal.totals().leases_released, requests);
  EXPECT_EQ(journal.totals_by_connection().at(2).leases_granted, requests);
  EXPECT_EQ(journal.totals_by_connection().at(3).leases_released, requests);
  EXPECT_EQ(journal.totals_by_bucket().at("b").leases_granted, requests);
  EXPECT_EQ(journal.totals_by_bucket().at("other").leases_released, requests);
}

TEST(Journal, TellsItsObserverOfEachRecord) {
  Journal journal(8);
  journal.record(lease("before"));
  std::vector<std::uint64_t> seen;
  journal.observe([&] { seen.push_back(journal.recorded()); });
  journal.record(lease("a"));
  journal.record(lease("b"));
  journal.observe(nullptr);
  journal.record(lease("after"));
  EXPECT_THAT(seen, ElementsAre(2u, 3u));
}

TEST(Journal, GivesAnEntryWithoutATimeThatOfItsRecording) {
  Journal journal(8);
  const auto before = std::chrono::system_clock::now();
  journal.record(lease("a"));
  const auto after = std::chrono::system_clock::now();
  const auto entries = journal.entries();
  ASSERT_EQ(entries.size(), 1u);
  // The two clocks of the machine are not read at one moment.
  EXPECT_GE(entries[0].time, before - 1s);
  EXPECT_LE(entries[0].time, after + 1s);
}

TEST(Journal, WritesOneJsonObjectALine) {
  Journal journal(8);
  JournalEntry entry = lease("line\nbreak \"quoted\"");
  entry.at = TimePoint{} + 1s;
  entry.time = std::chrono::system_clock::time_point{} + 1s;
  entry.lease_id = "id";
  entry.bytes_out = 12;
  entry.held = 1500us;
  entry.served = 1600us + 999ns;
  entry.in_flight = 1;
  journal.record(entry);
  journal.record(lease("\xff", 504));

  std::ostringstream out;
  journal.write_json_lines(out, {.status = 200});
  EXPECT_EQ(
      out.str(),
      R"({"sequence":1,"time":"1970-01-01T00:00:01.000000Z","at_us":1000000,"connection":1,"peer":"127.0.0.1:43210",)"
      R"("operation":"lease","bucket":"b","key":"line\nbreak \"quoted\"","lease_id":"id",)"
      R"("status":200,"bytes_in":0,"bytes_out":12,"held_us":1500,"served_us":1600,"in_flight":1,)"
      R"("fault":"","end":"kept"})"
      "\n");
  std::ostringstream all;
  journal.write_json_lines(all);
  EXPECT_THAT(all.str(), HasSubstr("\"key\":\"\xef\xbf\xbd\""));
}

// More threads than have memory of their own.
TEST(Journal, IsRightWhenManyThreadsUseItAtOnce) {
  constexpr std::uint64_t recorders = 20;
  constexpr std::uint64_t each = 1000;
  Journal journal(500);
  // Of each connection, in order; without a gap where nothing was dropped meanwhile.
  const auto expect_in_order = [](const std::vector<JournalEntry>& kept, bool without_gap) {
    std::map<std::uint64_t, std::uint64_t> last;
    for (const JournalEntry& entry : kept) {
      const std::uint64_t number = std::stoull(entry.key);
      const auto [before, is_first] = last.try_emplace(entry.connection, number);
      if (is_first) continue;
      EXPECT_GT(number, before->second) << "connection " << entry.connection;
      EXPECT_TRUE(!without_gap || number == before->second + 1) << entry.connection;
      before->second = number;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t connection = 1; connection <= recorders; ++connection) {
      threads.emplace_back([&journal, connection] {
        for (std::uint64_t i = 0; i < each; ++i) {
          JournalEntry entry = of_connection(connection);
          // Some are longer than a chunk.
          entry.key = std::to_string(i) + std::string(i % 250 == 0 ? 20'000 : 1, 'x');
          journal.record(entry);
        }
      });
    }
    threads.emplace_back([&] {
      journal.wait_until(
          [&](const Journal& now) {
            expect_in_order(now.entries(), false);
            return now.recorded() == recorders * each;
          },
          std::chrono::steady_clock::now() + 60s);
    });
  }
  const auto kept = journal.entries();
  expect_in_order(kept, true);
  EXPECT_EQ(kept.size() + journal.dropped(), recorders * each);
  EXPECT_EQ(kept.back().sequence, recorders * each);
  EXPECT_EQ(journal.totals().requests, recorders * each);
  EXPECT_EQ(journal.totals_by_connection().at(1).requests, each);
  EXPECT_EQ(journal.totals_by_connection().at(recorders).requests, each);
}

TEST(Journal, ALookIsOfOneMoment) {
  using enum LeaseChange::What;
  constexpr int most_rounds = 2000;
  Journal journal(8);
  journal.count({granted, 1, "b"});
  std::atomic<bool> done{false};
  // One thread grants what another releases: one or two leases live at any time.
  std::atomic<int> extra{0};
  std::jthread granting([&] {
    for (int i = 0; i < most_rounds; ++i) {
      for (auto now = extra.load(); now != 0; now = extra.load()) extra.wait(now);
      journal.count({granted, 1, "b"});
      extra = 1;
      extra.notify_all();
    }
  });
  std::jthread releasing([&] {
    for (int i = 0; i < most_rounds; ++i) {
      for (auto now = extra.load(); now != 1; now = extra.load()) extra.wait(now);
      journal.count({released, 1, "b"});
      extra = 0;
      extra.notify_all();
    }
    done = true;
  });
  while (!done) {
    const std::uint64_t live = journal.totals().leases_live;
    ASSERT_TRUE(live == 1 || live == 2) << live;
  }
}

TEST(Journal, AMissIsNotAnErrorWhateverStatusItHas) {
  Journal journal(4, 503);
  JournalEntry entry;
  entry.operation = JournalOperation::lease;
  entry.status = 503;
  journal.record(entry);
  EXPECT_EQ(journal.totals().errors, 0u);
  entry.operation = JournalOperation::put;
  journal.record(entry);
  EXPECT_EQ(journal.totals().errors, 1u);
}

TEST(Journal, AnEndThatIsToldBeforeItsGrantMakesNoNegativeNumber) {
  Journal journal(4);
  journal.count({LeaseChange::What::released, 1, "b"});
  EXPECT_EQ(journal.totals().leases_live, 0u);
  EXPECT_EQ(journal.totals_by_connection().at(1).leases_live, 0u);
  EXPECT_EQ(journal.totals_by_bucket().at("b").leases_live, 0u);
  journal.count({LeaseChange::What::granted, 1, "b"});
  journal.count({LeaseChange::What::granted, 1, "b"});
  EXPECT_EQ(journal.totals().leases_live, 1u);
}

}  // namespace
}  // namespace hyperpod::emulator::journal
