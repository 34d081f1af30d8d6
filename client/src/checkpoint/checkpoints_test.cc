// SPDX-License-Identifier: Apache-2.0
// Checkpoints against the emulator, and against servers that no honest daemon is.
#include "hyperpod/client/checkpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "checkpoint/checksum.h"
#include "checkpoint/responses.h"
#include "hyperpod/emulator/emulator.h"
#include "testing/scripted_server.h"
#include "testing/test_segment.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using emulator::Emulator;
using emulator::FaultOperation;
using testing::answer;
using testing::Conversation;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ScriptedServer;
using testing::SeenRequest;

// XXH3 of "hello", 128 bits, as python3-xxhash and base64 give it.
constexpr std::string_view hello_checksum = "tenBrQcbPn/Hec+qXlI4GA==";

std::string random_text(std::size_t size, unsigned seed = 1) {
  std::string text(size, '\0');
  std::mt19937_64 random(seed);
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class StringSink final : public ShardSink {
 public:
  Result<void> begin(std::optional<std::uint64_t> size) override {
    text.clear();
    announced = size;
    ++begun;
    return {};
  }
  Result<void> write(std::span<const std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  std::string text;
  std::optional<std::uint64_t> announced;
  int begun = 0;
};

// Bytes that stand nowhere, and of which any number can be had.
class EndlessSource final : public ShardSource {
 public:
  explicit EndlessSource(std::uint64_t size) : size_(size) {}
  std::uint64_t size() const override { return size_; }
  Result<void> read(std::uint64_t, std::span<std::byte> into) override {
    most = std::max(most, into.size());
    // Gigabytes are written once.
    if (into.data() != filled_) std::memset(into.data(), 7, into.size());
    filled_ = into.data();
    return {};
  }
  std::size_t most = 0;

 private:
  std::uint64_t size_;
  const std::byte* filled_ = nullptr;
};

Checkpoints make_checkpoints(CheckpointOptions options) {
  auto made = Checkpoints::create(std::move(options));
  if (!made) throw std::runtime_error(made.error().message);
  return *std::move(made);
}

std::string shard_response(std::string_view body, std::string_view checksum,
                           std::string_view more = "") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nShard-Meta: {\"checksum\": \"" + std::string(checksum) +
         "\", \"algorithm\": \"xxh3_128\"}\r\n" + std::string(more) + "\r\n" + std::string(body);
}

class CheckpointsTest : public ::testing::Test {
 protected:
  void SetUp() override { start(); }

  void start() {
    emulator_options_.capacity = 64 << 20;
    auto started = Emulator::start(emulator_options_);
    if (!started) throw std::runtime_error(started.error().message);
    emulator_.emplace(*std::move(started));
    options_.url = emulator_->url();
    checkpoints_.emplace(make_checkpoints(options_));
  }

  void create(std::uint64_t ranks = 2, std::uint64_t steps = 3) {
    const auto created = checkpoints_->create_namespace("my run", {ranks, steps});
    ASSERT_TRUE(created) << created.error().message;
  }

  void fail_with(FaultOperation operation, emulator::Effects effects, std::uint64_t times) {
    emulator::Fault fault;
    fault.match.operation = operation;
    fault.match.first = times;
    fault.name = "test";
    fault.script = {std::move(effects)};
    emulator_->faults().clear();
    const auto added = emulator_->faults().add(fault);
    ASSERT_TRUE(added) << added.error().message;
  }

  bool fired() { return emulator_->faults().counts("test").fired > 0; }

  std::string got(const ShardAddress& shard) {
    StringSink sink;
    const auto read = checkpoints_->get(shard, sink);
    if (!read) return "error: " + read.error().message;
    if (!*read) return "none";
    EXPECT_TRUE((*read)->checked);
    EXPECT_EQ((*read)->size, sink.text.size());
    return sink.text;
  }

  emulator::Options emulator_options_ = emulator::Options::for_test();
  CheckpointOptions options_{.url = {}, .retry_backoff = 1ms};
  std::optional<Emulator> emulator_;
  std::optional<Checkpoints> checkpoints_;
  const ShardAddress shard_{"my run", 0, 100};
};

TEST_F(CheckpointsTest, ANamespaceIsCreatedFoundAndDeleted) {
  EXPECT_EQ(checkpoints_->find_namespace("my run").value(), std::nullopt);
  create(3, 2);
  EXPECT_EQ(checkpoints_->find_namespace("my run").value(), (NamespaceNumbers{3, 2}));
  EXPECT_TRUE(checkpoints_->create_namespace("my run", {3, 2}));
  const auto conflict = checkpoints_->create_namespace("my run", {4, 2});
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().status, 409);
  EXPECT_EQ(checkpoints_->delete_namespace("my run").value(), true);
  EXPECT_EQ(checkpoints_->delete_namespace("my run").value(), false);
}

TEST_F(CheckpointsTest, AreMoved) {
  Checkpoints moved = std::move(*checkpoints_);
  Checkpoints& itself = moved;
  moved = std::move(itself);
  EXPECT_EQ(moved.find_namespace("my run").value(), std::nullopt) << "onto itself";
}

TEST_F(CheckpointsTest, NamesAreEncodedOnce) {
  using namespace std::string_literals;
  for (const auto& name : {"a/b"s, "ä ö"s, "%41"s, ".."s, "a?b#c"s, "\0x"s}) {
    ASSERT_TRUE(checkpoints_->create_namespace(name, {1, 1})) << name;
    EXPECT_TRUE(checkpoints_->find_namespace(name).value()) << name;
    ASSERT_TRUE(checkpoints_->put({name, 0, 1}, bytes_of(name)));
    EXPECT_EQ(got({name, 0, 1}), name);
  }
}

TEST_F(CheckpointsTest, ShardsComeBackByteForByte) {
  create();
  for (const std::size_t size :
       {0ul, 1ul, 100ul, (256ul << 10) - 1, 256ul << 10, (256ul << 10) + 1, 3'000'000ul}) {
    const std::string bytes = random_text(size);
    const auto put = checkpoints_->put(shard_, bytes_of(bytes));
    ASSERT_TRUE(put) << put.error().message;
    EXPECT_TRUE(got(shard_) == bytes) << size;
  }
  EXPECT_EQ(got({"my run", 1, 100}), "none");
  EXPECT_EQ(checkpoints_->delete_shard(shard_).value(), true);
  EXPECT_EQ(checkpoints_->delete_shard(shard_).value(), false);
  EXPECT_EQ(got(shard_), "none");
}

TEST_F(CheckpointsTest, ABufferMayBeLongerButNotShorter) {
  create();
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of("hello")));
  std::vector<std::byte> buffer(6, std::byte{'!'});
  const auto read = checkpoints_->get(shard_, buffer);
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->size, 5u);
  EXPECT_EQ(buffer[5], std::byte{'!'});
  buffer.resize(4);
  EXPECT_EQ(checkpoints_->get(shard_, buffer).error().code, ErrorCode::too_large);
  EXPECT_EQ(got(shard_), "hello");  // the connection that was given up harms no later call
}

TEST_F(CheckpointsTest, LatestTellsCompleteStepsNewestFirst) {
  EXPECT_THAT(checkpoints_->latest("my run").value(), IsEmpty());
  create(2, 9);
  for (std::uint64_t step : {9, 100, 20}) {
    for (std::uint64_t rank : {0, 1}) {
      ASSERT_TRUE(checkpoints_->put({"my run", rank, step}, bytes_of("x")));
    }
  }
  ASSERT_TRUE(checkpoints_->put({"my run", 0, 101}, bytes_of("x")));
  EXPECT_THAT(checkpoints_->latest("my run").value(), ElementsAre(100, 20, 9));
  EXPECT_THAT(checkpoints_->latest("my run", 2).value(), ElementsAre(100, 20));
  EXPECT_THAT(checkpoints_->latest("my run", 0).value(), IsEmpty());
  ASSERT_TRUE(checkpoints_->reset_cluster());
  EXPECT_THAT(checkpoints_->latest("my run").value(), IsEmpty());
}

TEST(CheckpointsOfAnotherServer, AreNotAbsent) {
  ScriptedServer server([](Conversation& c) {
    while (c.read_request()) c.send(answer(404, "<html>no</html>", "Text/HTML; charset=utf-8"));
  });
  const auto checkpoints = Checkpoints::create({.url = server.url()}).value();
  StringSink sink;
  const auto expect_told = [](const auto& result) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::malformed_response);
    EXPECT_THAT(result.error().message, HasSubstr("another web server"));
  };
  expect_told(checkpoints.latest("run"));
  expect_told(checkpoints.find_namespace("run"));
  expect_told(checkpoints.get({"run", 0, 1}, sink));
  expect_told(checkpoints.delete_shard({"run", 0, 1}));
  expect_told(checkpoints.delete_namespace("run"));
}

TEST_F(CheckpointsTest, StepsWithANulByteBehindThemAreNotJson) {
  ScriptedServer server([](Conversation& c) {
    while (c.read_request()) c.send(answer(200, "[7]" + std::string("\0[8]", 4)));
  });
  const auto steps = Checkpoints::create({.url = server.url()}).value().latest("run");
  ASSERT_FALSE(steps);
  EXPECT_EQ(steps.error().code, ErrorCode::malformed_response);
}

TEST_F(CheckpointsTest, RefusalsSayWhy) {
  const auto no_namespace = checkpoints_->put(shard_, bytes_of("x"));
  ASSERT_FALSE(no_namespace);
  EXPECT_EQ(no_namespace.error().code, ErrorCode::refused);
  EXPECT_EQ(no_namespace.error().status, 404);
  EXPECT_THAT(no_namespace.error().message, HasSubstr("no such namespace"));
  create(1);
  const auto no_rank = checkpoints_->put({"my run", 1, 1}, bytes_of("x"));
  EXPECT_EQ(no_rank.error().status, 400);
  EXPECT_THAT(no_rank.error().message, HasSubstr("no such rank; ranks count from 0"));
  EndlessSource larger_than_all((64 << 20) + 1);
  EXPECT_EQ(checkpoints_->put(shard_, larger_than_all, {.timeout = 60s}).error().code,
            ErrorCode::too_large);
  EXPECT_LE(larger_than_all.most, 256u << 10);
  const std::string most = random_text(40 << 20);
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of(most)));
  EXPECT_EQ(checkpoints_->put({"my run", 0, 101}, bytes_of(most)).error().status, 507);
  EXPECT_EQ(checkpoints_->find_namespace("").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(checkpoints_->create_namespace("x", {0, 1}).error().code, ErrorCode::invalid_argument);
}

TEST_F(CheckpointsTest, ProgressEndsAtTheSize) {
  create();
  const std::string bytes = random_text(1'000'000);
  std::uint64_t last = 0;
  std::uint64_t all = 0;
  const CheckpointCall call{
      .progress = [&](std::uint64_t done, std::optional<std::uint64_t> total) {
        EXPECT_GE(done, last);
        last = done;
        all = total.value_or(0);
      }};
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of(bytes), call));
  EXPECT_EQ(last, bytes.size());
  EXPECT_EQ(all, bytes.size());
  last = 0;
  StringSink sink;
  ASSERT_TRUE(checkpoints_->get(shard_, sink, call));
  EXPECT_EQ(last, bytes.size());
}

TEST_F(CheckpointsTest, StatusesThatMayBeRepeatedAre) {
  options_.retries = 2;
  checkpoints_.emplace(make_checkpoints(options_));
  create();
  for (const int status : {429, 500, 502, 503, 504}) {
    fail_with(FaultOperation::checkpoint_put, {.ending = emulator::RespondWith{status}}, 2);
    const std::string bytes = random_text(600'000, static_cast<unsigned>(status));
    EXPECT_TRUE(checkpoints_->put(shard_, bytes_of(bytes))) << status;
    fail_with(FaultOperation::checkpoint_get, {.ending = emulator::RespondWith{status}}, 2);
    EXPECT_TRUE(got(shard_) == bytes) << status;
    fail_with(FaultOperation::checkpoint_put, {.ending = emulator::RespondWith{status}}, 3);
    EXPECT_EQ(checkpoints_->put(shard_, bytes_of("x")).error().status, status);
  }
  fail_with(FaultOperation::checkpoint_put, {.ending = emulator::RespondWith{403}}, 1);
  EXPECT_EQ(checkpoints_->put(shard_, bytes_of("x")).error().status, 403);
}

TEST_F(CheckpointsTest, AResponseCutShortIsNeverTakenForAShard) {
  create();
  const std::string bytes = random_text(500'000);
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of(bytes)));
  fail_with(FaultOperation::checkpoint_get, {.close_after_bytes = 300'000}, 1);
  StringSink sink;
  EXPECT_EQ(checkpoints_->get(shard_, sink).error().code, ErrorCode::malformed_response);
  options_.retries = 1;
  checkpoints_.emplace(make_checkpoints(options_));
  fail_with(FaultOperation::checkpoint_get, {.close_after_bytes = 300'000}, 1);
  EXPECT_TRUE(got(shard_) == bytes);
}

TEST_F(CheckpointsTest, ADaemonThatRestartsInTheMiddleIsAnErrorOrTriedAgain) {
  create();
  fail_with(FaultOperation::checkpoint_put, {.incident = emulator::Incident::restart}, 1);
  const auto put = checkpoints_->put(shard_, bytes_of(random_text(5'000'000)));
  ASSERT_FALSE(put);
  EXPECT_EQ(got(shard_), "none");
  EXPECT_EQ(checkpoints_->find_namespace("my run").value(), std::nullopt);
}

TEST_F(CheckpointsTest, ASilentDaemonCostsTheStallTimeoutOrTheDeadline) {
  create();
  auto clock = std::make_shared<ManualClock>();
  options_.clock = clock;
  checkpoints_.emplace(make_checkpoints(options_));
  const auto silent_for = [&](const CheckpointCall& call, Duration needed) {
    fail_with(FaultOperation::checkpoint_get, {.ending = emulator::NeverRespond{}}, 1);
    std::atomic<bool> over{false};
    Result<std::vector<std::uint64_t>> outcome;
    std::thread caller([&] {
      outcome = checkpoints_->latest("my run", 5, call);
      over = true;
    });
    EXPECT_TRUE(testing::eventually([&] { return fired(); }));
    clock->advance(needed - 1s);
    EXPECT_FALSE(over);
    clock->advance(1s);
    caller.join();
    return outcome;
  };
  EXPECT_EQ(silent_for({}, 60s).error().code, ErrorCode::timed_out);
  EXPECT_EQ(silent_for({.timeout = 5s}, 5s).error().code, ErrorCode::timed_out);
}

TEST_F(CheckpointsTest, ACallThatIsStoppedEndsInCancelled) {
  create();
  fail_with(FaultOperation::checkpoint_get, {.ending = emulator::NeverRespond{}}, 1);
  std::stop_source stop;
  std::thread stopper([&] {
    EXPECT_TRUE(testing::eventually([&] { return fired(); }));
    stop.request_stop();
  });
  EXPECT_EQ(checkpoints_->latest("my run", 5, {.stop = stop.get_token()}).error().code,
            ErrorCode::cancelled);
  stopper.join();
  EXPECT_EQ(checkpoints_->put(shard_, bytes_of("x"), {.stop = stop.get_token()}).error().code,
            ErrorCode::cancelled);
  EXPECT_TRUE(checkpoints_->put(shard_, bytes_of("x")));
}

TEST_F(CheckpointsTest, ManyThreadsShareOne) {
  create(8, 2);
  std::vector<std::thread> ranks;
  for (std::uint64_t rank = 0; rank < 8; ++rank) {
    ranks.emplace_back([&, rank] {
      for (std::uint64_t step = 0; step < 4; ++step) {
        const std::string bytes = random_text(400'000, static_cast<unsigned>(rank * 10 + step));
        EXPECT_TRUE(checkpoints_->put({"my run", rank, step}, bytes_of(bytes)));
        EXPECT_TRUE(got({"my run", rank, step}) == bytes);
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_THAT(checkpoints_->latest("my run").value(), ElementsAre(3, 2));
}

TEST_F(CheckpointsTest, AForkedChildIsToldSoAndLeavesTheParentAlone) {
  create();
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of("hello")));
  const pid_t child = fork();
  if (child == 0) {
    const auto found = checkpoints_->find_namespace("my run");
    const bool told = !found && found.error().code == ErrorCode::forked;
    checkpoints_.reset();
    _exit(told ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(got(shard_), "hello");
}

class CheckpointFilesTest : public CheckpointsTest {
 protected:
  void SetUp() override {
    CheckpointsTest::SetUp();
    create();
    std::filesystem::create_directory(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory_),
                                                  std::filesystem::directory_iterator()));
  }

  const std::string directory_ =
      ::testing::TempDir() + testing::TestSegment::unique_name("checkpoint_files");
};

TEST_F(CheckpointFilesTest, AFileComesBackByteForByte) {
  const std::string bytes = random_text(1'000'000);
  write(path("in"), bytes);
  ASSERT_TRUE(checkpoints_->put_file(shard_, path("in")));
  ASSERT_TRUE(checkpoints_->get_file(shard_, path("out")).value());
  EXPECT_TRUE(read(path("out")) == bytes);
  EXPECT_EQ(files(), 2u);
}

TEST_F(CheckpointFilesTest, WhatIsThereStaysUnlessAllOfTheShardHasCome) {
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of(random_text(500'000))));
  write(path("out"), "old");
  fail_with(FaultOperation::checkpoint_get, {.close_after_bytes = 300'000}, 1);
  EXPECT_FALSE(checkpoints_->get_file(shard_, path("out")));
  EXPECT_FALSE(checkpoints_->get_file({"my run", 1, 1}, path("out")).value());
  EXPECT_EQ(read(path("out")), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(CheckpointFilesTest, AFileKeepsItsModeAndItsLink) {
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of("hello")));
  write(path("real"), "old");
  std::filesystem::permissions(path("real"), std::filesystem::perms{0640});
  std::filesystem::create_symlink(path("real"), path("link"));
  ASSERT_TRUE(checkpoints_->get_file(shard_, path("link")));
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(read(path("real")), "hello");
  EXPECT_EQ(std::filesystem::status(path("real")).permissions(), std::filesystem::perms{0640});
}

TEST_F(CheckpointFilesTest, ALinkIsFollowedToAFileThatIsNotThereYet) {
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of("hello")));
  std::filesystem::create_symlink("second", path("first"));
  std::filesystem::create_symlink("real", path("second"));
  ASSERT_TRUE(checkpoints_->get_file(shard_, path("first")));
  EXPECT_TRUE(std::filesystem::is_symlink(path("first")));
  EXPECT_TRUE(std::filesystem::is_symlink(path("second")));
  EXPECT_EQ(read(path("real")), "hello");
}

TEST_F(CheckpointFilesTest, UnusablePathsAreNamed) {
  for (const auto& file : {path("absent"), directory_, std::string("/dev/null")}) {
    const auto put = checkpoints_->put_file(shard_, file);
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(put.error().message, HasSubstr(file));
  }
  EXPECT_EQ(checkpoints_->get_file(shard_, path("no/such")).error().code,
            ErrorCode::invalid_argument);
  for (const auto& file : {directory_, std::string(), path("")}) {
    EXPECT_EQ(checkpoints_->get_file(shard_, file).error().code, ErrorCode::invalid_argument);
  }
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of("hello")));
  ASSERT_TRUE(checkpoints_->get_file(shard_, path(std::string(255, 'n'))));
  EXPECT_EQ(read(path(std::string(255, 'n'))), "hello");
}

TEST_F(CheckpointFilesTest, AFileThatChangesWhileItIsSentIsNotStored) {
  ASSERT_TRUE(checkpoints_->put(shard_, bytes_of("hello")));
  write(path("in"), std::string(2'000'000, 'a'));
  const auto change = [&](std::uint64_t done, std::optional<std::uint64_t>) {
    if (done == 0) write(path("in"), std::string(2'000'000, 'b'));
  };
  EXPECT_EQ(checkpoints_->put_file(shard_, path("in"), {.progress = change}).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(got(shard_), "hello");
  const auto shorten = [&](std::uint64_t done, std::optional<std::uint64_t>) {
    if (done == 0) write(path("in"), "short");
  };
  write(path("in"), std::string(2'000'000, 'a'));
  EXPECT_THAT(checkpoints_->put_file(shard_, path("in"), {.progress = shorten}).error().message,
              HasSubstr("shorter"));
  EXPECT_EQ(got(shard_), "hello");
  const auto append = [&](std::uint64_t done, std::optional<std::uint64_t>) {
    if (done == 0) std::ofstream(path("in"), std::ios::binary | std::ios::app) << "more";
  };
  write(path("in"), std::string(2'000'000, 'a'));
  EXPECT_THAT(checkpoints_->put_file(shard_, path("in"), {.progress = append}).error().message,
              HasSubstr("longer"));
  EXPECT_EQ(got(shard_), "hello");
}

// What one call makes of a server that responds to its request with `text`, and closes.
template <class Function>
auto against(std::string text, Function function, CheckpointOptions options = {.url = {}}) {
  ScriptedServer server([&](Conversation& conversation) {
    if (conversation.read_request()) conversation.send(text);
  });
  options.url = server.url();
  return function(make_checkpoints(options));
}

TEST(CheckpointsOnTheWire, APutIsWhatAwsSends) {
  SeenRequest seen;
  ScriptedServer server([&](Conversation& conversation) {
    seen = conversation.read_request().value_or(SeenRequest{});
    conversation.send(answer(200));
  });
  const auto checkpoints = make_checkpoints({.url = server.url()});
  ASSERT_TRUE(checkpoints.put({"my run", 3, 7}, bytes_of("hello")));
  server.stop();
  EXPECT_EQ(seen.line, "POST /v1/cp/checkpoints/my%20run/3/7 HTTP/1.1");
  EXPECT_EQ(seen.header("Content-Length"), "5");
  EXPECT_EQ(seen.header("Shard-Meta"),
            "{\"checksum\": \"" + std::string(hello_checksum) + "\", \"algorithm\": \"xxh3_128\"}");
  EXPECT_EQ(seen.header("User-Agent"), "hyperpod-checkpoints/1.0");
  EXPECT_EQ(seen.body, "hello");
}

TEST(CheckpointsOnTheWire, WrongBytesAreNeverAShard) {
  const auto get = [](const Checkpoints& checkpoints) {
    StringSink sink;
    return checkpoints.get({"run", 0, 1}, sink);
  };
  const auto wrong = against(shard_response("hellO", hello_checksum), get);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::malformed_response);
  EXPECT_THAT(wrong.error().message, HasSubstr("checksum"));
  EXPECT_FALSE(against(shard_response("", hello_checksum), get));
  EXPECT_TRUE(against(shard_response("hello", hello_checksum), get));
  EXPECT_FALSE(
      against("HTTP/1.1 204 None\r\nShard-Meta: {\"algorithm\": \"xxh3_128\", \"checksum\": \"" +
                  std::string(hello_checksum) + "\"}\r\n\r\n",
              get));
  EXPECT_TRUE(against("HTTP/1.1 204 None\r\n\r\n", get).value());
  // Packed though nobody asked for it, and a length that lies.
  EXPECT_FALSE(against(shard_response("hello", hello_checksum, "Content-Encoding: gzip\r\n"), get));
  EXPECT_FALSE(against("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", get));
}

TEST(CheckpointsOnTheWire, WrongBytesAreAskedForAgain) {
  ScriptedServer server([&](Conversation& conversation) {
    for (int i = 0; i < 2 && conversation.read_request(); ++i) {
      conversation.send(shard_response(i == 0 ? "jello" : "hello", hello_checksum));
    }
  });
  const auto checkpoints =
      make_checkpoints({.url = server.url(), .retries = 1, .retry_backoff = 1ms});
  StringSink sink;
  const auto read = checkpoints.get({"run", 0, 1}, sink);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(sink.text, "hello");
  EXPECT_EQ(sink.begun, 2);
}

TEST(CheckpointsOnTheWire, ABodyMayBeChunkedOrEndWithTheConnection) {
  const auto get = [](const Checkpoints& checkpoints) {
    StringSink sink;
    const auto read = checkpoints.get({"run", 0, 1}, sink);
    return read ? sink.text : "error: " + read.error().message;
  };
  const std::string meta = "Shard-Meta: {\"checksum\": \"" + std::string(hello_checksum) +
                           "\", \"algorithm\": \"xxh3_128\"}\r\n";
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + meta +
                        "\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
                    get),
            "hello");
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\n" + meta + "\r\nhello", get), "hello");
  EXPECT_THAT(against("HTTP/1.1 200 OK\r\n\r\nhello", get), HasSubstr("its end cannot be told"));
  EXPECT_THAT(against("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", get),
              HasSubstr("broke off"));
}

TEST(CheckpointsOnTheWire, AShardWithoutAKnownChecksumIsSaidToBeUnchecked) {
  const auto get = [](const Checkpoints& checkpoints) {
    StringSink sink;
    return checkpoints.get({"run", 0, 1}, sink).value().value().checked;
  };
  EXPECT_FALSE(against(answer(200, "hello"), get));
  EXPECT_FALSE(
      against("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nShard-Meta: {not JSON\r\n\r\nx", get));
  // Longer than what a lease's response may hold.
  EXPECT_FALSE(against("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nShard-Meta: " +
                           std::string(20'000, '[') + "\r\n\r\nx",
                       get));
}

TEST(CheckpointsOnTheWire, LengthsBeyondFourGibibytesAreUnderstood) {
  constexpr std::uint64_t announced = (5ull << 30) + 3;
  StringSink sink;
  const auto read =
      against("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(announced) + "\r\n\r\nhello",
              [&](const Checkpoints& checkpoints) {
                return checkpoints.get({"run", 0, 1}, sink);
              });
  EXPECT_EQ(sink.announced, announced);
  EXPECT_EQ(read.error().code, ErrorCode::malformed_response);
  std::vector<std::byte> small(100);
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nhello",
                    [&](const Checkpoints& checkpoints) {
                      return checkpoints.get({"run", 0, 1}, small);
                    })
                .error()
                .code,
            ErrorCode::too_large);

  SeenRequest head;
  ScriptedServer server([&](Conversation& conversation) {
    head = conversation.read_head().value_or(SeenRequest{});
    conversation.send(answer(507));
  });
  EndlessSource source(announced);
  const auto put = make_checkpoints({.url = server.url()}).put({"run", 0, 1}, source);
  server.stop();
  EXPECT_EQ(put.error().status, 507);
  EXPECT_EQ(head.header("Content-Length"), std::to_string(announced));
}

TEST(CheckpointsOnTheWire, NonsenseIsRefused) {
  const auto find = [](const Checkpoints& checkpoints) {
    return checkpoints.find_namespace("run").error().code;
  };
  for (const char* body :
       {"", "[]", "{}", "{\"num_ranks\":1}", "{\"num_ranks\":-1,\"steps_to_retain_per_rank\":1}",
        "{\"num_ranks\":1.5,\"steps_to_retain_per_rank\":1}",
        "{\"num_ranks\":\"1\",\"steps_to_retain_per_rank\":1}", "{\"num_ranks\":1,"}) {
    EXPECT_EQ(against(answer(200, body), find), ErrorCode::malformed_response) << body;
  }
  EXPECT_EQ(against("SSH-2.0-OpenSSH\r\n", find), ErrorCode::malformed_response);
  EXPECT_EQ(against(answer(307), find), ErrorCode::refused);
  EXPECT_EQ(against("", find), ErrorCode::unreachable);
}

TEST(CheckpointsOnTheWire, APutThatIsAcceptedBeforeItWasSentIsNotStored) {
  ScriptedServer server([&](Conversation& conversation) {
    if (conversation.read_head()) conversation.send(answer(200));
  });
  EndlessSource source(1ull << 30);
  EXPECT_EQ(make_checkpoints({.url = server.url()}).put({"run", 0, 1}, source).error().code,
            ErrorCode::malformed_response);
}

TEST(CheckpointsOnTheWire, RetryAfterGoesBeforeTheBackoffAndIsBounded) {
  std::atomic<int> requests{0};
  ScriptedServer server([&](Conversation& conversation) {
    while (conversation.read_request()) {
      ++requests;
      conversation.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n");
    }
  });
  // Time is moved while the first response is on its way, too: no limit but the backoff is near.
  auto clock = std::make_shared<ManualClock>();
  const auto checkpoints = make_checkpoints({.url = server.url(),
                                             .stall_timeout = 1'000h,
                                             .retries = 1,
                                             .retry_backoff = 10'000h,
                                             .clock = clock});
  int status = 0;
  std::thread caller(
      [&] { status = checkpoints.reset_cluster({.timeout = 1'000h}).error().status; });
  EXPECT_TRUE(testing::eventually([&] {
    if (requests == 1) clock->advance(7s);
    return requests == 2;
  }));
  caller.join();
  EXPECT_EQ(status, 503);
  // No use in waiting beyond the deadline.
  EXPECT_EQ(checkpoints.reset_cluster({.timeout = 6s}).error().status, 503);
}

TEST(CheckpointsOnTheWire, ARetryAfterOfAnyLengthIsALongOne) {
  for (const std::string seconds : {"4294967295", "4294967296", "99999999999999999999"}) {
    std::atomic<int> requests{0};
    ScriptedServer server([&](Conversation& conversation) {
      while (conversation.read_request()) {
        ++requests;
        conversation.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: " + seconds +
                          "\r\n\r\n");
      }
    });
    const auto checkpoints =
        make_checkpoints({.url = server.url(), .retries = 1, .retry_backoff = 1ms});
    // It would end behind the deadline, so nobody waits for it.
    EXPECT_EQ(checkpoints.reset_cluster({.timeout = 1min}).error().status, 503) << seconds;
    EXPECT_EQ(requests, 1) << seconds;
  }
}

TEST(CheckpointOptionsTest, UnusableOnesAreNamed) {
  for (const char* url : {"", "http://a:1,http://b:1", "ftp://x", "http://127.0.0.1:99999"}) {
    const auto made = Checkpoints::create({.url = url});
    ASSERT_FALSE(made) << url;
    EXPECT_EQ(made.error().code, ErrorCode::invalid_option);
  }
  EXPECT_FALSE(Checkpoints::create({.url = "http://x:1", .stall_timeout = 0ms}));
}

TEST(CheckpointResponses, StepsComeInAnyForm) {
  using checkpoint::parse_steps;
  EXPECT_THAT(parse_steps("[3,\"10\",3,9]").value(), ElementsAre(10, 9, 3));
  EXPECT_THAT(parse_steps("[18446744073709551615]").value(), ElementsAre(18446744073709551615u));
  EXPECT_THAT(parse_steps("[-0]").value(), ElementsAre(0));
  for (const char* body : {"{}", "[-1]", "[1.0]", "[\"\"]", "[\"1x\"]", "[\" 1\"]", "[[1]]",
                           "[null]", "[18446744073709551616]", "[1", "7"}) {
    EXPECT_FALSE(parse_steps(body)) << body;
  }
  EXPECT_FALSE(parse_steps(std::string(1 << 20, '[')));
}

TEST(CheckpointChecksum, IsWhatPythonGives) {
  checkpoint::Checksum checksum;
  EXPECT_EQ(checksum.base64(), "maoG0wFHmNhgAcMkRo1Jfw==");
  checksum.add(bytes_of("hel"));
  checksum.add(bytes_of("lo"));
  EXPECT_EQ(checksum.base64(), hello_checksum);
  EXPECT_EQ(checkpoint::checksum_in(checkpoint::shard_meta("abc")), "abc");
  EXPECT_EQ(checkpoint::checksum_in("{\"checksum\":\"x\",\"algorithm\":\"md5\"}"), std::nullopt);
}

}  // namespace
}  // namespace hyperpod::client
