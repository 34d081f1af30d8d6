// SPDX-License-Identifier: Apache-2.0
// hyperpod-kv checkpoint as its users run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "testing/process.h"
#include "testing/scripted_server.h"
#include "testing/test_segment.h"

namespace hyperpod::client::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Ended {
  int code;
  std::string output;
  std::string errors;
};

Ended run_at(const std::string& url, std::vector<std::string> arguments,
             const std::string& input = {}) {
  arguments.insert(arguments.begin(),
                   {testing::program("hyperpod-kv"), "--url", url, "checkpoint"});
  auto process = testing::start(std::move(arguments), input);
  const int code = process.wait();
  return {code, process.output(), process.errors()};
}

std::string binary(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 >> 3);
  return text;
}

class CheckpointProgram : public ::testing::Test {
 public:
  ~CheckpointProgram() override { std::filesystem::remove_all(directory_); }

 protected:
  CheckpointProgram() { std::filesystem::create_directory(directory_); }

  Ended run(std::vector<std::string> arguments, const std::string& input = {}) {
    return run_at(emulator_.url(), std::move(arguments), input);
  }
  // As on a terminal, whose output and errors come together.
  Ended run_on_terminal(const std::string& arguments) {
    auto process = testing::start(
        {"/usr/bin/script", "-qec",
         testing::program("hyperpod-kv") + " --url " + emulator_.url() + " checkpoint " + arguments,
         "/dev/null"});
    const int code = process.wait();
    return {code, process.output(), process.errors()};
  }
  void create() {
    EXPECT_EQ(run({"namespaces", "my run", "--num-ranks", "1", "--steps-retained", "2"}).code, 0);
  }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const std::string directory_ =
      ::testing::TempDir() + testing::TestSegment::unique_name("checkpoint_program");
  testing::StandaloneEmulator emulator_{testing::StandaloneEmulator::unique_name("checkpoint"),
                                        "64MiB"};
};

// A closed standard input is not whatever the program opens next.
TEST_F(CheckpointProgram, AClosedStandardInputIsAnError) {
  EXPECT_EQ(run({"namespaces", "my run", "--num-ranks", "1", "--steps-retained", "2"}).code, 0);
  const std::string kv =
      "exec timeout 60 " + testing::program("hyperpod-kv") + " --url " + emulator_.url();
  for (const char* put : {" checkpoint put 'my run' 0 1 - <&-", " put key - <&-"}) {
    auto process = testing::start({"/bin/sh", "-c", kv + put});
    EXPECT_EQ(process.wait(), 2) << put;
    EXPECT_THAT(process.errors(), HasSubstr("Bad file descriptor")) << put;
  }
  EXPECT_EQ(run({"get", "my run", "0", "1", "/dev/null"}).code, 1);
}

TEST_F(CheckpointProgram, SaysWhatToDoWhereStandardInputCannotBeKept) {
  const std::string put = testing::program("hyperpod-kv") + " --url " + emulator_.url() +
                          " checkpoint put 'my run' 0 1 -";
  auto process = testing::start({"/bin/sh", "-c", "echo x | TMPDIR=/nonexist " + put});
  EXPECT_EQ(process.wait(), 2);
  EXPECT_EQ(process.errors(),
            "hyperpod-kv: cannot keep standard input in /nonexist: No such file or directory; set "
            "TMPDIR to a directory that has room for it\n");
}

TEST_F(CheckpointProgram, ShowsCreatesAndDeletesNamespaces) {
  const auto absent = run({"namespaces", "my run"});
  EXPECT_EQ(absent.code, 1);
  EXPECT_THAT(absent.errors, HasSubstr("'my run'"));
  const auto created = run({"namespaces", "my run", "--num-ranks", "2", "--steps-retained", "3"});
  EXPECT_EQ(created.code, 0) << created.errors;
  EXPECT_EQ(created.output, "num_ranks=2 steps_retained=3\n");
  const auto conflict = run({"namespaces", "my run", "--num-ranks", "4", "--steps-retained", "3"});
  EXPECT_EQ(conflict.code, 3);
  EXPECT_THAT(conflict.errors, HasSubstr("409"));
  EXPECT_EQ(run({"namespaces", "my run"}).output, "num_ranks=2 steps_retained=3\n");
  EXPECT_EQ(run({"namespaces", "my run", "--delete"}).output, "deleted\n");
  EXPECT_EQ(run({"namespaces", "my run", "--delete"}).code, 1);
}

TEST_F(CheckpointProgram, StoresReadsListsAndDeletesShards) {
  create();
  const std::string bytes = binary(700'000);
  std::ofstream(path("in"), std::ios::binary) << bytes;
  const auto put = run({"put", "my run", "0", "7", path("in")});
  EXPECT_EQ(put.code, 0) << put.errors;
  EXPECT_EQ(put.output, "stored\n");
  EXPECT_EQ(run({"get", "my run", "0", "7", path("out")}).code, 0);
  EXPECT_TRUE(read(path("out")) == bytes);
  EXPECT_TRUE(run({"get", "my run", "0", "7"}).output == bytes);
  EXPECT_TRUE(run({"get", "my run", "0", "7", "-"}).output == bytes);
  EXPECT_EQ(run({"get", "my run", "0", "7", "/dev/null"}).code, 0);
  EXPECT_EQ(run({"put", "my run", "0", "12", "-"}, "from a pipe").code, 0);
  EXPECT_EQ(run({"put", "my run", "0", "13", "-"}).code, 0) << "no bytes at all";
  EXPECT_EQ(run({"get", "my run", "0", "12"}).output, "from a pipe");
  EXPECT_EQ(run({"latest", "my run"}).output, "13\n12\n");
  EXPECT_EQ(run({"latest", "my run", "--limit", "1"}).output, "13\n");
  EXPECT_EQ(run({"delete", "my run", "0", "13"}).output, "deleted\n");
  EXPECT_EQ(run({"delete", "my run", "0", "13"}).code, 1);
  const auto gone = run({"get", "my run", "0", "13", path("gone")});
  EXPECT_EQ(gone.code, 1);
  EXPECT_THAT(gone.errors, HasSubstr("rank 0 and step 13"));
  EXPECT_FALSE(std::filesystem::exists(path("gone")));
  EXPECT_EQ(run({"delete", "my run", "0", "12"}).output, "deleted\n");
  EXPECT_EQ(run({"delete", "my run", "0", "7"}).code, 1) << "not retained";
  const auto none = run({"latest", "my run"});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.errors, HasSubstr("no step of 'my run' is complete"));
  EXPECT_EQ(run({"reset", "--yes"}).output, "reset\n");
  const auto no_namespace = run({"latest", "my run"});
  EXPECT_EQ(no_namespace.code, 1);
  EXPECT_THAT(no_namespace.errors, HasSubstr("no namespace 'my run'"));
}

TEST_F(CheckpointProgram, NamesWhereItCannotWrite) {
  create();
  EXPECT_EQ(run({"put", "my run", "0", "7", "-"}, "some bytes").code, 0);
  const auto full = run({"get", "my run", "0", "7", "/dev/full"});
  EXPECT_EQ(full.code, 2);
  EXPECT_THAT(full.errors, HasSubstr("/dev/full"));
  // A pipe cannot be read twice.
  auto process = testing::start({"/bin/sh", "-c",
                                 "echo some bytes | TMPDIR=" + path("absent") + " " +
                                     testing::program("hyperpod-kv") + " --url " + emulator_.url() +
                                     " checkpoint put 'my run' 0 8 -"});
  EXPECT_EQ(process.wait(), 2);
  EXPECT_THAT(process.errors(), HasSubstr("standard input in " + path("absent")));
}

TEST_F(CheckpointProgram, SaysWhatItCannotUse) {
  create();
  const auto file = run({"put", "my run", "0", "7", path("absent")});
  EXPECT_EQ(file.code, 2);
  EXPECT_THAT(file.errors, HasSubstr(path("absent")));
  EXPECT_EQ(run({"put", "my run", "0", "7", directory_}).code, 2);
  EXPECT_EQ(run({"get", "my run", "0", "7", path("no/such/file")}).code, 2);
  EXPECT_EQ(run({"put", "my run", "1", "7", "-"}, "x").code, 3) << "no such rank";
  EXPECT_EQ(run({"put", "other", "0", "7", "-"}, "x").code, 3) << "no such namespace";
  EXPECT_EQ(run_at("http://127.0.0.1:1", {"latest", "my run"}).code, 3);
  EXPECT_EQ(run_at("http://a:1,http://b:1", {"latest", "my run"}).code, 2);
}

TEST_F(CheckpointProgram, KeepsBinaryBytesFromATerminalAndShowsProgressOnOne) {
  create();
  run({"put", "my run", "0", "1", "-"}, "plain text");
  run({"put", "my run", "0", "2", "-"}, binary(100));
  EXPECT_THAT(run_on_terminal("get 'my run' 0 1").output, HasSubstr("plain text"));
  const auto refused = run_on_terminal("get 'my run' 0 2");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.output, HasSubstr("binary"));
  EXPECT_EQ(run_on_terminal("get 'my run' 0 2 -").code, 0);
}

TEST_F(CheckpointProgram, ADamagedShardReachesNoFile) {
  testing::ScriptedServer server([](testing::Conversation& conversation) {
    if (!conversation.read_request()) return;
    conversation.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nShard-Meta: {\"algorithm\": \"xxh3_128\", "
        "\"checksum\": \"tenBrQcbPn/Hec+qXlI4GA==\"}\r\n\r\nhellO");
  });
  std::ofstream(path("out")) << "old";
  const auto got = run_at(server.url(), {"get", "my run", "0", "7", path("out")});
  EXPECT_EQ(got.code, 3);
  EXPECT_THAT(got.errors, HasSubstr("checksum"));
  EXPECT_EQ(read(path("out")), "old");
  EXPECT_EQ(files(), std::vector<std::string>{"out"});
}

TEST_F(CheckpointProgram, ASignalLeavesNoUnfinishedFile) {
  testing::ScriptedServer server([](testing::Conversation& conversation) {
    if (!conversation.read_request()) return;
    conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf");
    conversation.peer_closes();
  });
  auto process = testing::start({testing::program("hyperpod-kv"), "--url", server.url(),
                                 "checkpoint", "get", "my run", "0", "7", path("out")});
  EXPECT_TRUE(testing::eventually([&] { return files().size() == 1; }));
  EXPECT_THAT(files().front(), HasSubstr(".out.part-"));
  process.signal(SIGINT);
  EXPECT_EQ(process.wait(), -SIGINT);
  EXPECT_THAT(files(), IsEmpty());
}

}  // namespace
}  // namespace hyperpod::client::cli
