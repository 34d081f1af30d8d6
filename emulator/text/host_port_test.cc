// SPDX-License-Identifier: Apache-2.0
#include "text/host_port.h"

#include <gtest/gtest.h>

namespace hyperpod::emulator::text {
namespace {

TEST(HostPort, NamesAndAddressesOfBothFamiliesAreRead) {
  const auto v4 = parse_host_port("127.0.0.1:9200");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 9200);

  const auto v6 = parse_host_port("[::]:0");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::");
  EXPECT_EQ(v6->port, 0);

  const auto name = parse_host_port("localhost:65535");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->host, "localhost");
  EXPECT_EQ(name->port, 65535);
}

TEST(HostPort, WhatIsNoAddressIsRefusedWithTheWayOut) {
  for (const char* text : {"",
                           ":",
                           "9200",
                           ":9200",
                           "[]:9200",
                           "host",
                           "host:",
                           "host:x",
                           "host:-1",
                           "host:+1",
                           "host:65536",
                           "host:92x",
                           "host:92 ",
                           "host: 1",
                           "::1:9200",
                           "[::1]",
                           "[::1:9200",
                           "ho st:1",
                           "a/b:1",
                           "http://host:1",
                           "user@host:1",
                           "host\n:1"}) {
    const auto address = parse_host_port(text);
    ASSERT_FALSE(address) << text;
    EXPECT_NE(address.error().message.find("write HOST:PORT"), std::string::npos);
  }
}

TEST(HostPort, ARefusalSaysWhatIsMissingOrTooMuch) {
  const auto told = [](const char* text) { return parse_host_port(text).error().message; };
  EXPECT_TRUE(told("9200").starts_with("'9200' names no host;"));
  EXPECT_TRUE(told("host").starts_with("'host' names no port;"));
  EXPECT_TRUE(told("[::1]").starts_with("'[::1]' names no port;"));
  EXPECT_TRUE(told("http://host:1").starts_with("'http://host:1' is a URL;"));
}

}  // namespace
}  // namespace hyperpod::emulator::text
