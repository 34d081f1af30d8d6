// SPDX-License-Identifier: Apache-2.0
#include "address.h"

#include <gtest/gtest.h>

#include <map>

namespace hyperpod::client {
namespace {

Environment variables(const std::map<std::string, std::string>& values) {
  return [values](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

Result<std::vector<DaemonAddress>> parse(const std::string& url, bool use_https = false) {
  ClientOptions options;
  options.remote_url = url;
  options.use_https = use_https;
  return parse_addresses(options, variables({{"NODE_IP", "10.1.2.3"},
                                             {"NODE_IP6", "fd00::1"},
                                             {"LINK_IP", "fe80::1%eth0"},
                                             {"NODE-IP", "10.9.9.9"},
                                             {"QUOTED", "\"10.1.2.3\""},
                                             {"BLANK_BEHIND", "10.1.2.3 "},
                                             {"EMPTY", ""}}));
}

DaemonAddress one(const std::string& url, bool use_https = false) {
  auto addresses = parse(url, use_https);
  if (!addresses || addresses->size() != 1) {
    ADD_FAILURE() << url << ": " << (addresses ? "several" : addresses.error().message);
    return {};
  }
  return addresses->front();
}

std::string problem(const std::string& url) {
  const auto addresses = parse(url);
  if (addresses) {
    ADD_FAILURE() << "accepted: " << url;
    return {};
  }
  EXPECT_EQ(addresses.error().code, ErrorCode::invalid_option);
  return addresses.error().message;
}

TEST(Address, TakesTheSchemeOfTheDocumentation) {
  const auto address = one("sagemaker-hyperpod://node-1.local:9200");
  EXPECT_EQ(address.host, "node-1.local");
  EXPECT_EQ(address.port, 9200);
  EXPECT_FALSE(address.https);
  EXPECT_EQ(address.segment, "shared_memory");
  EXPECT_EQ(address.authority(), "node-1.local:9200");
}

TEST(Address, TakesSchemesInAnyCase) {
  EXPECT_EQ(one("SageMaker-HyperPod://h:1").host, "h");
  EXPECT_FALSE(one("HTTP://h:1", true).https);
  EXPECT_TRUE(one("sagemaker-hyperpod://Https://h:1").https);
}

TEST(Address, NamesACommaWithoutADaemon) {
  EXPECT_EQ(problem("127.0.0.1:9310,"),
            "the address '127.0.0.1:9310,' has a comma with no daemon behind it; remove it");
  EXPECT_NE(problem(",a:1").find("a comma with no daemon before it"), std::string::npos);
  EXPECT_NE(problem("a:1#x,,b:1#y").find("a comma with no daemon before it"), std::string::npos);
}

TEST(Address, ExpandsVariablesWithAndWithoutBraces) {
  EXPECT_EQ(one("sagemaker-hyperpod://$NODE_IP:9200").host, "10.1.2.3");
  EXPECT_EQ(one("sagemaker-hyperpod://${NODE_IP}:9200").host, "10.1.2.3");
  EXPECT_EQ(one("http://h:1/a$/b${").path_prefix, "/a$/b${");
}

TEST(Address, NamesAVariableThatIsNotSet) {
  EXPECT_NE(problem("sagemaker-hyperpod://$NODE_IQ:9200").find("$NODE_IQ"), std::string::npos);
  EXPECT_NE(problem("sagemaker-hyperpod://${HOST_IP}:9200").find("$HOST_IP"), std::string::npos);
}

TEST(Address, LetsASchemeInsideTheUrlWinOverUseHttps) {
  EXPECT_TRUE(one("sagemaker-hyperpod://h:1", true).https);
  EXPECT_FALSE(one("sagemaker-hyperpod://http://h:1", true).https);
  EXPECT_FALSE(one("http://h:1", true).https);
  EXPECT_TRUE(one("sagemaker-hyperpod://https://h:1").https);
  EXPECT_TRUE(one("https://h:1").https);
}

TEST(Address, TakesThePortOfTheSchemeWhenNoneIsGiven) {
  EXPECT_EQ(one("sagemaker-hyperpod://h").port, 80);
  EXPECT_EQ(one("https://h").port, 443);
}

TEST(Address, TakesIpv6InBrackets) {
  const auto address = one("sagemaker-hyperpod://[fd00::1]:9200");
  EXPECT_EQ(address.host, "fd00::1");
  EXPECT_EQ(address.authority(), "[fd00::1]:9200");
  EXPECT_EQ(one("[fe80::1%eth0]:9200").host, "fe80::1%eth0");
  EXPECT_EQ(one("[::1]").port, 80);
}

// Kubernetes' status.hostIP has no brackets.
TEST(Address, PutsBracketsAroundAnIpv6AddressInAVariable) {
  for (const char* url :
       {"sagemaker-hyperpod://$NODE_IP6:9200", "http://${NODE_IP6}:9200", "$NODE_IP6:9200",
        "[$NODE_IP6]:9200", "sagemaker-hyperpod://[${NODE_IP6}]:9200",
        "sagemaker-hyperpod://fd00::1:9200"}) {
    EXPECT_EQ(one(url).host, "fd00::1") << url;
    EXPECT_EQ(one(url).host_header(), "[fd00::1]:9200") << url;
  }
  EXPECT_EQ(one("$NODE_IP6").port, 80);
  EXPECT_EQ(parse("a:1#x, $NODE_IP6:2#y")->at(1).authority(), "[fd00::1]:2");
  EXPECT_EQ(one("1:2:3:4:5:6:7:8:9200").host, "1:2:3:4:5:6:7:8");
}

TEST(Address, KeepsZonesOutOfTheHostHeader) {
  for (const char* url : {"sagemaker-hyperpod://$LINK_IP:9200", "[fe80::1%eth0]:9200",
                          "http://[fe80::1%25eth0]:9200", "fe80::1%eth0:9200"}) {
    EXPECT_EQ(one(url).host, "fe80::1%eth0") << url;
    EXPECT_EQ(one(url).authority(), "[fe80::1%eth0]:9200") << url;
    EXPECT_EQ(one(url).host_header(), "[fe80::1]:9200") << url;
  }
  EXPECT_EQ(one("http://[fe80::1%eth0]:80").host_header(), "[fe80::1]");
}

TEST(Address, TakesAnyNameInBraces) { EXPECT_EQ(one("${NODE-IP}:9200").host, "10.9.9.9"); }

TEST(Address, SaysWhatIsWrongWithAVariable) {
  EXPECT_NE(problem("$EMPTY:9200").find("set and empty"), std::string::npos);
  EXPECT_NE(problem("$QUOTED:9200").find("quotes"), std::string::npos);
  EXPECT_NE(problem("$BLANK_BEHIND:9200").find("white space"), std::string::npos);
}

TEST(Address, LeavesTheDefaultPortOutOfTheHostHeader) {
  EXPECT_EQ(one("http://h:9200").host_header(), "h:9200");
  EXPECT_EQ(one("http://h:80").host_header(), "h");
  EXPECT_EQ(one("https://[::1]:443").host_header(), "[::1]");
  EXPECT_EQ(one("https://h:80").host_header(), "h:80");
}

TEST(Address, KeepsAPathBeforeTheTargets) {
  EXPECT_EQ(one("http://h:1/").path_prefix, "");
  EXPECT_EQ(one("http://h:1/gate/way//").path_prefix, "/gate/way");
}

TEST(Address, ListsSeveralDaemonsEachWithItsSegment) {
  const auto addresses =
      parse("sagemaker-hyperpod://$NODE_IP:9200#cache_a, https://[::1]:9300#cache_b ,c:1");
  ASSERT_TRUE(addresses) << addresses.error().message;
  ASSERT_EQ(addresses->size(), 3u);
  EXPECT_EQ((*addresses)[0].segment, "cache_a");
  EXPECT_TRUE((*addresses)[1].https);
  EXPECT_EQ((*addresses)[1].segment, "cache_b");
  EXPECT_EQ((*addresses)[2].segment, "shared_memory");
}

TEST(Address, RefusesTwoDaemonsWithOneSegment) {
  EXPECT_NE(problem("a:1,b:1").find("shared_memory"), std::string::npos);
  EXPECT_NE(problem("a:1#x,b:1#x").find("'x'"), std::string::npos);
  ClientOptions options;
  options.remote_url = "a:1,b:1";
  options.shared_memory_name.reset();
  EXPECT_TRUE(parse_addresses(options, variables({})));
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* url : {"",
                          "  ",
                          "sagemaker-hyperpod://",
                          "redis://h:1",
                          "http://",
                          "h:",
                          "h:0",
                          "h:65536",
                          "h:x",
                          "h:-1",
                          "[::1",
                          "[::1]9200",
                          "[::1]:",
                          "[h]:1",
                          "::1",
                          "fd00::1",
                          "fd00::x:9200",
                          "h:1:2",
                          "fd00::1:0",
                          "[fe80::1%]:1",
                          "[fe80::1%a b]:1",
                          "[fe80::1%eth0\r\nX: y]:1",
                          "h i:1",
                          "a:1,",
                          ",a:1",
                          "a:1,a:1#s",
                          "a:1#",
                          "a:1#x/y",
                          "a:1/b c",
                          "a:1/b?c",
                          "$EMPTY",
                          "a:1\r\nx"}) {
    problem(url);
  }
}

}  // namespace
}  // namespace hyperpod::client
