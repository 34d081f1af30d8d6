// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>

namespace hyperpod::client::config_test {
namespace {

using namespace std::chrono_literals;

Environment variables(std::map<std::string, std::string> values) {
  return [values](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

ClientOptions parsed(const std::string& yaml) {
  const auto loaded = parse_options(yaml, "test.yaml");
  if (!loaded) {
    ADD_FAILURE() << loaded.error().message;
    return {};
  }
  EXPECT_TRUE(loaded->warnings.empty()) << loaded->warnings.front();
  return loaded->options;
}

ClientOptions with_extra(const std::string& line) { return parsed("extra_config:\n  " + line); }

std::string problem(const std::string& yaml) {
  const auto loaded = parse_options(yaml, "test.yaml");
  if (loaded) {
    ADD_FAILURE() << "accepted: " << yaml;
    return {};
  }
  EXPECT_EQ(loaded.error().code, ErrorCode::invalid_option);
  return loaded.error().message;
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(testing::TempDir() + "hyperpod_config_test_" + std::to_string(getpid()) + ".yaml") {
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Config, ReadsTheFileOfTheDocumentation) {
  const auto options = parsed(
      "chunk_size: 256\nlocal_cpu: True\nmax_local_cpu_size: 5\n"
      "remote_url: \"sagemaker-hyperpod://$NODE_IP:9200\"\n");
  EXPECT_EQ(options.remote_url, "sagemaker-hyperpod://$NODE_IP:9200");
  EXPECT_EQ(options.bucket, "lmcache");
  EXPECT_EQ(options.shared_memory_name, "shared_memory");
  EXPECT_EQ(options.max_concurrent_requests, 100u);
  EXPECT_EQ(options.max_connections, 256u);
  EXPECT_EQ(options.max_connections_per_host, 128u);
  EXPECT_EQ(options.timeout, 5000ms);
  EXPECT_EQ(options.lease_ttl, 30s);
  EXPECT_EQ(options.put_stream_chunk_bytes, 65536u);
  EXPECT_FALSE(options.use_https);
  EXPECT_TRUE(options.save_chunk_meta);
  EXPECT_FALSE(options.max_lease_bytes);
  EXPECT_FALSE(options.lease_wait_timeout);
}

TEST(Config, ReadsEveryParameter) {
  const auto options = parsed(R"(
remote_url: sagemaker-hyperpod://h:9200
extra_config:
  sagemaker_hyperpod_bucket: prod
  sagemaker_hyperpod_shared_memory_name: ai_toolkit_cache
  sagemaker_hyperpod_max_concurrent_requests: 7
  sagemaker_hyperpod_max_connections: 8
  sagemaker_hyperpod_max_connections_per_host: 9
  sagemaker_hyperpod_timeout_ms: 2500
  sagemaker_hyperpod_lease_wait_timeout_ms: 1000
  sagemaker_hyperpod_lease_ttl_s: 12.5
  sagemaker_hyperpod_put_stream_chunk_bytes: 1048576
  sagemaker_hyperpod_max_lease_size_mb: 0.5
  sagemaker_hyperpod_use_https: true
  sagemaker_hyperpod_tls_ca_file: /etc/ca.pem
  sagemaker_hyperpod_tls_verify: no
  save_chunk_meta: False
  remote_storage_plugins: [a, b]
)");
  EXPECT_EQ(options.bucket, "prod");
  EXPECT_EQ(options.shared_memory_name, "ai_toolkit_cache");
  EXPECT_EQ(options.max_concurrent_requests, 7u);
  EXPECT_EQ(options.max_connections, 8u);
  EXPECT_EQ(options.max_connections_per_host, 9u);
  EXPECT_EQ(options.timeout, 2500ms);
  EXPECT_EQ(options.lease_wait_timeout, 1000ms);
  EXPECT_EQ(options.lease_ttl, 12500ms);
  EXPECT_EQ(options.put_stream_chunk_bytes, 1048576u);
  EXPECT_EQ(options.max_lease_bytes, 524288u);
  EXPECT_TRUE(options.use_https);
  EXPECT_EQ(options.tls.ca_file, "/etc/ca.pem");
  EXPECT_FALSE(options.tls.verify_server);
  EXPECT_FALSE(options.save_chunk_meta);
}

TEST(Config, DisablesSharedMemoryForEverySpellingOfNone) {
  for (const char* none : {"None", "null", "~", "", "\"\"", "\"None\""}) {
    EXPECT_EQ(with_extra(std::string("sagemaker_hyperpod_shared_memory_name: ") + none)
                  .shared_memory_name,
              std::nullopt)
        << none;
  }
}

TEST(Config, TakesASegmentNameWithALeadingSlash) {
  EXPECT_EQ(with_extra("sagemaker_hyperpod_shared_memory_name: /cache").shared_memory_name,
            "cache");
}

TEST(Config, TakesNumbersInQuotesAndCutsDecimalsOff) {
  EXPECT_EQ(with_extra("sagemaker_hyperpod_timeout_ms: '750'").timeout, 750ms);
  EXPECT_EQ(with_extra("sagemaker_hyperpod_timeout_ms: 750.9").timeout, 750ms);
  EXPECT_EQ(with_extra("sagemaker_hyperpod_bucket: 7").bucket, "7");
}

TEST(Config, RefusesZeroNegativeAndNonNumericValuesAndNamesTheKey) {
  for (const char* name :
       {"max_concurrent_requests", "max_connections", "max_connections_per_host", "timeout_ms",
        "lease_wait_timeout_ms", "lease_ttl_s", "put_stream_chunk_bytes", "max_lease_size_mb"}) {
    for (const char* value : {"0", "-1", "-0.5", "many", "'5 s'", "[1]", "{}", ".nan", "-.inf",
                              "''", "'1_'", "2001-12-14"}) {
      const auto key = std::string("sagemaker_hyperpod_") + name;
      const auto message = problem("extra_config:\n  " + key + ": " + value);
      EXPECT_NE(message.find(key), std::string::npos) << message;
      EXPECT_NE(message.find("test.yaml"), std::string::npos) << message;
    }
  }
}

TEST(Config, RefusesNothingWhereANumberIsNeeded) {
  for (const char* name : {"max_connections", "timeout_ms", "lease_ttl_s"}) {
    problem("extra_config: {sagemaker_hyperpod_" + std::string(name) + ": null}");
  }
  EXPECT_FALSE(with_extra("sagemaker_hyperpod_max_lease_size_mb: null").max_lease_bytes)
      << "no limit";
}

TEST(Config, TakesTextForDecimalsAndOnlyWholeNumbersForCounts) {
  EXPECT_EQ(with_extra("sagemaker_hyperpod_lease_ttl_s: 1e2").lease_ttl, 100s);
  problem("extra_config: {sagemaker_hyperpod_timeout_ms: 1e3}");
  problem("extra_config: {sagemaker_hyperpod_timeout_ms: '750.9'}");
}

TEST(Config, LowersWhatIsMoreThanThereCanBe) {
  const auto loaded = parse_options(
      "extra_config: {sagemaker_hyperpod_lease_ttl_s: inf, sagemaker_hyperpod_timeout_ms: "
      "10000000000000,"
      "sagemaker_hyperpod_max_connections: 99999999999}",
      "f");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->warnings.size(), 3u);
  EXPECT_EQ(loaded->options.lease_ttl, 365 * 24h);
  EXPECT_EQ(loaded->options.timeout, 365 * 24h);
  EXPECT_EQ(loaded->options.max_connections, 4294967295u);
  ClientOptions options = loaded->options;
  EXPECT_TRUE(normalise(options));
}

TEST(Config, SaysThatTheTextFalseIsTrue) {
  const auto loaded = parse_options("extra_config: {sagemaker_hyperpod_use_https: 'False'}", "f");
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->options.use_https);
  ASSERT_EQ(loaded->warnings.size(), 1u);
  EXPECT_NE(loaded->warnings[0].find("without quotes"), std::string::npos);
}

TEST(Config, NamesTheLineOfWhatCannotBeRead) {
  EXPECT_NE(problem("a: 1\nb: [\n").find("line "), std::string::npos);
  EXPECT_NE(problem("a: 1\nb: =\n").find("line 2"), std::string::npos);
  EXPECT_NE(problem("a: 1\nb: {<<: 7}\n").find("line 2"), std::string::npos);
  EXPECT_NE(problem("a: 1\n---\nb: 1\n").find("line 2"), std::string::npos);
}

TEST(Config, RefusesNestingAndMergesWithoutEnd) {
  EXPECT_NE(problem(std::string(5000, '[')).find("deeper"), std::string::npos);
  std::string yaml = "m0: &m0 {a: 1, b: 2}\n";
  for (int i = 1; i < 40; ++i) {
    const std::string before = "*m" + std::to_string(i - 1);
    const std::string name = "m" + std::to_string(i);
    yaml += name + ": &" + name + " {<<: [" + before + ", " + before + "]}\n";
  }
  EXPECT_NE(problem(yaml).find("merges"), std::string::npos);
}

TEST(Config, LeavesValuesBelowTheirMinimumToNormalise) {
  auto options = with_extra("sagemaker_hyperpod_timeout_ms: 50");
  EXPECT_EQ(options.timeout, 50ms);
  const auto warnings = normalise(options);
  ASSERT_TRUE(warnings);
  EXPECT_EQ(warnings->size(), 1u);
  EXPECT_EQ(options.timeout, 100ms);
}

TEST(Config, WarnsOfUnknownKeysWithOurPrefix) {
  const auto loaded = parse_options("extra_config: {sagemaker_hyperpod_buket: b}", "f");
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->warnings.size(), 1u);
  EXPECT_NE(loaded->warnings[0].find("sagemaker_hyperpod_buket"), std::string::npos);
}

TEST(Config, WarnsOfKeysWithOurPrefixOutsideExtraConfig) {
  const auto loaded = parse_options("sagemaker_hyperpod_bucket: mine\nchunk_size: 256\n", "f.yaml");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->options.bucket, ClientOptions{}.bucket);
  ASSERT_EQ(loaded->warnings.size(), 1u);
  EXPECT_EQ(loaded->warnings[0],
            "f.yaml has sagemaker_hyperpod_bucket outside extra_config, where LMCache ignores it, "
            "and so does this; move it there");
}

TEST(Config, RefusesWhatIsNoConfiguration) {
  for (const char* yaml : {"- a", "just text", "a: [", "remote_url: [a]", "extra_config: 7",
                           "extra_config: [1]", "extra_config: '[1]'", "extra_config: true",
                           "extra_config: {sagemaker_hyperpod_bucket: [b]}", "&a [*a, *b]",
                           "a: 1\n---\nb: 2\n", "a: \xff\n"}) {
    problem(yaml);
  }
}

TEST(Config, TakesAnEmptyFileAndAnExtraConfigInJson) {
  EXPECT_EQ(parsed("").bucket, "lmcache");
  EXPECT_EQ(parsed("extra_config:").bucket, "lmcache");
  EXPECT_EQ(parsed(R"(extra_config: '{"sagemaker_hyperpod_bucket": "j"}')").bucket, "j");
}

TEST(Config, LetsTheEnvironmentWinOverTheFile) {
  const TemporaryFile file(
      "remote_url: from-file:1\n"
      "extra_config: {sagemaker_hyperpod_bucket: from_file, sagemaker_hyperpod_timeout_ms: 700}\n");
  const auto from_file = load_options({}, variables({{"LMCACHE_CONFIG_FILE", file.path()}}));
  ASSERT_TRUE(from_file) << from_file.error().message;
  EXPECT_EQ(from_file->options.remote_url, "from-file:1");
  EXPECT_EQ(from_file->options.bucket, "from_file");

  const auto from_both = load_options(
      {}, variables({{"LMCACHE_CONFIG_FILE", file.path()},
                     {"LMCACHE_REMOTE_URL", "'from-env:2'"},
                     {"LMCACHE_EXTRA_CONFIG", R"({"sagemaker_hyperpod_bucket": "from_env"})"}}));
  ASSERT_TRUE(from_both) << from_both.error().message;
  EXPECT_EQ(from_both->options.remote_url, "from-env:2");
  EXPECT_EQ(from_both->options.bucket, "from_env");
  EXPECT_EQ(from_both->options.timeout, 5000ms) << "extra_config is replaced as a whole";
}

TEST(Config, PrefersTheFileHandedInOverTheVariable) {
  const TemporaryFile file("remote_url: handed-in:1");
  const auto loaded = load_options(file.path(), variables({{"LMCACHE_CONFIG_FILE", "/nowhere"}}));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->options.remote_url, "handed-in:1");
}

TEST(Config, NamesAFileThatCannotBeRead) {
  const auto loaded = load_options("/nowhere/lmcache.yaml", variables({}));
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("/nowhere/lmcache.yaml"), std::string::npos);
  EXPECT_FALSE(load_options("/", variables({})));
}

TEST(Config, NamesAVariableThatIsNotAJsonObject) {
  for (const char* value : {"[]", "7", R"({"sagemaker_hyperpod_timeout_ms": 0})"}) {
    const auto loaded = load_options({}, variables({{"LMCACHE_EXTRA_CONFIG", value}}));
    ASSERT_FALSE(loaded) << value;
    EXPECT_NE(loaded.error().message.find("LMCACHE_EXTRA_CONFIG"), std::string::npos);
  }
}

// LMCache keeps what the file says then, and logs a warning.
TEST(Config, IgnoresAVariableThatIsNotJsonWithAWarning) {
  const TemporaryFile file("extra_config: {sagemaker_hyperpod_bucket: from_file}\n");
  const auto loaded = load_options(file.path(), variables({{"LMCACHE_EXTRA_CONFIG", "{'a': 1}"}}));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->options.bucket, "from_file");
  ASSERT_EQ(loaded->warnings.size(), 1u);
  EXPECT_NE(loaded->warnings[0].find("LMCACHE_EXTRA_CONFIG"), std::string::npos);
}

TEST(Config, TakesAnEmptyVariableAsNotSet) {
  const TemporaryFile file(
      "remote_url: from-file:1\nextra_config: {sagemaker_hyperpod_bucket: from_file}\n");
  for (const char* empty : {"", " ", "\t\n", "''", "\"\""}) {
    const auto loaded = load_options(file.path(), variables({{"LMCACHE_REMOTE_URL", empty},
                                                             {"LMCACHE_EXTRA_CONFIG", empty},
                                                             {"LMCACHE_USE_LAYERWISE", empty}}));
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->options.remote_url, "from-file:1");
    EXPECT_EQ(loaded->options.bucket, "from_file");
    EXPECT_TRUE(loaded->warnings.empty());
  }
  EXPECT_TRUE(load_options({}, variables({{"LMCACHE_CONFIG_FILE", ""}})));
}

TEST(Config, TakesWhiteSpaceAndQuotesOffVariables) {
  const auto loaded = load_options(
      {}, variables({{"LMCACHE_REMOTE_URL", " 'h:9200'\n"},
                     {"LMCACHE_EXTRA_CONFIG", R"("{\"sagemaker_hyperpod_bucket\": \"b\"}")"}}));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->options.remote_url, "h:9200");
  EXPECT_EQ(loaded->options.bucket, "b");
}

TEST(Config, SaysWhyAQuotedFileNameIsNotFound) {
  const auto loaded = load_options({}, variables({{"LMCACHE_CONFIG_FILE", "'/nowhere.yaml'"}}));
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("has quotes"), std::string::npos);
}

TEST(Config, KeepsChunkMetadataLayerByLayer) {
  constexpr const char* without = "extra_config: {save_chunk_meta: false}\n";
  EXPECT_FALSE(parsed(without).save_chunk_meta);
  EXPECT_TRUE(parsed(without + std::string("use_layerwise: true")).save_chunk_meta);
  const TemporaryFile file(without);
  const auto loaded = load_options(file.path(), variables({{"LMCACHE_USE_LAYERWISE", "True"}}));
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->options.save_chunk_meta);
}

TEST(Options, RaisesWhatIsBelowItsMinimumWithAWarning) {
  ClientOptions options;
  options.timeout = 99ms;
  options.put_stream_chunk_bytes = 1023;
  const auto warnings = normalise(options);
  ASSERT_TRUE(warnings);
  EXPECT_EQ(warnings->size(), 2u);
  EXPECT_EQ(options.timeout, 100ms);
  EXPECT_EQ(options.put_stream_chunk_bytes, 1024u);
  EXPECT_TRUE(normalise(options)->empty());
}

TEST(Options, RefusesWhatCannotBeMeant) {
  const auto refuses = [](auto change) {
    ClientOptions options;
    change(options);
    const auto result = normalise(options);
    return !result && result.error().code == ErrorCode::invalid_option;
  };
  EXPECT_FALSE(refuses([](ClientOptions&) {}));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.bucket = ""; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.shared_memory_name = ""; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.shared_memory_name = "a/b"; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.shared_memory_name = ".."; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.shared_memory_name = std::string(256, 'x'); }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.max_concurrent_requests = 0; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.max_connections = 0; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.max_connections_per_host = 0; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.timeout = 0ms; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.timeout = -1ms; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.timeout = std::chrono::milliseconds::max(); }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.lease_wait_timeout = 0ms; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.lease_ttl = 0ns; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.put_stream_chunk_bytes = 0; }));
  EXPECT_TRUE(refuses([](ClientOptions& o) { o.max_lease_bytes = 0; }));
}

}  // namespace
}  // namespace hyperpod::client::config_test
