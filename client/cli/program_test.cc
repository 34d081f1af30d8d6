// SPDX-License-Identifier: Apache-2.0
// hyperpod-kv as its users run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "testing/process.h"
#include "testing/scripted_server.h"
#include "testing/test_segment.h"
#include "transport/placement.h"

namespace hyperpod::client::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StandaloneEmulator;

struct Ended {
  int code;
  std::string output;
  std::string errors;
};

class ProgramTest : public ::testing::Test {
 protected:
  // Runs hyperpod-kv against the emulator.
  Ended run(std::vector<std::string> arguments, const std::string& input = {}) {
    arguments.insert(arguments.begin(), {"--url", emulator_.url(), "--shm-name", shm_name_});
    return run_anywhere(std::move(arguments), input);
  }

  // Runs it as on a terminal, whose output and errors come together.
  Ended run_on_terminal(const std::string& arguments, const std::string& variable = "A=b") {
    const std::string command = "env -u NO_COLOR TERM=xterm " + variable + " " +
                                testing::program("hyperpod-kv") + " --url " + emulator_.url() +
                                " --shm-name " + shm_name_ + " " + arguments;
    auto process = testing::start({"/usr/bin/script", "-qec", command, "/dev/null"});
    const int code = process.wait();
    return {code, process.output(), process.errors()};
  }

  // Runs it with what a shell puts behind the command line.
  Ended run_in_shell(const std::string& arguments) {
    const std::string command = "exec " + testing::program("hyperpod-kv") + " --url " +
                                emulator_.url() + " --shm-name " + shm_name_ + " " + arguments;
    auto process = testing::start({"/bin/sh", "-c", command});
    const int code = process.wait();
    return {code, process.output(), process.errors()};
  }

  static Ended run_anywhere(std::vector<std::string> arguments, const std::string& input = {},
                            const std::vector<std::string>& environment = {}) {
    arguments.insert(arguments.begin(), testing::program("hyperpod-kv"));
    auto process = testing::start(std::move(arguments), input, environment);
    const int code = process.wait();
    return {code, process.output(), process.errors()};
  }

  const std::string shm_name_ = StandaloneEmulator::unique_name("program");
  StandaloneEmulator emulator_{shm_name_, "64MiB"};
};

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(::testing::TempDir() + testing::TestSegment::unique_name("file")) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }
  std::string text() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string path_;
};

std::string binary(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 >> 3);
  return text;
}

TEST_F(ProgramTest, StoresAFileAndWritesItBack) {
  const TemporaryFile source(binary(300'000));
  const TemporaryFile target("");
  const auto put = run({"put", "org/model@1", source.path()});
  EXPECT_EQ(put.code, 0) << put.errors;
  EXPECT_EQ(put.output, "stored\n");
  EXPECT_EQ(run({"put", "org/model@1", source.path()}).output, "already stored\n");
  const auto got = run({"get", "org/model@1", target.path()});
  EXPECT_EQ(got.code, 0) << got.errors;
  EXPECT_TRUE(target.text() == binary(300'000)) << "other bytes";
}

TEST_F(ProgramTest, LeavesAFileAsItWasWhereItCannotWriteAllOfTheObject) {
  ASSERT_EQ(run({"put", "key", "-"}, binary(300'000)).code, 0);
  const std::string directory = ::testing::TempDir() + testing::TestSegment::unique_name("full");
  ASSERT_TRUE(std::filesystem::create_directory(directory));
  const std::string path = directory + "/file";
  std::ofstream(path) << "precious";
  const std::string get = testing::program("hyperpod-kv") + " --url " + emulator_.url() +
                          " --shm-name " + shm_name_ + " get key " + path;
  auto process = testing::start({"/bin/sh", "-c", "ulimit -f 100; exec " + get});
  EXPECT_EQ(process.wait(), 2);
  EXPECT_THAT(process.errors(), HasSubstr("File too large"));
  std::string text;
  std::getline(std::ifstream(path), text);
  EXPECT_EQ(text, "precious");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1) << "files";
  std::filesystem::remove_all(directory);
}

TEST_F(ProgramTest, ASignalLeavesNoUnfinishedFile) {
  ASSERT_EQ(run({"put", "key", "-"}, binary(48 << 20)).code, 0);
  const std::string directory = ::testing::TempDir() + testing::TestSegment::unique_name("signal");
  const auto has_part = [&] {
    return std::ranges::any_of(std::filesystem::directory_iterator(directory), [](const auto& e) {
      return e.path().filename().string().find(".part-") != std::string::npos;
    });
  };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    bool met = false;  // it may be too quick to be met while it writes
    for (int attempt = 0; attempt < 50 && !met; ++attempt) {
      ASSERT_TRUE(std::filesystem::create_directory(directory));
      auto process = testing::start({testing::program("hyperpod-kv"), "--url", emulator_.url(),
                                     "--shm-name", shm_name_, "get", "key", directory + "/file"});
      const auto deadline = std::chrono::steady_clock::now() + 60s;
      while (std::filesystem::is_empty(directory)) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no file is begun";
        std::this_thread::yield();
      }
      process.signal(SIGSTOP);
      met = has_part();
      process.signal(signal);
      process.signal(SIGCONT);
      const int code = process.wait();
      if (met) {
        EXPECT_EQ(code, -signal);
        EXPECT_EQ(process.errors(), "");
      }
      EXPECT_FALSE(has_part()) << "signal " << signal;
      std::filesystem::remove_all(directory);
    }
    EXPECT_TRUE(met);
  }
}

TEST_F(ProgramTest, WritesToWhatIsNoRegularFile) {
  ASSERT_EQ(run({"put", "key", "-"}, "bytes").code, 0);
  const auto got = run({"get", "key", "/dev/stdout"});
  EXPECT_EQ(got.code, 0) << got.errors;
  EXPECT_EQ(got.output, "bytes");
}

TEST_F(ProgramTest, SaysThatItsOutputCannotBeWritten) {
  run({"put", "key", "-"}, "x");
  for (const char* command :
       {"exists key", "--wait-ms 0 exists absent", "get key", "get key -", "put other /etc/passwd",
        "doctor --json", "doctor", "bench --size 4KiB --duration 10ms", "--help", "--version",
        "checkpoint namespaces r --num-ranks 1 --steps-retained 1"}) {
    const auto full = run_in_shell(std::string(command) + " >/dev/full");
    EXPECT_EQ(full.code, 2) << command;
    EXPECT_THAT(full.errors, HasSubstr("hyperpod-kv: cannot write to standard output: No space "
                                       "left on device\n"))
        << command;
  }
  const auto closed = run_in_shell("exists key >&-");
  EXPECT_EQ(closed.code, 2);
  EXPECT_THAT(closed.errors, HasSubstr("cannot write to standard output: Bad file descriptor"));
}

TEST_F(ProgramTest, TellsWhyTheDaemonRefuses) {
  const std::string shm_name = StandaloneEmulator::unique_name("small");
  const StandaloneEmulator small(shm_name, "1MiB");
  const auto put = run_anywhere({"--url", small.url(), "put", "key", "-"}, binary(2 << 20));
  EXPECT_EQ(put.code, 3);
  EXPECT_THAT(put.errors, HasSubstr("status 413, it is larger than the daemon's whole cache"));
}

TEST_F(ProgramTest, SaysThatAnEmptyFileIsNoObjectBeforeItAsks) {
  emulator_.kill(SIGTERM);
  ASSERT_EQ(emulator_.wait(), 0);
  const TemporaryFile file("");
  const auto put = run({"put", "key", file.path()});
  EXPECT_EQ(put.code, 2);
  EXPECT_EQ(put.errors,
            "hyperpod-kv: an object has at least one byte; '" + file.path() + "' is empty\n");
  EXPECT_THAT(run({"put", "key", "-"}).errors, HasSubstr("; standard input is empty\n"));
}

TEST_F(ProgramTest, ReadsNoFileIntoMemoryThatCannotBeAnObject) {
  const TemporaryFile sparse("x");
  std::filesystem::resize_file(sparse.path(), (64ull << 30) + 1);
  const auto file = run({"put", "key", sparse.path()});
  EXPECT_EQ(file.code, 2);
  EXPECT_EQ(file.errors, "hyperpod-kv: '" + sparse.path() +
                             "' has more than 64 GiB, the most that is stored as one object; store "
                             "it in parts\n");
  const auto endless = run({"put", "key", "/dev/zero"});
  EXPECT_EQ(endless.code, 2);
  EXPECT_EQ(endless.errors,
            "hyperpod-kv: '/dev/zero' has more than 1 GiB, the most that is stored as one object; "
            "write it to a file first, which may be larger\n");
  EXPECT_EQ(run({"put", "proc", "/proc/self/cmdline"}).code, 0) << "has no size";
}

TEST_F(ProgramTest, TellsAnExpiredLeaseFromAMiss) {
  run({"put", "key", "-"}, "x");
  const TemporaryFile config("extra_config:\n  sagemaker_hyperpod_lease_ttl_s: 0.000001\n");
  const auto got = run({"--config", config.path(), "get", "key"});
  EXPECT_EQ(got.code, 3);
  EXPECT_EQ(got.errors,
            "hyperpod-kv: the lease on 'key' ended before its bytes were read; raise "
            "sagemaker_hyperpod_lease_ttl_s\n");
}

TEST_F(ProgramTest, AnotherTestsSegmentsLeaveTheEmulatorsAlone) {
  ASSERT_EQ(run({"put", "key", "-"}, binary(1000)).code, 0);
  const testing::TestSegment other(testing::TestSegment::unique_name("other"), 4096);
  const auto got = run({"get", "key"});
  EXPECT_EQ(got.output, binary(1000)) << got.errors;
}

TEST_F(ProgramTest, TakesADashForStandardInputAndOutput) {
  const auto put = run({"put", "key", "-"}, binary(1000));
  EXPECT_EQ(put.code, 0) << put.errors;
  const auto got = run({"get", "key", "-"});
  EXPECT_EQ(got.code, 0) << got.errors;
  EXPECT_EQ(got.output, binary(1000));
  EXPECT_EQ(run({"get", "key"}).output, binary(1000));
}

TEST_F(ProgramTest, ExitsWithOneOnAMissWithinTheWait) {
  const auto begin = std::chrono::steady_clock::now();
  const auto got = run({"--wait-ms", "300", "get", "absent"});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  EXPECT_EQ(got.code, 1);
  EXPECT_THAT(got.output, IsEmpty());
  EXPECT_THAT(got.errors, HasSubstr("'absent'"));
}

TEST_F(ProgramTest, TellsAProblemInOneLineThatDoesNotSteerTheTerminal) {
  const auto missed = run({"--wait-ms", "0", "get", "a\nb\x1b[31m"});
  EXPECT_EQ(missed.code, 1);
  EXPECT_EQ(missed.errors, "hyperpod-kv: no object under 'a\\nb\\x1b[31m'\n");
}

TEST_F(ProgramTest, ShortensAKeyInErrors) {
  const auto refused = run({"--wait-ms", "0", "get", std::string(20'000, 'k')});
  EXPECT_THAT(refused.errors, HasSubstr("'" + std::string(80, 'k') + "...'"));
  EXPECT_LT(refused.errors.size(), 1000u) << refused.errors;
}

TEST_F(ProgramTest, NamesTheBucketOfAMissIfToldOne) {
  EXPECT_EQ(run({"--wait-ms", "0", "--bucket", "other", "get", "key"}).errors,
            "hyperpod-kv: no object under 'key' in the bucket 'other'\n");
}

TEST_F(ProgramTest, NamesTheKeyOfAConfigurationThatIsWrong) {
  const auto errors_with = [&](const std::string& setting, std::vector<std::string> arguments) {
    const TemporaryFile config("extra_config:\n  " + setting + "\n");
    arguments.insert(arguments.begin(), {"--config", config.path()});
    return run(arguments).errors;
  };
  EXPECT_THAT(errors_with("sagemaker_hyperpod_bucket: \"\"", {"get", "key"}),
              HasSubstr("sagemaker_hyperpod_bucket must not be empty"));
  EXPECT_THAT(run({"--bucket", "", "get", "key"}).errors, HasSubstr("--bucket is empty"));
  EXPECT_THAT(errors_with("sagemaker_hyperpod_timeout_ms: 5", {"--wait-ms", "0", "get", "key"}),
              HasSubstr("sagemaker_hyperpod_timeout_ms 5 is raised to its minimum 100"));
  run({"put", "large", "-"}, binary(2 << 20));
  EXPECT_THAT(errors_with("sagemaker_hyperpod_max_lease_size_mb: 1", {"get", "large"}),
              HasSubstr("the object's 2097152 bytes exceed the 1048576 that "
                        "sagemaker_hyperpod_max_lease_size_mb allows; raise it"));
}

TEST_F(ProgramTest, SaysWhichFileCannotBeReadOrWritten) {
  run({"put", "key", "-"}, "x");
  const auto errors_of = [&](const std::vector<std::string>& arguments) {
    const auto ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << ended.errors;
    return ended.errors;
  };
  EXPECT_EQ(errors_of({"put", "other", "/no/such"}),
            "hyperpod-kv: cannot read /no/such: No such file or directory\n");
  EXPECT_EQ(errors_of({"put", "other", ""}),
            "hyperpod-kv: cannot read '': No such file or directory\n");
  EXPECT_EQ(errors_of({"put", "other", "/"}), "hyperpod-kv: cannot read /: Is a directory\n");
  EXPECT_EQ(errors_of({"get", "key", ""}),
            "hyperpod-kv: cannot write '': No such file or directory\n");
  EXPECT_EQ(errors_of({"get", "key", "/dev/full"}),
            "hyperpod-kv: cannot write /dev/full: No space left on device\n");
  EXPECT_EQ(errors_of({"checkpoint", "put", "r", "0", "1", ""}),
            "hyperpod-kv: '' is not the name of a file\n");
  EXPECT_EQ(run_in_shell("put other - <&-").errors,
            "hyperpod-kv: cannot read standard input: Bad file descriptor\n");
}

TEST_F(ProgramTest, ExitsWithTwoOnAnUnusableCaFile) {
  const std::string url = "https" + emulator_.url().substr(std::string_view("http").size());
  const auto ended = run_anywhere({"--url", url, "--ca-file", "/no/such.pem", "exists", "k"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("the CA file /no/such.pem cannot be read: No such file"));
}

TEST_F(ProgramTest, PointsToTheDoctorWhereItKnowsMore) {
  const testing::ScriptedServer closes([](testing::Conversation& c) { c.read_request(); });
  const testing::ScriptedServer other([](testing::Conversation& c) { c.send("SSH-2.0-x\r\n"); });
  const testing::ScriptedServer silent([](testing::Conversation& c) { c.peer_closes(); });
  for (const std::string& url :
       {closes.url(), other.url(), silent.url(),
        "https" + emulator_.url().substr(std::string_view("http").size())}) {
    const auto ended = run_anywhere({"--url", url, "--wait-ms", "0", "exists", "key"});
    EXPECT_EQ(ended.code, 3) << url;
    EXPECT_THAT(ended.errors, ::testing::EndsWith("; hyperpod-kv doctor tells more\n"));
  }
}

TEST_F(ProgramTest, AsksForThePortWhereTheAddressMayLackIt) {
  const auto ended = run_anywhere({"--url", "http://127.0.0.1", "--wait-ms", "0", "exists", "key"});
  if (ended.errors.find("accepts no connection") == std::string::npos) {
    GTEST_SKIP() << "something listens on port 80";
  }
  EXPECT_EQ(ended.code, 3);
  EXPECT_THAT(ended.errors, HasSubstr("is a port missing from the address, as in :9200?"));
}

TEST_F(ProgramTest, TellsEachKeyInOneLine) {
  run({"put", "a\nmiss b\x1b[31m", "-"}, "x");
  EXPECT_EQ(run({"exists", "a\nmiss b\x1b[31m"}).output, "hit a\\nmiss b\\x1b[31m\n");
}

TEST_F(ProgramTest, TellsWhichKeysAreThere) {
  run({"put", "a", "-"}, "x");
  run({"put", "b", "-"}, "x");
  const auto all = run({"exists", "a", "b"});
  EXPECT_EQ(all.code, 0);
  EXPECT_EQ(all.output, "hit a\nhit b\n");
  const auto some = run({"--wait-ms", "0", "exists", "a", "c", "b"});
  EXPECT_EQ(some.code, 1);
  EXPECT_EQ(some.output, "hit a\nmiss c\nhit b\n");
}

TEST_F(ProgramTest, ADaemonThatIsDownCostsItsOwnKeysAlone) {
  const std::string here = emulator_.url().substr(std::string_view("http://").size());
  const std::string away = "127.0.0.1:1";
  const auto key_of = [&](std::size_t daemon, int nth) {
    std::string key;
    for (int i = 0, found = 0; found <= nth; ++i) {
      key = "key" + std::to_string(i);
      if (transport::place({here, away}, key) == daemon) ++found;
    }
    return key;
  };
  const std::string stored = key_of(0, 0);
  const std::string absent = key_of(0, 1);
  const std::string lost = key_of(1, 0);
  ASSERT_EQ(run({"put", stored, "-"}, "x").code, 0);
  const auto ended = run_anywhere({"--url", here + "#" + shm_name_ + "," + away + "#away",
                                   "--wait-ms", "0", "exists", lost, stored, absent});
  EXPECT_EQ(ended.code, 3);
  EXPECT_EQ(ended.output, "hit " + stored + "\nmiss " + absent + "\n");
  EXPECT_THAT(ended.errors, ::testing::StartsWith("hyperpod-kv: '" + lost + "': http://" + away));
  EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
}

TEST_F(ProgramTest, ExitsWithThreeAndSaysWhatToCheckWhenNoDaemonIsThere) {
  emulator_.kill(SIGTERM);
  ASSERT_EQ(emulator_.wait(), 0);
  const auto put = run({"put", "key", "-"}, "x");
  EXPECT_EQ(put.code, 3);
  EXPECT_THAT(put.errors, HasSubstr("is the daemon running"));
  const auto got = run({"get", "key"});
  EXPECT_EQ(got.code, 3);
  EXPECT_THAT(got.errors, HasSubstr("start the daemon"));
  EXPECT_EQ(std::count(got.errors.begin(), got.errors.end(), '\n'), 1) << got.errors;
}

TEST_F(ProgramTest, ExitsWithThreeWhenTheSegmentHasAnotherName) {
  run({"put", "key", "-"}, "x");
  const auto got = run_anywhere({"--url", emulator_.url(), "get", "key"});
  EXPECT_EQ(got.code, 3);
  EXPECT_THAT(got.errors, HasSubstr("/dev/shm/shared_memory"));
}

TEST_F(ProgramTest, ExitsWithTwoOnWrongUsage) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"get"},
                                                    {"put", "key"},
                                                    {"frobnicate"},
                                                    {"exists"},
                                                    {"--no-such", "get", "key"},
                                                    {"put", "key", "/no/such/file"},
                                                    {"get", ""},
                                                    {"bench", "--read-share", "2"},
                                                    {"doctor", "--workers", "0"},
                                                    {"doctor", "now"},
                                                    {"--timeout-ms", "0", "get", "key"},
                                                    {"--config", "/no/such.yaml", "get", "key"},
                                                    {"--bucket", "", "get", "key"}}) {
    const auto ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << (arguments.empty() ? "" : arguments[0]);
    EXPECT_THAT(ended.errors, ::testing::Not(IsEmpty()));
  }
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_EQ(run({"--version"}).code, 0);
}

TEST_F(ProgramTest, ReadsLmcachesConfiguration) {
  const TemporaryFile config(
      "remote_url: \"sagemaker-hyperpod://$HYPERPOD_TEST_NODE:" + std::to_string(emulator_.port()) +
      "\"\nextra_config:\n  sagemaker_hyperpod_shared_memory_name: " + shm_name_ +
      "\n  sagemaker_hyperpod_bucket: other\n");
  const std::vector<std::string> node{"HYPERPOD_TEST_NODE=127.0.0.1"};
  EXPECT_EQ(run_anywhere({"--config", config.path(), "put", "key", "-"}, "x", node).code, 0);
  EXPECT_EQ(
      run_anywhere({"get", "key"}, "", {node[0], "LMCACHE_CONFIG_FILE=" + config.path()}).output,
      "x");
  EXPECT_EQ(run({"--wait-ms", "0", "get", "key"}).code, 1) << "in the bucket lmcache";
  EXPECT_EQ(run({"--bucket", "other", "get", "key"}).output, "x");
  const auto unset = run_anywhere({"--config", config.path(), "get", "key"});
  EXPECT_EQ(unset.code, 2);
  EXPECT_THAT(unset.errors, HasSubstr("HYPERPOD_TEST_NODE"));
}

TEST_F(ProgramTest, MeasuresWhateverAnotherRunHasStored) {
  const auto measure = [this](std::vector<std::string> more) {
    std::vector<std::string> arguments{"bench", "--duration", "0.2", "--keys",
                                       "4",     "--threads",  "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto ended = run(arguments);
    EXPECT_EQ(ended.code, 0) << ended.errors;
    const auto report = json::parse(ended.output);
    EXPECT_EQ(report["wrong"], 0) << ended.errors;
    EXPECT_EQ(report["errors"], 0) << ended.errors;
  };
  measure({"--size", "4KiB"});
  measure({"--size", "16KiB"});
  measure({"--size", "1KiB"});
  measure({"--size", "1KiB", "--verify"});
}

TEST_F(ProgramTest, CountsALeaseThatDidNotLastAsAnErrorOfTheBenchmark) {
  const TemporaryFile config("extra_config:\n  sagemaker_hyperpod_lease_ttl_s: 0.000001\n");
  const auto ended = run({"--config", config.path(), "bench", "--duration", "0.2", "--keys", "1",
                          "--threads", "1", "--size", "4KiB"});
  const auto report = json::parse(ended.output);
  EXPECT_LE(report["get_miss"]["count"], 1) << "the first";
  EXPECT_GT(report["errors"], 0);
  EXPECT_THAT(ended.errors, HasSubstr("ended before its bytes were read"));
}

TEST_F(ProgramTest, MeasuresUnderLoadAndReportsInJson) {
  const auto ended = run({"bench", "--workers", "2", "--threads", "2", "--size", "64KiB", "--keys",
                          "20", "--read-share", "0.8", "--duration", "0.5", "--verify"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const auto report = json::parse(ended.output);
  EXPECT_GT(report["get_hit"]["count"], 0);
  EXPECT_GT(report["put"]["count"], 0);
  EXPECT_EQ(report["errors"], 0);
  EXPECT_EQ(report["wrong"], 0);
  EXPECT_EQ(report["object_bytes"], 65536);
  EXPECT_GT(report["peak_connections"], 0);
  EXPECT_THAT(ended.errors, HasSubstr("get_hit"));
  EXPECT_THAT(ended.errors, HasSubstr(" us #")) << "the distribution";
}

TEST_F(ProgramTest, WritesAPageOfPlots) {
  const TemporaryFile page("");
  const auto ended = run({"bench", "--size", "4KiB", "--duration", "300ms", "--html", page.path()});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(page.text(), HasSubstr("<svg"));
  EXPECT_THAT(page.text(), HasSubstr("</html>"));
}

TEST_F(ProgramTest, ShowsProgressAndColoursOnATerminalOnly) {
  const std::string bench = "bench --size 4KiB --duration 0.5";
  const auto shown = run_on_terminal(bench);
  ASSERT_EQ(shown.code, 0) << shown.output << shown.errors;
  EXPECT_THAT(shown.output, HasSubstr(" operations, "));
  EXPECT_THAT(run({"bench", "--size", "4KiB", "--duration", "0.5"}).errors,
              ::testing::Not(HasSubstr(" operations, ")));
  EXPECT_THAT(run_on_terminal("doctor").output, HasSubstr("\x1b[32mok"));
  EXPECT_THAT(run_on_terminal("doctor", "NO_COLOR=1").output,
              ::testing::Not(HasSubstr("\x1b[32mok")));
  EXPECT_THAT(run_on_terminal("doctor", "TERM=dumb").output,
              ::testing::Not(HasSubstr("\x1b[32mok")));
}

TEST_F(ProgramTest, ExaminesAHealthyDaemon) {
  const auto text = run({"doctor"});
  EXPECT_EQ(text.code, 0) << text.output;
  EXPECT_THAT(text.output, HasSubstr("\nhealthy"));
  EXPECT_THAT(text.output, ::testing::Not(HasSubstr("\x1b"))) << "no terminal, no colour";
  const auto report = json::parse(run({"doctor", "--json", "--workers", "8"}).output);
  EXPECT_EQ(report["healthy"], true);
  EXPECT_EQ(report["problems"], 0);
  EXPECT_THAT(report["findings"].dump(), HasSubstr("limits-exceed-advice"));
}

TEST_F(ProgramTest, ExitsWithOneWhenTheDoctorFindsAProblem) {
  const auto ended = run_anywhere({"--url", emulator_.url(), "doctor", "--json"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_EQ(json::parse(ended.output)["healthy"], false);
  EXPECT_THAT(ended.output, HasSubstr("segment-other-name"));
  EXPECT_THAT(ended.output, HasSubstr(shm_name_));
  const auto late = run_anywhere({"doctor"}, "", {"LMCACHE_REMOTE_URL=x://$(NODE_IP):9200"});
  EXPECT_EQ(late.code, 1);
  EXPECT_THAT(late.output, HasSubstr("NODE_IP"));
}

class ExhaustedTest : public ProgramTest {
 protected:
  // Runs hyperpod-kv as `command` does, which sets a limit first.
  Ended run_within(std::vector<std::string> command, const std::vector<std::string>& arguments) {
    command.insert(command.end(), {testing::program("hyperpod-kv"), "--url", emulator_.url(),
                                   "--shm-name", shm_name_});
    command.insert(command.end(), arguments.begin(), arguments.end());
    auto process = testing::start(std::move(command));
    const int code = process.wait();
    return {code, process.output(), process.errors()};
  }
};

TEST_F(ExhaustedTest, NamesTheLimitWhenNoDescriptorIsToBeHad) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan needs two descriptors to look at the exception that Asio throws";
#endif
  const TemporaryFile file("x");
  const auto ended = run_within({"/usr/bin/prlimit", "--nofile=4:4"}, {"put", "key", file.path()});
  EXPECT_EQ(ended.code, 3) << ended.errors;
  EXPECT_THAT(ended.errors, HasSubstr("`ulimit -n`, which is 4"));
  EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
}

TEST_F(ExhaustedTest, NamesTheLimitWhenNoMemoryIsToBeHad) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer needs all addresses";
#endif
  const auto ended = run_within({"/usr/bin/prlimit", "--as=600000000"},
                                {"bench", "--size", "1GiB", "--duration", "1s", "--threads", "1"});
  EXPECT_EQ(ended.code, 3) << ended.errors;
  EXPECT_THAT(ended.errors, HasSubstr("not enough memory"));
  EXPECT_THAT(ended.errors, HasSubstr("`ulimit -v`, which is 585937"));
}

TEST_F(ExhaustedTest, NamesTheLimitWhenNoThreadIsToBeHad) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become a user without processes";
  const auto ended = run_within(
      {"/usr/bin/setpriv", "--reuid", "65533", "--clear-groups", "/usr/bin/prlimit", "--nproc=2:2"},
      {"bench", "--size", "4KiB", "--duration", "1s", "--threads", "64"});
  if (ended.errors.find("ermission denied") != std::string::npos) {
    GTEST_SKIP() << "that user may not run the program";
  }
  EXPECT_EQ(ended.code, 3) << ended.errors;
  EXPECT_THAT(ended.errors, HasSubstr("`ulimit -u`, which is 2"));
}

TEST_F(ProgramTest, DoesNotWriteBinaryToATerminalUnlessTold) {
  run({"put", "text", "-"}, "just text\n");
  run({"put", "binary", "-"}, binary(1000));
  EXPECT_EQ(run_on_terminal("get text").code, 0);
  const auto refused = run_on_terminal("get binary");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.output, HasSubstr("is binary; name a FILE"));
  EXPECT_EQ(run_on_terminal("get binary -").code, 0);
  EXPECT_EQ(run({"get", "binary"}).code, 0) << "no terminal";
}

TEST_F(ProgramTest, SaysThatAPageCannotBeWrittenBeforeTheRun) {
  const auto ended = run({"bench", "--duration", "1h", "--html", "/nowhere/page.html"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("/nowhere/page.html"));
}

TEST_F(ProgramTest, TellsOfContainersAndTheDoctorWhenTheSegmentIsMissing) {
  run({"put", "key", "-"}, "x");
  const auto got = run_anywhere({"--url", emulator_.url(), "--shm-name", "hc-none", "get", "key"});
  EXPECT_EQ(got.code, 3);
  EXPECT_THAT(got.errors, HasSubstr("no segment /dev/shm/hc-none; "));
  EXPECT_THAT(got.errors, HasSubstr("--ipc=host; hyperpod-kv doctor tells more\n"));
  EXPECT_THAT(got.errors, ::testing::Not(HasSubstr("?")));
}

TEST_F(ProgramTest, AsksForASegmentWhereNoneIsNamed) {
  const auto got = run_anywhere({"--url", emulator_.url(), "--shm-name", "None", "get", "key"});
  EXPECT_EQ(got.code, 3);
  EXPECT_EQ(got.errors,
            "hyperpod-kv: nothing can be read without a segment, and its name is None; name the "
            "daemon's with --shm-name\n");
}

TEST_F(ProgramTest, StaysRightForManyProcessesWhileItsDaemonIsKilledAndRestarted) {
  std::vector<base::ChildProcess> processes;
  processes.reserve(4);
  for (int i = 0; i < 4; ++i) {
    processes.push_back(testing::start(
        {testing::program("hyperpod-kv"), "--url", emulator_.url(), "--shm-name", shm_name_,
         "--timeout-ms", "1000", "--log-level", "off", "bench", "--threads", "2", "--size",
         "200KiB", "--keys", "500", "--duration", "60", "--verify"}));
  }
  const auto shows_life = [](int port, const std::string& shm_name) {
    return testing::eventually([&] {
      // Any of them: the cache is full and evicts.
      const auto ended =
          run_anywhere({"--url", "http://127.0.0.1:" + std::to_string(port), "--shm-name", shm_name,
                        "--wait-ms", "0", "exists", "bench-204800-verified-1",
                        "bench-204800-verified-2", "bench-204800-verified-3"});
      return ended.output.find("hit ") != std::string::npos;
    });
  };
  EXPECT_TRUE(shows_life(emulator_.port(), shm_name_));
  emulator_.kill(SIGKILL);
  emulator_.wait();
  StandaloneEmulator again(shm_name_, "64MiB", emulator_.port());
  EXPECT_TRUE(shows_life(again.port(), shm_name_)) << "service resumes";
  for (auto& process : processes) process.signal(SIGINT);
  for (auto& process : processes) {
    EXPECT_EQ(process.wait(), 0) << process.errors();
    const auto report = json::parse(process.output());
    EXPECT_EQ(report["wrong"], 0);
    EXPECT_GT(report["get_hit"]["count"], 0);
  }
}

}  // namespace
}  // namespace hyperpod::client::cli
