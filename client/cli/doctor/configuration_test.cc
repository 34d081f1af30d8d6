// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cli/doctor/checks.h"
#include "cli/doctor/test_support.h"

namespace hyperpod::client::cli::doctor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Variables = std::map<std::string, std::string>;

constexpr const char* documented = "sagemaker-hyperpod://$NODE_IP:9200";

struct Checked {
  std::optional<Configuration> configuration;
  Report report;
};

Checked check(const Variables& variables, const Inquiry& inquiry = {}) {
  Checked checked;
  checked.configuration = check_configuration(machine_with(variables), inquiry, checked.report);
  return checked;
}

Checked check_url(const std::string& url, Variables variables = {{"NODE_IP", "10.1.2.3"}}) {
  variables["LMCACHE_REMOTE_URL"] = url;
  return check(variables);
}

class ConfigurationCheckTest : public ::testing::Test {
 protected:
  Checked check_file(const std::string& yaml, Variables variables = {{"NODE_IP", "10.1.2.3"}}) {
    variables["LMCACHE_CONFIG_FILE"] = folder_.write("lmcache.yaml", yaml);
    return check(variables);
  }

  const TestFolder folder_;
};

TEST_F(ConfigurationCheckTest, TellsWhereAWorkingConfigurationComesFrom) {
  const auto checked = check_file(
      "remote_url: sagemaker-hyperpod://$NODE_IP:9200\n"
      "extra_config: {sagemaker_hyperpod_shared_memory_name: ai_toolkit_cache}\n");
  EXPECT_THAT(remarks(checked.report), IsEmpty());
  ASSERT_TRUE(checked.configuration);
  ASSERT_EQ(checked.configuration->daemons.size(), 1u);
  EXPECT_EQ(checked.configuration->daemons[0].authority(), "10.1.2.3:9200");
  EXPECT_EQ(checked.configuration->daemons[0].segment, "ai_toolkit_cache");
  EXPECT_THAT(found(checked.report, "config-file").text, HasSubstr("LMCACHE_CONFIG_FILE"));
  EXPECT_THAT(found(checked.report, "variable").text, HasSubstr("NODE_IP is 10.1.2.3"));
  EXPECT_THAT(found(checked.report, "address").text, HasSubstr("http://10.1.2.3:9200"));
}

TEST_F(ConfigurationCheckTest, LetsTheCommandLineHaveTheLastWord) {
  const Inquiry inquiry{
      .config_file = folder_.write("other.yaml", "remote_url: 10.9.9.9:1"),
      .override_options = [](ClientOptions& options) { options.remote_url = "10.1.2.3:9200"; }};
  const auto checked = check({{"LMCACHE_CONFIG_FILE", "/nowhere"}}, inquiry);
  EXPECT_THAT(remarks(checked.report), IsEmpty());
  EXPECT_THAT(found(checked.report, "config-file").text, HasSubstr("the command line"));
  EXPECT_EQ(checked.configuration->daemons[0].authority(), "10.1.2.3:9200");
}

TEST_F(ConfigurationCheckTest, MissesTheFileThatAVariableNames) {
  const auto checked = check({{"LMCACHE_CONFIG_FILE", folder_.path("absent.yaml")}});
  EXPECT_FALSE(checked.configuration);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem config-file-missing"));
  EXPECT_THAT(found(checked.report, "config-file-missing").text, HasSubstr("absent.yaml"));
}

TEST_F(ConfigurationCheckTest, DoesNotWaitForAFileThatIsAPipe) {
  ASSERT_EQ(mkfifo(folder_.path("pipe").c_str(), 0600), 0);
  const auto checked = check({{"LMCACHE_CONFIG_FILE", folder_.path("pipe")}});
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem config-file-missing"));
  EXPECT_THAT(found(checked.report, "config-file-missing").text, HasSubstr("not a regular file"));
}

TEST_F(ConfigurationCheckTest, SaysWhatCannotBeUsed) {
  EXPECT_THAT(remarks(check_file("remote_url: [").report), ElementsAre("problem config-unusable"));
  const auto zero = check_file("extra_config: {sagemaker_hyperpod_timeout_ms: 0}");
  EXPECT_THAT(remarks(zero.report), ElementsAre("problem config-unusable"));
  EXPECT_THAT(found(zero.report, "config-unusable").text, HasSubstr("timeout_ms"));
  const auto json = check({{"LMCACHE_EXTRA_CONFIG", "{"}});
  EXPECT_THAT(remarks(json.report),
              ElementsAre("warning config-doubtful", "warning remote-url-missing"));
  const Inquiry no_bucket{.override_options = [](ClientOptions& options) { options.bucket = ""; }};
  EXPECT_THAT(remarks(check({{"LMCACHE_REMOTE_URL", "h:9200"}}, no_bucket).report),
              ElementsAre("problem config-unusable"));
}

TEST_F(ConfigurationCheckTest, RemarksOnKeysThatHaveNoEffectAndValuesThatAreRaised) {
  const auto checked = check_file(
      "remote_url: 10.1.2.3:9200\n"
      "extra_config: {sagemaker_hyperpod_buket: x, sagemaker_hyperpod_timeout_ms: 50}");
  EXPECT_THAT(remarks(checked.report),
              ElementsAre("warning config-doubtful", "warning config-raised"));
  EXPECT_TRUE(checked.configuration);
}

TEST_F(ConfigurationCheckTest, TakesAnEmptyVariableAsNotSet) {
  const auto checked = check_file("remote_url: 10.1.2.3:9200\n",
                                  {{"LMCACHE_REMOTE_URL", " "}, {"LMCACHE_EXTRA_CONFIG", "''"}});
  EXPECT_THAT(remarks(checked.report), IsEmpty());
  EXPECT_THAT(found(checked.report, "variable-empty").text, HasSubstr("LMCACHE_REMOTE_URL"));
  EXPECT_THAT(
      remarks(check({{"LMCACHE_CONFIG_FILE", ""}, {"LMCACHE_REMOTE_URL", "h:9200"}}).report),
      IsEmpty());
}

TEST_F(ConfigurationCheckTest, PutsBracketsAroundAnIpv6NodeIp) {
  const auto checked = check_url(documented, {{"NODE_IP", "fd00::1"}});
  EXPECT_THAT(remarks(checked.report), ElementsAre("warning ipv6-no-brackets"));
  EXPECT_THAT(found(checked.report, "address").text, HasSubstr("http://[fd00::1]:9200"));
  EXPECT_THAT(found(checked.report, "ipv6-no-brackets").remedy, HasSubstr("[$NODE_IP]"));
  for (const char* url : {"http://[$NODE_IP]:9200", "[${NODE_IP}]:9200", "[FD00:0::1]:9200"}) {
    EXPECT_THAT(remarks(check_url(url, {{"NODE_IP", "fd00::1"}}).report), IsEmpty()) << url;
  }
}

TEST_F(ConfigurationCheckTest, TellsThatAVariableWinsOverTheFile) {
  const auto checked = check_file(
      "remote_url: 10.1.2.3:9200\n"
      "extra_config: {sagemaker_hyperpod_bucket: b, sagemaker_hyperpod_timeout_ms: 700}",
      {{"LMCACHE_REMOTE_URL", "10.1.2.4:9200"},
       {"LMCACHE_EXTRA_CONFIG", R"({"sagemaker_hyperpod_bucket": "c"})"}});
  EXPECT_THAT(remarks(checked.report),
              ElementsAre("warning remote-url-overridden", "warning extra-config-overridden"));
  const auto lost = found(checked.report, "extra-config-overridden");
  EXPECT_EQ(lost.details["keys"], nlohmann::json::array({"sagemaker_hyperpod_timeout_ms"}));
  EXPECT_EQ(checked.configuration->daemons[0].host, "10.1.2.4");
}

TEST_F(ConfigurationCheckTest, LooksAtTheDefaultWhenNothingSaysWhereTheDaemonIs) {
  const auto checked = check({});
  EXPECT_THAT(remarks(checked.report), ElementsAre("warning remote-url-missing"));
  EXPECT_EQ(checked.configuration->daemons[0].authority(), "127.0.0.1:9200");
}

TEST_F(ConfigurationCheckTest, NamesAVariableThatIsNotSetOrEmpty) {
  for (const Variables& variables : {Variables{}, Variables{{"NODE_IP", ""}}}) {
    const auto checked = check_url(documented, variables);
    EXPECT_FALSE(checked.configuration);
    EXPECT_THAT(remarks(checked.report), ElementsAre("problem variable-unset"));
    const auto finding = found(checked.report, "variable-unset");
    EXPECT_EQ(finding.details["variable"], "NODE_IP");
    EXPECT_THAT(finding.remedy, HasSubstr("status.hostIP"));
  }
}

// Kubernetes replaces $(NODE_IP) only where NODE_IP is defined above, and else leaves it there.
TEST_F(ConfigurationCheckTest, RecognisesWhatKubernetesLeavesOfAVariableDefinedTooLate) {
  constexpr const char* left = "sagemaker-hyperpod://$(NODE_IP):9200";
  for (const auto& checked : {check_url(left), check_file(std::string("remote_url: ") + left)}) {
    EXPECT_FALSE(checked.configuration);
    EXPECT_THAT(remarks(checked.report), ElementsAre("problem variable-unexpanded"));
    EXPECT_THAT(found(checked.report, "variable-unexpanded").remedy,
                HasSubstr("above every variable that uses it"));
  }
  const auto inner = check_url(documented, {{"NODE_IP", "$(HOST_IP)"}});
  EXPECT_THAT(remarks(inner.report), ElementsAre("problem variable-unexpanded"));
  EXPECT_THAT(found(inner.report, "variable-unexpanded").remedy, HasSubstr("define HOST_IP"));
}

TEST_F(ConfigurationCheckTest, SaysWhatIsWrongWithAnAddress) {
  const auto checked = check_url("redis://10.1.2.3:6379");
  EXPECT_FALSE(checked.configuration);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem url-unusable"));
}

TEST_F(ConfigurationCheckTest, MissesThePort) {
  const auto checked = check_url("sagemaker-hyperpod://$NODE_IP");
  EXPECT_THAT(remarks(checked.report), ElementsAre("warning url-no-port"));
  EXPECT_THAT(found(checked.report, "url-no-port").remedy, HasSubstr("10.1.2.3:9200"));
}

TEST_F(ConfigurationCheckTest, SuspectsTheAddressOfAnotherNode) {
  EXPECT_THAT(remarks(check_url("10.9.9.9:9200").report), ElementsAre("warning url-not-this-node"));
  EXPECT_THAT(remarks(check_url("127.0.0.1:9200").report), IsEmpty());
  EXPECT_THAT(remarks(check_url("node-1.local:9200").report), IsEmpty());
  EXPECT_THAT(remarks(check_url("10.9.9.9:9200", {}).report), IsEmpty());
}

TEST_F(ConfigurationCheckTest, RemarksThatNothingCanBeReadWithoutASegment) {
  EXPECT_THAT(remarks(check_file("remote_url: 10.1.2.3:9200\n"
                                 "extra_config: {sagemaker_hyperpod_shared_memory_name: None}")
                          .report),
              ElementsAre("warning shared-memory-disabled"));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor
