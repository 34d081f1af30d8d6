// SPDX-License-Identifier: Apache-2.0
// The file, the environment, the command line and the table that all are made from.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/pfr/tuple_size.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "config/command_line.h"
#include "config/settings.h"
#include "config/token_file.h"
#include "config/toml_file.h"
#include "hyperpod/base/unique_name.h"

namespace hyperpod::emulator::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

Result<Configuration> from_toml(std::string_view document) {
  Draft draft;
  if (auto loaded = load_toml(document, "config.toml", draft); !loaded) {
    return tl::unexpected(loaded.error());
  }
  return std::move(draft).finish();
}

std::string toml_refusal(std::string_view document) {
  const auto configuration = from_toml(document);
  if (configuration) return "accepted";
  EXPECT_EQ(configuration.error().code, ErrorCode::invalid_option);
  EXPECT_THAT(configuration.error().message, Not(HasSubstr("\n")));
  return configuration.error().message;
}

Result<Command> parse(std::vector<const char*> arguments,
                      std::vector<const char*> environment = {}) {
  arguments.insert(arguments.begin(), "hyperpod-emulator");
  environment.push_back(nullptr);
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data(),
                            environment.data());
}

Configuration configured(std::vector<const char*> arguments,
                         std::vector<const char*> environment = {}) {
  auto parsed = parse(std::move(arguments), std::move(environment));
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return {};
  }
  return std::get<Configuration>(std::move(*parsed));
}

std::string printed(std::vector<const char*> arguments) {
  const auto parsed = parse(std::move(arguments));
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return {};
  }
  return std::get<Printout>(*parsed).text;
}

std::string usage_refusal(std::vector<const char*> arguments,
                          std::vector<const char*> environment = {}) {
  const auto parsed = parse(std::move(arguments), std::move(environment));
  if (parsed) return "accepted";
  EXPECT_EQ(parsed.error().code, ErrorCode::invalid_option);
  EXPECT_THAT(parsed.error().message, Not(HasSubstr("\n")));
  return parsed.error().message;
}

std::string fixture(const std::string& name) { return HYPERPOD_FIXTURES "/configs/" + name; }

class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view content)
      : path_(base::unique_name(testing::TempDir() + "config_test.")) {
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

// --- The table

TEST(Settings, ReachEveryFieldOfOptions) {
  std::size_t direct = 0;
  std::size_t behaviour = 0;
  std::size_t limits = 0;
  std::size_t tls = 0;
  for (const Setting& setting : settings()) {
    if (setting.member.empty()) continue;
    if (setting.member.starts_with("behaviour.")) {
      ++behaviour;
    } else if (setting.member.starts_with("limits.")) {
      ++limits;
    } else if (setting.member.starts_with("tls.")) {
      ++tls;
    } else {
      ++direct;
    }
  }
  EXPECT_EQ(behaviour, boost::pfr::tuple_size_v<Behaviour>);
  EXPECT_EQ(limits, boost::pfr::tuple_size_v<Limits>);
  EXPECT_EQ(tls, boost::pfr::tuple_size_v<TlsOptions>);
  // Not set by text: the three structs above, the faults, the clock, the log, the token, which a
  // file holds, and remove_on_signals, which the program does in any case.
  EXPECT_EQ(direct, boost::pfr::tuple_size_v<Options> - 8);
}

TEST(Settings, HaveNamesOfTheirOwn) {
  std::set<std::string_view> keys;
  std::set<std::string_view> options;
  std::set<std::string_view> members;
  for (const Setting& setting : settings()) {
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    EXPECT_TRUE(setting.option.empty() || options.insert(setting.option).second) << setting.option;
    EXPECT_TRUE(setting.member.empty() || members.insert(setting.member).second) << setting.member;
  }
}

TEST(Settings, ReadBackWhatTheyShow) {
  for (const Setting& setting : settings()) {
    if (!setting.warning.empty()) continue;
    Configuration configuration;
    const std::string shown = setting.show(configuration);
    const auto set = setting.set(configuration, shown);
    EXPECT_TRUE(set) << setting.key << " " << shown;
    EXPECT_EQ(setting.show(configuration), shown);
  }
}

TEST(Settings, EachSetsAMemberThatNoOtherShows) {
  for (const Setting& setting : settings()) {
    if (!setting.warning.empty()) continue;
    Configuration configuration;
    const std::string other =
        setting.type == TomlType::boolean
            ? (setting.show(configuration) == "true" ? "false" : "true")
            : [&] {
                for (const char* text :
                     {"401", "3s", "12KiB", "7.7.7.7:7", "scattered", "on_use", "first_begun",
                      "json", "debug", "0640", "manual", "text"}) {
                  Configuration trial;
                  if (setting.set(trial, text) && setting.show(trial) != setting.show({}))
                    return std::string(text);
                }
                return std::string();
              }();
    ASSERT_TRUE(setting.set(configuration, other)) << setting.key << " " << other;
    for (const Setting& observer : settings()) {
      EXPECT_EQ(observer.show(configuration) != observer.show({}), &observer == &setting)
          << setting.key << " and " << observer.key;
    }
  }
}

TEST(Settings, MarkdownListsEachWithItsDefault) {
  const std::string table = printed({"--list-options", "markdown"});
  for (const Setting& setting : settings()) {
    EXPECT_THAT(table, HasSubstr(fmt::format("| `{}` |", setting.key)));
  }
  EXPECT_THAT(table,
              HasSubstr("| `cache.capacity` | `--capacity SIZE` | `1GiB` | Size of the segment"));
  EXPECT_THAT(table, HasSubstr("`--placement contiguous\\|scattered\\|worst_case`"));
}

// --- The environment

TEST(Environment, EachOptionIsAVariable) {
  for (const Setting& setting : settings()) {
    if (setting.option.empty()) continue;
    const std::string variable =
        fmt::format("{}={}", variable_of(setting.option), setting.show(Configuration{}));
    const std::string wrong = variable_of(setting.option) + "=\x01 /";
    EXPECT_EQ(configured({}, {variable.c_str()}).warnings.size(), 0u) << variable;
    if (setting.type == TomlType::string) continue;  // some take any text
    EXPECT_THAT(usage_refusal({}, {wrong.c_str()}), StartsWith(variable_of(setting.option) + ": "));
  }
  EXPECT_EQ(variable_of("--shm-name"), "HYPERPOD_EMULATOR_SHM_NAME");
}

TEST(CommandLine, AnEmptyValueIsNotTheArgumentThatFollows) {
  EXPECT_THAT(usage_refusal({"--shm-name=", "--placement=scattered"}, {}),
              StartsWith("--shm-name"));
  EXPECT_EQ(configured({"--config=", "--threads=2"}, {}).options.threads, 2u);
}

TEST(Environment, GoesOverTheFileAndUnderTheCommandLine) {
  const TemporaryFile file(
      "[cache]\ncapacity = \"64MiB\"\nblock_size = \"4MiB\"\nshared_memory_name = \"file\"\n");
  const auto configuration =
      configured({"--config", file.path(), "--shm-name", "line"},
                 {"HYPERPOD_EMULATOR_CAPACITY=128MiB", "HYPERPOD_EMULATOR_SHM_NAME=variable"});
  EXPECT_EQ(configuration.options.block_size, 4u << 20);
  EXPECT_EQ(configuration.options.capacity, 128u << 20);
  EXPECT_EQ(configuration.options.shm_name, "line");
}

TEST(Environment, NamesTheFileToo) {
  const TemporaryFile file("[cache]\nshared_memory_name = \"file\"\n");
  const std::string variable = fmt::format("HYPERPOD_EMULATOR_CONFIG={}", file.path());
  EXPECT_EQ(configured({}, {variable.c_str()}).options.shm_name, "file");
  EXPECT_EQ(configured({"--config", fixture("every_key.toml").c_str()}, {variable.c_str()})
                .options.shm_name,
            "ai_toolkit_cache");
}

TEST(Environment, AnEmptyVariableIsNotSet) {
  const auto configuration =
      configured({}, {"HYPERPOD_EMULATOR_CAPACITY=", "HYPERPOD_EMULATOR_CONFIG=",
                      "HYPERPOD_EMULATOR_ADMIN_HOST="});
  EXPECT_EQ(configuration.options.capacity, Options{}.capacity);
}

TEST(Environment, AnErrorNamesTheVariable) {
  EXPECT_THAT(usage_refusal({}, {"HYPERPOD_EMULATOR_CAPACITY=64"}),
              StartsWith("HYPERPOD_EMULATOR_CAPACITY: '64' has no unit"));
  EXPECT_THAT(usage_refusal({}, {"HYPERPOD_EMULATOR_CAPACITY=100KiB"}),
              StartsWith("HYPERPOD_EMULATOR_CAPACITY: the capacity of 100KiB"));
  EXPECT_THAT(usage_refusal({}, {"HYPERPOD_EMULATOR_PREFAULT=1"}),
              StartsWith("HYPERPOD_EMULATOR_PREFAULT: '1' is neither true nor false"));
}

TEST(Environment, AnUnknownVariableIsWarnedAboutUnlessKubernetesMadeIt) {
  EXPECT_THAT(configured({}, {"HYPERPOD_EMULATOR_CAPACTIY=1GiB", "PATH=/bin", "EMPTY"}).warnings,
              ElementsAre("HYPERPOD_EMULATOR_CAPACTIY: there is no such option; did you mean "
                          "HYPERPOD_EMULATOR_CAPACITY? (see --help)"));
  EXPECT_THAT(
      configured({}, {"HYPERPOD_EMULATOR_BOGUS=x", "HYPERPOD_EMULATOR_OPTIONS=--x"}).warnings,
      ElementsAre("HYPERPOD_EMULATOR_BOGUS: there is no such option (see --help)",
                  AllOf(StartsWith("HYPERPOD_EMULATOR_OPTIONS: there is no such option; "),
                        HasSubstr("docker-compose.yml"))));
  EXPECT_THAT(configured({}, {"HYPERPOD_EMULATOR_SERVICE_HOST=10.0.0.1",
                              "HYPERPOD_EMULATOR_SERVICE_PORT_DATA=9200",
                              "HYPERPOD_EMULATOR_PORT=tcp://10.0.0.1:9200",
                              "HYPERPOD_EMULATOR_PORT_9200_TCP_ADDR=10.0.0.1"})
                  .warnings,
              IsEmpty());
}

TEST(AdminHosts, AreAListInEachForm) {
  const auto hosts = [](std::vector<const char*> arguments, std::vector<const char*> environment) {
    return configured(std::move(arguments), std::move(environment)).options.admin_hosts;
  };
  EXPECT_THAT(hosts({}, {}), IsEmpty());
  EXPECT_THAT(hosts({"--admin-host", "emulator", "--admin-host=kv.example"}, {}),
              ElementsAre("emulator", "kv.example"));
  EXPECT_THAT(hosts({}, {"HYPERPOD_EMULATOR_ADMIN_HOST=emulator,kv.example"}),
              ElementsAre("emulator", "kv.example"));
  EXPECT_THAT(hosts({"--admin-host", "emulator"}, {"HYPERPOD_EMULATOR_ADMIN_HOST=kv.example"}),
              ElementsAre("emulator"));
  const auto file = from_toml("[emulator]\nadmin_hosts = [\"emulator\", \"kv.example\"]\n");
  ASSERT_TRUE(file);
  EXPECT_THAT(file->options.admin_hosts, ElementsAre("emulator", "kv.example"));
  EXPECT_THAT(toml_refusal("[emulator]\nadmin_hosts = \"emulator\"\n"),
              AllOf(HasSubstr("must be an array of strings"), HasSubstr("and is a string")));
  EXPECT_THAT(toml_refusal("[emulator]\nadmin_hosts = [1, \"emulator\"]\n"),
              AllOf(HasSubstr("must be an array of strings"), HasSubstr("holds something else")));
  EXPECT_THAT(usage_refusal({"--admin-host", "http://emulator"}),
              HasSubstr("'http://emulator' is not a host name"));
}

TEST(TokenFile, HoldsOneWord) {
  const TemporaryFile good("s3cret-token_=\n");
  EXPECT_EQ(read_token(good.path()).value(), "s3cret-token_=");
  for (const char* wrong : {"", "\n", "two words", "two\nlines\n", "umlaut-\xc3\xa4", "nul-\x01"}) {
    const TemporaryFile file(wrong);
    const auto token = read_token(file.path());
    ASSERT_FALSE(token) << wrong;
    EXPECT_EQ(token.error().code, ErrorCode::invalid_option);
    EXPECT_THAT(token.error().message, StartsWith(file.path()));
  }
  EXPECT_FALSE(read_token("/absent"));
}

// --- The file

TEST(TomlFile, TheSmallestRealDeploymentIsUnderstood) {
  const Configuration configuration = configured({"--config", fixture("smallest.toml").c_str()});
  EXPECT_EQ(configuration.options.listen, "[::]:9200");
  EXPECT_EQ(configuration.options.capacity, 1ull << 30);
  EXPECT_EQ(configuration.options.shm_name, "ai_toolkit_cache");
  EXPECT_THAT(configuration.warnings,
              ElementsAre(AllOf(HasSubstr("smallest.toml:12: transfer.address"),
                                HasSubstr("without effect"))));
}

TEST(TomlFile, TheExampleWithEveryKeyShowsTheDefaults) {
  const std::string path = fixture("every_key.toml");
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  for (const Setting& setting : settings()) {
    const std::string_view name = setting.key.substr(setting.key.rfind('.') + 1);
    EXPECT_THAT(text.str(), HasSubstr(fmt::format("\n{} = ", name))) << setting.key;
  }
  const Configuration configuration = configured({"--config", path.c_str()});
  for (const Setting& setting : settings()) {
    EXPECT_EQ(setting.show(configuration), setting.show(Configuration{})) << setting.key;
  }
  EXPECT_EQ(configuration.warnings.size(), 4u);
}

TEST(TomlFile, AnEmptyFileGivesTheDefaults) {
  const auto configuration = from_toml("");
  ASSERT_TRUE(configuration);
  EXPECT_EQ(configuration->options.listen, Options{}.listen);
  EXPECT_THAT(configuration->warnings, IsEmpty());
}

TEST(TomlFile, OurOwnKeysReachTheirFields) {
  const auto configuration = from_toml(R"(
[emulator]
shm_mode = "0666"
placement = "worst_case"
threads = 3
ready_file = "/tmp/ready"
[emulator.behaviour]
miss_status = 404
accept_chunked = false
default_ttl = "5s"
put_race = "first_begun"
[emulator.limits]
head_bytes = "8KiB"
connections = 10
[emulator.tls]
self_signed_directory = "/tmp/tls"
[log]
level = "debug"
format = "json"
)");
  ASSERT_TRUE(configuration) << configuration.error().message;
  const Options& options = configuration->options;
  EXPECT_EQ(options.shm_mode, mode_t{0666});
  EXPECT_EQ(options.placement, Placement::worst_case);
  EXPECT_EQ(options.threads, 3u);
  EXPECT_EQ(configuration->ready_file, "/tmp/ready");
  EXPECT_EQ(options.behaviour.miss_status, 404);
  EXPECT_FALSE(options.behaviour.accept_chunked);
  EXPECT_EQ(options.behaviour.default_ttl, std::chrono::seconds{5});
  EXPECT_EQ(options.behaviour.put_race, PutRace::first_begun);
  EXPECT_EQ(options.limits.head_bytes, 8192u);
  EXPECT_EQ(options.limits.connections, 10u);
  EXPECT_EQ(options.tls.self_signed_directory, "/tmp/tls");
  EXPECT_EQ(configuration->log.level, base::LogLevel::debug);
  EXPECT_EQ(configuration->log.format, LogFormat::json);
}

TEST(TomlFile, AnUnknownKeyIsNamedWithTheKnownOnes) {
  EXPECT_EQ(toml_refusal("[cache]\n\ncapcity = \"1GiB\"\n"),
            "config.toml:3: cache.capcity: unknown key; known in [cache] are block_size, capacity, "
            "shared_memory_name, ssd");
  EXPECT_EQ(
      toml_refusal("[sever]\naddress = \"[::]:9200\"\n"),
      "config.toml:1: sever: unknown key; known tables are cache, emulator, log, server, transfer");
  EXPECT_THAT(toml_refusal("[[cache.ssd.directory]]\nsize = 1\n"),
              StartsWith("config.toml:2: cache.ssd.directory.size: unknown key"));
  EXPECT_THAT(toml_refusal("[emulator]\nclok = \"manual\"\n"), HasSubstr("unknown key"));
}

TEST(TomlFile, AQuotedKeyIsNoPath) {
  EXPECT_THAT(toml_refusal("\"cache.capacity\" = \"1GiB\"\n"), HasSubstr("unknown key"));
  EXPECT_THAT(toml_refusal("\"a\\nb\" = 1\n"), StartsWith("config.toml:1: a\\nb: unknown key"));
}

TEST(TomlFile, ASizeWithoutUnitIsRefused) {
  EXPECT_EQ(
      toml_refusal("[cache]\ncapacity = 1073741824\n"),
      "config.toml:2: cache.capacity: must be a string with a unit, such as \"64MiB\", and is an "
      "integer");
  EXPECT_THAT(toml_refusal("[cache]\ncapacity = \"1073741824\"\n"),
              AllOf(StartsWith("config.toml:2: cache.capacity: "), HasSubstr("has no unit")));
}

TEST(TomlFile, AWrongTypeIsNamedWithTheRightOne) {
  EXPECT_THAT(toml_refusal("[server]\naddress = 9200\n"),
              AllOf(StartsWith("config.toml:2: server.address: must be a string"),
                    HasSubstr("is an integer")));
  EXPECT_THAT(toml_refusal("[emulator]\nshm_mode = 600\n"), HasSubstr("such as \"0600\""));
  EXPECT_THAT(toml_refusal("[emulator]\nprefault = \"true\"\n"), HasSubstr("without quotes"));
  EXPECT_THAT(toml_refusal("[emulator]\nthreads = 1.5\n"), HasSubstr("is a floating-point number"));
  EXPECT_THAT(toml_refusal("[emulator.behaviour]\ndefault_ttl = 30\n"),
              HasSubstr("such as \"30s\""));
  EXPECT_THAT(toml_refusal("[cache]\ncapacity = [\"1GiB\"]\n"), HasSubstr("is an array"));
  EXPECT_THAT(toml_refusal("[cache.capacity]\nx = 1\n"), HasSubstr("is a table"));
  EXPECT_THAT(toml_refusal("cache = \"1GiB\"\n"),
              StartsWith("config.toml:1: cache: must be a table [cache] and is a string"));
  EXPECT_THAT(toml_refusal("[[cache]]\ncapacity = \"1GiB\"\n"), HasSubstr("must be a table"));
  EXPECT_THAT(toml_refusal("[cache.ssd.directory]\npath = \"/x\"\n"),
              HasSubstr("write [[cache.ssd.directory]]"));
  EXPECT_THAT(toml_refusal("cache.ssd.directory = [1]\n"),
              HasSubstr("write [[cache.ssd.directory]]"));
  EXPECT_THAT(toml_refusal("[log]\nlevel = 1979-05-27\n"), HasSubstr("is a date or time"));
}

TEST(TomlFile, AnUnknownWordIsNamedWithTheKnownOnes) {
  EXPECT_EQ(toml_refusal("[emulator]\nplacement = \"random\"\n"),
            "config.toml:2: emulator.placement: 'random' is unknown; take one of "
            "contiguous|scattered|worst_case");
}

TEST(TomlFile, NumbersOutOfRangeAreRefused) {
  EXPECT_THAT(toml_refusal("[emulator]\nthreads = -1\n"), HasSubstr("take 0 to 4294967295"));
  EXPECT_THAT(toml_refusal("[emulator]\njournal_entries = -1\n"),
              HasSubstr("take 0 to 9223372036854775807"));
  EXPECT_THAT(toml_refusal("[emulator.limits]\nheaders = 4294967296\n"), HasSubstr("out of range"));
  EXPECT_THAT(toml_refusal("[emulator.limits]\nhead_bytes = \"4GiB\"\n"),
              HasSubstr("out of range"));
  EXPECT_THAT(toml_refusal("[emulator.behaviour]\nmiss_status = 200\n"),
              AllOf(StartsWith("config.toml:2: emulator.behaviour.miss_status: "),
                    HasSubstr("400 to 599")));
}

TEST(TomlFile, OptionsThatDoNotGoTogetherNameTheLineThatSetOne) {
  EXPECT_THAT(toml_refusal("[cache]\ncapacity = \"100MiB\"\nblock_size = \"64MiB\"\n"),
              AllOf(StartsWith("config.toml:2: cache.capacity: "),
                    HasSubstr("take a capacity of 64MiB or 128MiB")));
  EXPECT_THAT(toml_refusal("[cache]\nblock_size = \"3MiB\"\n"),
              StartsWith("config.toml:2: cache.block_size: "));
  EXPECT_THAT(toml_refusal("[emulator.tls]\nkey_file = \"k\"\n"),
              StartsWith("config.toml:2: emulator.tls.key_file: the key has no certificate"));
  EXPECT_THAT(toml_refusal("[emulator.tls]\nkey_file = \"k\"\ncertificate_file = \"c\"\n"
                           "self_signed_directory = \"d\"\n"),
              StartsWith("config.toml:4: emulator.tls.self_signed_directory: "));
}

TEST(TomlFile, WhatHasNoEffectIsCheckedAllTheSame) {
  EXPECT_THAT(toml_refusal("[transfer]\naddress = \"nowhere\"\n"),
              StartsWith("config.toml:2: transfer.address: "));
  EXPECT_THAT(toml_refusal("[[cache.ssd.directory]]\nshard_size = \"64MB\"\n"),
              StartsWith("config.toml:2: cache.ssd.directory.shard_size: "));
}

TEST(TomlFile, EachDirectoryOfTheSecondTierIsRead) {
  EXPECT_THAT(
      toml_refusal("[[cache.ssd.directory]]\npath = \"/a\"\n[[cache.ssd.directory]]\npath = 3\n"),
      StartsWith("config.toml:4: "));
}

TEST(TomlFile, BrokenTomlIsNamedWithItsLine) {
  EXPECT_THAT(toml_refusal("[cache]\ncapacity = \n"), StartsWith("config.toml:2: "));
  EXPECT_THAT(toml_refusal("[cache\n"), StartsWith("config.toml:1: "));
  EXPECT_THAT(toml_refusal("[cache]\ncapacity = \"1GiB\"\ncapacity = \"2GiB\"\n"),
              StartsWith("config.toml:3: "));
  EXPECT_THAT(toml_refusal("\xff\xfe"), StartsWith("config.toml:1: "));
}

TEST(TomlFile, AFileThatCannotBeReadIsNamed) {
  EXPECT_THAT(usage_refusal({"--config", "/nonexistent/config.toml"}),
              AllOf(StartsWith("/nonexistent/config.toml: "), HasSubstr("No such file")));
  EXPECT_THAT(usage_refusal({"--config", "/"}), AllOf(StartsWith("/: "), HasSubstr("directory")));
  EXPECT_THAT(usage_refusal({"--config", "/dev/zero"}), HasSubstr("larger than 1MiB"));
}

// --- The command line

TEST(CommandLine, WithoutArgumentsGivesTheDefaults) {
  const Configuration configuration = configured({});
  for (const Setting& setting : settings()) {
    EXPECT_EQ(setting.show(configuration), setting.show(Configuration{})) << setting.key;
  }
}

TEST(CommandLine, GoesOverTheFileAndTheFileOverTheDefaults) {
  const TemporaryFile file("[cache]\ncapacity = \"128MiB\"\nblock_size = \"2MiB\"\n");
  const Configuration configuration = configured({"--capacity", "64MiB", "--config", file.path()});
  EXPECT_EQ(configuration.options.capacity, 64ull << 20);
  EXPECT_EQ(configuration.options.block_size, 2ull << 20);
  EXPECT_EQ(configuration.options.shm_name, Options{}.shm_name);
}

TEST(CommandLine, TheContractsOptionsAreUnderstood) {
  const Configuration configuration = configured({"--listen",
                                                  "127.0.0.1:0",
                                                  "--admin",
                                                  "off",
                                                  "--scenario",
                                                  "s.yaml",
                                                  "--clock",
                                                  "manual",
                                                  "--journal-entries",
                                                  "5",
                                                  "--shm-name",
                                                  "x",
                                                  "--capacity",
                                                  "64MiB",
                                                  "--block-size=1MiB",
                                                  "--shm-mode",
                                                  "0640",
                                                  "--ready-file",
                                                  "/tmp/r",
                                                  "--tls-cert",
                                                  "c",
                                                  "--tls-key",
                                                  "k",
                                                  "--log-level",
                                                  "warn",
                                                  "--log-format",
                                                  "json",
                                                  "--replace-segment",
                                                  "--accept-chunked=false"});
  const Options& options = configuration.options;
  EXPECT_EQ(options.listen, "127.0.0.1:0");
  EXPECT_EQ(options.admin, "");
  EXPECT_EQ(configuration.scenario, "s.yaml");
  EXPECT_EQ(configuration.clock, ClockKind::manual);
  EXPECT_EQ(options.journal_entries, 5u);
  EXPECT_EQ(options.shm_name, "x");
  EXPECT_EQ(options.capacity, 64ull << 20);
  EXPECT_EQ(options.block_size, 1ull << 20);
  EXPECT_EQ(options.shm_mode, mode_t{0640});
  EXPECT_EQ(configuration.ready_file, "/tmp/r");
  EXPECT_EQ(options.tls.certificate_file, "c");
  EXPECT_EQ(options.tls.key_file, "k");
  EXPECT_EQ(configuration.log.level, base::LogLevel::warn);
  EXPECT_EQ(configuration.log.format, LogFormat::json);
  EXPECT_TRUE(options.replace_segment);
  EXPECT_FALSE(options.behaviour.accept_chunked);
}

TEST(CommandLine, TheLastOfARepeatedOptionCounts) {
  EXPECT_EQ(configured({"--shm-name", "a", "--shm-name", "b"}).options.shm_name, "b");
  EXPECT_FALSE(configured({"--prefault", "--prefault=false"}).options.prefault);
}

TEST(CommandLine, AnEmptyValueTakesBackWhatTheFileSays) {
  const TemporaryFile file("[emulator.tls]\nself_signed_directory = \"d\"\n");
  EXPECT_EQ(configured({"--config", file.path(), "--tls-self-signed", ""})
                .options.tls.self_signed_directory,
            "");
}

TEST(CommandLine, RefusalsNameTheOption) {
  EXPECT_THAT(usage_refusal({"--capacity", "64"}),
              AllOf(StartsWith("--capacity: "), HasSubstr("has no unit")));
  EXPECT_THAT(usage_refusal({"--admin", "9201"}), StartsWith("--admin: '9201' names no host"));
  EXPECT_THAT(usage_refusal({"--clock", "fast"}),
              AllOf(StartsWith("--clock: "), HasSubstr("real|manual")));
  EXPECT_THAT(usage_refusal({"--journal-entries", "10000001"}), StartsWith("--journal-entries: "));
  EXPECT_THAT(usage_refusal({"--shm-mode", "0900"}),
              StartsWith("--shm-mode: '0900' is not an octal number"));
  EXPECT_THAT(usage_refusal({"--prefault=maybe"}), StartsWith("--prefault: "));
  EXPECT_THAT(usage_refusal({"--threads", "many"}), StartsWith("--threads: "));
  EXPECT_THAT(usage_refusal({"--log-level", "loud"}), StartsWith("--log-level: "));
  EXPECT_THAT(usage_refusal({"--admin="}), AllOf(StartsWith("--admin: "), HasSubstr("or off")));
  EXPECT_THAT(toml_refusal("[emulator]\nadmin = \"\"\n"), HasSubstr("or off"));
  EXPECT_THAT(usage_refusal({"--tls-cert", "c"}),
              StartsWith("--tls-cert: the certificate has no key"));
  EXPECT_THAT(usage_refusal({"--capacity", "100MiB", "--block-size", "64MiB"}),
              StartsWith("--capacity: "));
}

TEST(CommandLine, WhatIsNoOptionIsRefusedInOneLine) {
  EXPECT_THAT(usage_refusal({"--bogus"}), AllOf(HasSubstr("--bogus"), HasSubstr("see --help")));
  EXPECT_EQ(usage_refusal({"--capcity=1GiB"}),
            "there is no option --capcity; did you mean --capacity? (see --help)");
  EXPECT_THAT(usage_refusal({"serve"}), HasSubstr("'serve'"));
  EXPECT_THAT(usage_refusal({"positional"}), HasSubstr("positional"));
  EXPECT_THAT(usage_refusal({"--capacity"}), HasSubstr("--capacity"));
  for (const std::vector<const char*>& flag :
       {std::vector{"--prefault", "false"}, {"--prefault="}, {"--clock=real", "--prefault", "x"}}) {
    EXPECT_EQ(usage_refusal(flag),
              "--prefault: its value goes behind '='; write --prefault=true or --prefault=false "
              "(see --help)");
  }
  EXPECT_THAT(usage_refusal({"--list-options", "html"}), HasSubstr("--list-options"));
  EXPECT_THAT(usage_refusal({"--a\nb"}), Not(StartsWith("accepted")));
  EXPECT_THAT(usage_refusal({"--clock", "sundial"}), HasSubstr("--clock"));
}

TEST(CommandLine, HelpNamesEveryOptionAndDefault) {
  const std::string help = printed({"--help"});
  for (const Setting& setting : settings())
    EXPECT_THAT(help, HasSubstr(std::string(setting.option)));
  EXPECT_THAT(help, HasSubstr("[ai_toolkit_cache]"));
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 130u) << line;
}

TEST(CommandLine, VersionIsPrinted) {
  EXPECT_THAT(printed({"--version"}),
              testing::MatchesRegex("hyperpod-emulator [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace hyperpod::emulator::config
