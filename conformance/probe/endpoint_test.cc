// SPDX-License-Identifier: Apache-2.0
#include "probe/endpoint.h"

#include <gtest/gtest.h>

namespace hyperpod::conformance::probe {
namespace {

TEST(ParseUrl, UnderstandsNamesAndAddresses) {
  const auto plain = parse_url("http://node-1:9300/");
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->authority(), "node-1:9300");
  const auto v6 = parse_url("https://[::1]:80");
  ASSERT_TRUE(v6) << v6.error().message;
  EXPECT_TRUE(v6->tls);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->url(), "https://[::1]:80");
}

TEST(ParseUrl, TakesTheDaemonsPortForGranted) {
  EXPECT_EQ(parse_url("http://[::1]")->authority(), "[::1]:9200");
}

TEST(ParseUrl, RefusesWhatIsMoreOrLessThanAHostAndAPort) {
  for (const char* url :
       {"", "node:9200", "ftp://node", "http://", "http://node:0", "http://node:70000",
        "http://node:x", "http://node:1/path", "http://user@node", "http://[::1", "http://node:"}) {
    EXPECT_FALSE(parse_url(url)) << url;
  }
}

}  // namespace
}  // namespace hyperpod::conformance::probe
