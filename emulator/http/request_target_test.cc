// SPDX-License-Identifier: Apache-2.0
#include "http/request_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <string>

namespace hyperpod::emulator::http {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::AllOf;
using testing::Field;

// --- Paths
// --------------------------------------------------------------------------------------

using Routed = tl::expected<Route, RouteRefusal>;

Routed routed_to(std::string_view method, std::string_view target,
                 const Behaviour& behaviour = {}) {
  Route result;
  const auto routed = route(method, target, behaviour, result);
  return routed ? Routed(std::move(result)) : tl::make_unexpected(routed.error());
}

Routed put(std::string_view target) { return routed_to("PUT", target); }

Routed post(std::string_view target, const Behaviour& behaviour = {}) {
  return routed_to("POST", target, behaviour);
}

void expect_key(std::string_view target, const std::string& bucket, const std::string& key) {
  const auto routed = put(target);
  ASSERT_TRUE(routed) << target;
  EXPECT_EQ(routed->operation, Operation::put) << target;
  EXPECT_EQ(routed->bucket, bucket) << target;
  EXPECT_EQ(routed->key, key) << target;
}

void expect_refused(std::string_view method, std::string_view target, RouteError why) {
  const auto routed = routed_to(method, target);
  ASSERT_FALSE(routed) << method << ' ' << target;
  EXPECT_EQ(routed.error().error, why) << method << ' ' << target;
  EXPECT_FALSE(routed.error().message.empty());
}

TEST(Route, ToAPutIsSplitBeforeItIsDecoded) {
  expect_key("/v1/kv/b/k", "b", "k");
  expect_key("/v1/kv/b/a%2Fb", "b", "a/b");
  expect_key("/v1/kv/b%2Fc/k", "b/c", "k");
  expect_key("/v1/kv/b/%2F", "b", "/");
  expect_key("/v1/kv/b/leases", "b", "leases");
  expect_key("/v1/kv/leases/x", "leases", "x");
  expect_key("/v1/kv/b/k%3Fx=y", "b", "k?x=y");
}

TEST(Route, HasNothingOfTheRequestBefore) {
  Route result;
  const auto next = [&result](std::string_view method, std::string_view target) {
    ASSERT_TRUE(route(method, target, Behaviour{}, result)) << target;
  };
  next("POST", "/v1/cp/namespaces/n?num_ranks=2&steps_retained=3");
  next("POST", "/v1/cp/checkpoints/n/4/5");
  next("GET", "/v1/cp/checkpoints/n/latest?limit=7");
  next("POST", "/v1/kv/bucket/a%2Dkey/leases?timeout_ms=1000&ttl_s=9");
  EXPECT_EQ(result.key, "a-key");
  EXPECT_EQ(result.created, checkpoint::NamespaceOptions{});
  EXPECT_THAT(result, AllOf(Field(&Route::rank, 0u), Field(&Route::step, 0u),
                            Field(&Route::limit, Route{}.limit)));
  next("POST", "/v1/leases/an-id/release");
  EXPECT_THAT(result, AllOf(Field(&Route::bucket, ""), Field(&Route::key, ""),
                            Field(&Route::hold, 0ms), Field(&Route::ttl, 0ns)));
  next("PUT", "/v1/kv/b/k");
  EXPECT_EQ(result.lease_id, "");
}

TEST(Route, ToAKeyIsDecodedOnce) {
  expect_key("/v1/kv/b/%2540", "b", "%40");
  expect_key("/v1/kv/b/%40", "b", "@");
  expect_key("/v1/kv/b/@", "b", "@");
  expect_key("/v1/kv/b/%252F", "b", "%2F");
}

TEST(Route, DecodesNumbersAsItDecodesNames) {
  Route result;
  ASSERT_TRUE(
      route("POST", "/v1/cp/namespaces/n?num%5Franks=%31&steps_retained=%32", Behaviour{}, result));
  EXPECT_EQ(result.created, (checkpoint::NamespaceOptions{.num_ranks = 1, .steps_retained = 2}));
  ASSERT_TRUE(route("POST", "/v1/cp/checkpoints/n/%31/%32", Behaviour{}, result));
  EXPECT_THAT(result, AllOf(Field(&Route::rank, 1u), Field(&Route::step, 2u)));
  EXPECT_EQ(result.key, "1/2");
  EXPECT_FALSE(route("GET", "/v1/cp/checkpoints/n/latest?limit=%zz", Behaviour{}, result));
}

TEST(Route, LeavesAPlusAPlus) {
  expect_key("/v1/kv/b/a+b", "b", "a+b");
  expect_key("/v1/kv/b/a%2Bb", "b", "a+b");
  expect_key("/v1/kv/b/a%20b", "b", "a b");
}

TEST(Route, TakesKeysAsLmcacheBuildsThem) {
  expect_key("/v1/kv/lmcache/meta-llama%2FLlama-3.1-8B@8@0@1f2e@bfloat16@tag%25v%3A1", "lmcache",
             "meta-llama/Llama-3.1-8B@8@0@1f2e@bfloat16@tag%v:1");
  expect_key("/v1/kv/%E6%A1%B6/%E2%82%AC", "\u6876", "\u20ac");
}

TEST(Route, DoesNotResolveDots) {
  expect_key("/v1/kv/b/..", "b", "..");
  expect_key("/v1/kv/b/%2E%2E", "b", "..");
  expect_key("/v1/kv/./..", ".", "..");
}

TEST(Route, UnderstandsTheAbsoluteForm) {
  expect_key("http://127.0.0.1:9200/v1/kv/b/k", "b", "k");
  expect_key("https://node/v1/kv/b/a%2Fb", "b", "a/b");
  expect_key("HTTP://Node/v1/kv/b/k", "b", "k");
  expect_refused("PUT", "http://node", RouteError::not_found);
  expect_refused("PUT", "http://", RouteError::not_found);
  expect_refused("PUT", "ftp://node/v1/kv/b/k", RouteError::not_found);
}

TEST(Route, TakesNoPathOutOfTheQueryOfAnAbsoluteForm) {
  expect_refused("PUT", "http://node?/v1/kv/b/k", RouteError::not_found);
  expect_refused("PUT", "http://node?x=/v1/kv/b/k", RouteError::not_found);
}

TEST(Route, IgnoresTheQueryOfAPutAndARelease) {
  expect_key("/v1/kv/b/k?x=y&timeout_ms=never", "b", "k");
  EXPECT_TRUE(post("/v1/leases/x/release?ttl_s=-1"));
}

TEST(Route, ToAnUnencodableKeyIsMalformed) {
  for (const char* target : {"/v1/kv/b/%", "/v1/kv/b/%4", "/v1/kv/%zz/k", "/v1/kv/b/%FF",
                             "/v1/kv/%C3/k", "/v1/kv/b/\xff"}) {
    expect_refused("PUT", target, RouteError::malformed);
  }
  expect_refused("POST", "/v1/kv/b/%/leases", RouteError::malformed);
  expect_refused("POST", "/v1/leases/%/release", RouteError::malformed);
}

TEST(Route, LeadsNowhereFromAnythingElse) {
  for (const char* target : {"",
                             "/",
                             "*",
                             "v1/kv/b/k",
                             "//v1/kv/b/k",
                             "/v1",
                             "/v1/",
                             "/v1/kv",
                             "/v1/kv/",
                             "/v1/kv/b",
                             "/v1/kv/b/",
                             "/v1/kv//k",
                             "/v1/kv/b/k/",
                             "/v1/kv/b/k/x",
                             "/v1/kv/b/k/leases/",
                             "/v1//kv/b/k",
                             "/V1/kv/b/k",
                             "/v1/KV/b/k",
                             "/v2/kv/b/k",
                             "/v1/kv/b/k/leases/x/y/z",
                             "/v1/cp/b/k",
                             "/%761/kv/b/k",
                             "/v1%2Fkv/b/k",
                             "/v1/kv/b%2Fk",
                             "/v1/kv?/b/k"}) {
    expect_refused("PUT", target, RouteError::not_found);
  }
  for (const char* target :
       {"/v1/kv/b/k", "/v1/kv/b/k/lease", "/v1/kv/b/k/leases/", "/v1/kv/b/k/leases/id/release",
        "/v1/leases/x", "/v1/leases/x/renew", "/v1/leases/x/release/", "/v1/leases/x/Release",
        "/v1/leases/release"}) {
    expect_refused("POST", target, RouteError::not_found);
  }
}

TEST(Route, LeadsNowhereWithOtherMethods) {
  for (const char* method : {"GET", "HEAD", "DELETE", "PATCH", "OPTIONS", "POST", "put"}) {
    expect_refused(method, "/v1/kv/b/k", RouteError::not_found);
  }
  for (const char* method : {"GET", "PUT", "DELETE", "post"}) {
    expect_refused(method, "/v1/kv/b/k/leases", RouteError::not_found);
    expect_refused(method, "/v1/leases/x/release", RouteError::not_found);
  }
  // The call that clients once made by mistake.
  expect_refused("DELETE", "/v1/kv/b/k/leases/x", RouteError::not_found);
}

TEST(Route, ToAReleaseHasADecodedId) {
  const auto routed = post("/v1/leases/a%2Fb_-/release");
  ASSERT_TRUE(routed);
  EXPECT_EQ(routed->operation, Operation::release);
  EXPECT_EQ(routed->lease_id, "a/b_-");
}

// --- Queries of a lease request
// -----------------------------------------------------------------

const std::string leases = "/v1/kv/b/k/leases";

void expect_times(const std::string& query, std::chrono::milliseconds hold, Duration ttl,
                  const Behaviour& behaviour = {}) {
  const auto routed = post(leases + query, behaviour);
  ASSERT_TRUE(routed) << query;
  EXPECT_EQ(routed->operation, Operation::acquire);
  EXPECT_EQ(routed->hold, hold) << query;
  EXPECT_EQ(routed->ttl, ttl) << query;
}

TEST(LeaseQuery, IsReadAsThePublicClientsSendIt) {
  expect_times("?timeout_ms=5000&ttl_s=30.0", 5s, 30s);
  expect_times("?timeout_ms=1000&ttl_s=30.0", 1s, 30s);
}

TEST(LeaseQuery, CountsFractionsOfASecond) {
  expect_times("?ttl_s=0.25", 0ms, 250ms);
  expect_times("?ttl_s=.5", 0ms, 500ms);
  expect_times("?ttl_s=12.", 0ms, 12s);
  expect_times("?ttl_s=0.000000001", 0ms, 1ns);
  expect_times("?ttl_s=0", 0ms, 0ns);
}

TEST(LeaseQuery, HasDefaultsThatAreOptions) {
  expect_times("", 0ms, 30s);
  expect_times("?", 0ms, 30s);
  expect_times("?timeout_ms=7", 7ms, 30s);
  Behaviour behaviour;
  behaviour.default_hold = 1234ms;
  behaviour.default_ttl = 5678ms;
  expect_times("", 1234ms, 5678ms, behaviour);
  expect_times("?ttl_s=1", 1234ms, 1s, behaviour);
  expect_times("?timeout_ms=1", 1ms, 5678ms, behaviour);
}

TEST(LeaseQuery, IsClampedToTheLongestThatIsGranted) {
  Behaviour behaviour;
  behaviour.max_hold = 2s;
  behaviour.max_ttl = 3s;
  expect_times("?timeout_ms=2000&ttl_s=3", 2s, 3s, behaviour);
  expect_times("?timeout_ms=2001&ttl_s=3.001", 2s, 3s, behaviour);
  expect_times("?timeout_ms=9223372036854775807&ttl_s=1" + std::string(300, '0'), 2s, 3s,
               behaviour);
}

TEST(LeaseQuery, IsClampedHoweverHugeItsNumbersAre) {
  const std::string huge(400, '9');
  expect_times("?timeout_ms=9223372036854775808", 1h, 30s);
  expect_times("?timeout_ms=" + huge + "&ttl_s=" + huge, 1h, 24h);
  expect_times("?ttl_s=" + huge + ".5", 0ms, 24h);
  expect_times("?ttl_s=0." + std::string(400, '0') + "1", 0ms, 0ns);
}

TEST(LeaseQuery, IgnoresOtherParameters) {
  expect_times("?x=1&timeout_ms=5&&y&=z&ttl_s=1&timeout=9&TTL_S=9", 5ms, 1s);
}

TEST(LeaseQuery, ThatIsMalformedIsRefused) {
  for (const char* number : {"", "x", "1x", "x1", " 1", "1 ", "+1", "-1", "-0", "1.0", "1e3", "0x1",
                             "1,5", "nan", "%2B1"}) {
    expect_refused("POST", leases + "?timeout_ms=" + number, RouteError::malformed);
  }
  for (const char* number :
       {"",      ".",   "x",   "1x",   " 1",       "1 ",  "+1",  "-1",  "-0.0",   "-0",  "1.2.3",
        "0x1p3", "1,5", "inf", "-inf", "infinity", "INF", "nan", "NaN", "nan(1)", "-nan"}) {
    expect_refused("POST", leases + "?ttl_s=" + number, RouteError::malformed);
  }
  expect_refused("POST", leases + "?timeout_ms", RouteError::malformed);
  expect_refused("POST", leases + "?ttl_s", RouteError::malformed);
}

TEST(LeaseQuery, ThatNamesAParameterTwiceIsRefused) {
  expect_refused("POST", leases + "?timeout_ms=1&timeout_ms=1", RouteError::malformed);
  expect_refused("POST", leases + "?ttl_s=1&timeout_ms=1&ttl_s=2", RouteError::malformed);
}

TEST(RequestTarget, TakesATtlInEveryFormThatPythonWrites) {
  const auto ttl = [](const std::string& text) {
    const auto routed = post("/v1/kv/b/k/leases?ttl_s=" + text);
    return routed ? std::optional(routed->ttl) : std::nullopt;
  };
  EXPECT_EQ(ttl("1e1"), 10s);
  EXPECT_EQ(ttl("1e-05"), 10us);
  EXPECT_EQ(ttl("2.5E0"), 2500ms);
  EXPECT_EQ(ttl("1e%2B1"), 10s) << "percent-encoded as aiohttp does";
  EXPECT_EQ(ttl("1e+16"), 24h) << "the longest";
  EXPECT_EQ(ttl("1e400"), 24h);
  EXPECT_EQ(ttl("1e99999999999999999999"), 24h);
  EXPECT_EQ(ttl("1e-400"), 0s);
  EXPECT_EQ(ttl("1e-99999999999999999999"), 0s);
  EXPECT_EQ(ttl("0." + std::string(400, '0') + "1"), 0s);
  EXPECT_EQ(ttl("1" + std::string(400, '0')), 24h);
  EXPECT_EQ(ttl("1" + std::string(400, '0') + "e-400"), 1s);
  for (const char* wrong : {"inf", "nan", "-1e1", "1e", "e1", "0x1", "1e1.5", "+1", "%zz"}) {
    EXPECT_EQ(ttl(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace hyperpod::emulator::http
