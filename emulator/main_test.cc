// SPDX-License-Identifier: Apache-2.0
// hyperpod-emulator as scripts meet it: ready line, signals, exit status, and what it leaves
// behind.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "hyperpod/base/unique_name.h"

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::chrono::seconds patience{30};

// One end of a pipe, read with a deadline.
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  ~Output() { ::close(fd_); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // All that was written up to and including the first line that holds `text`.
  std::string until(std::string_view text) {
    std::size_t end = std::string::npos;
    while (true) {
      if (const auto at = seen_.find(text); at != std::string::npos) end = seen_.find('\n', at);
      if (end != std::string::npos) return seen_.substr(0, end + 1);
      if (!read_more()) return "not found in: " + seen_;
    }
  }

  std::string all() {
    while (read_more()) {
    }
    return seen_;
  }

 private:
  bool read_more() {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) != 1) {
      ADD_FAILURE() << "nothing more was written in time, after: " << seen_;
      return false;
    }
    std::array<char, 4096> piece{};
    const ssize_t size = ::read(fd_, piece.data(), piece.size());
    if (size <= 0) return false;
    seen_.append(piece.data(), static_cast<std::size_t>(size));
    return true;
  }

  int fd_;
  std::string seen_;
};

constexpr const char* stale_ready_line = R"({"event":"ready","url":"http://127.0.0.1:9200"})";

enum class Stdout { read, without_reader, closed };

// A hyperpod-emulator; killed if it still runs in the end.
class Program {
 public:
  // `before` is a program, with its arguments, that runs the emulator.
  explicit Program(std::vector<std::string> arguments, Stdout stdout_is = Stdout::read,
                   std::vector<std::string> before = {},
                   const std::string& program = HYPERPOD_EMULATOR) {
    int out[2];
    int err[2];
    EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(err, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (stdout_is == Stdout::closed) {
      posix_spawn_file_actions_addclose(&actions, STDOUT_FILENO);
    } else {
      posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    }
    if (stdout_is != Stdout::read) ::close(std::exchange(out[0], -1));
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    if (!program.empty()) before.push_back(program);
    arguments.insert(arguments.begin(), before.begin(), before.end());
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    EXPECT_EQ(::posix_spawnp(&pid_, argv.front(), &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    ::close(err[1]);
    if (out[0] >= 0) out_.emplace(out[0]);
    err_.emplace(err[0]);
  }

  ~Program() {
    if (!reaped_) {
      send(SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  // The one child of what was started, as the kernel lists it.
  pid_t child() const {
    pid_t child = 0;
    std::ifstream(fmt::format("/proc/{0}/task/{0}/children", pid_)) >> child;
    EXPECT_GT(child, 0);
    return child;
  }
  // Waits until the process has a handler for `signal`.
  bool comes_to_handle(int signal) const {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
      std::ifstream status(fmt::format("/proc/{}/status", pid_));
      std::string word;
      while (status >> word && word != "SigCgt:") {
      }
      status >> word;
      if ((std::stoull(word, nullptr, 16) & (1ull << (signal - 1))) != 0) return true;
      std::this_thread::yield();
    }
    return false;
  }
  void send(int signal) { ::kill(pid_, signal); }
  json ready() { return json::parse(out_->until("ready"), nullptr, false); }
  std::string log_until(std::string_view text) { return err_->until(text); }
  std::string out() { return out_->all(); }
  std::string err() { return err_->all(); }

  // What waitpid says once it has ended, which closes its stderr.
  int status() {
    err_->all();
    if (testing::Test::HasFailure()) send(SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    reaped_ = true;
    return status;
  }

  // As exit_code(), while what it logs is left in the pipe.
  int exit_code_without_reading() {
    int ended = 0;
    ::waitpid(pid_, &ended, 0);
    reaped_ = true;
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : -WTERMSIG(ended);
  }

  int exit_code() {
    const int ended = status();
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : -WTERMSIG(ended);
  }

 private:
  pid_t pid_ = 0;
  bool reaped_ = false;
  std::optional<Output> out_;
  std::optional<Output> err_;
};

asio::ip::tcp::socket connect(asio::io_context& io, const json& ready) {
  const std::string url = ready.at("url");
  const auto port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  asio::ip::tcp::socket socket(io);
  socket.connect({asio::ip::make_address("127.0.0.1"), port});
  return socket;
}

// The response to one request, as text.
std::string ask(const json& ready, std::string_view request) {
  asio::io_context io;
  auto socket = connect(io, ready);
  asio::write(socket, asio::buffer(request));
  std::string answer;
  boost::system::error_code end;
  std::array<char, 4096> piece{};
  while (const std::size_t size = socket.read_some(asio::buffer(piece), end)) {
    answer.append(piece.data(), size);
  }
  return answer;
}

// A connection whose body in flight holds up an orderly stop.
asio::ip::tcp::socket with_a_body_in_flight(asio::io_context& io, const json& ready) {
  auto socket = connect(io, ready);
  asio::write(socket, asio::buffer(std::string_view("PUT /v1/kv/b/k HTTP/1.1\r\nHost: x\r\nExpect: "
                                                    "100-continue\r\nContent-Length: 5\r\n\r\n")));
  std::array<char, 64> interim{};
  socket.read_some(asio::buffer(interim));
  return socket;
}

class Main : public testing::Test {
 public:
  ~Main() override {
    ::shm_unlink(name_.c_str());
    fs::remove(owner());
    fs::remove_all(directory_);
  }

 protected:
  static void SetUpTestSuite() {
    // Some of these programs die on purpose.
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
  }

  Main() { fs::create_directories(directory_); }

  std::vector<std::string> arguments(std::vector<std::string> more = {}) const {
    std::vector<std::string> all{"--listen",     "127.0.0.1:0", "--admin",    "off",
                                 "--shm-name",   name_,         "--capacity", "4MiB",
                                 "--block-size", "64KiB",       "--threads",  "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  std::string segment() const { return "/dev/shm/" + name_; }
  std::string owner() const { return fmt::format("/dev/shm/.{}.owner", name_); }
  std::string path(const std::string& file) const { return directory_ + "/" + file; }

  bool nothing_is_left() const { return !fs::exists(segment()) && !fs::exists(owner()); }

  ino_t inode() const {
    struct stat info {};
    ::stat(segment().c_str(), &info);
    return info.st_ino;
  }

  // Puts a segment there that no emulator has made.
  void make_foreign_segment() const {
    const int fd = ::shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::ftruncate(fd, 4096), 0);
    ::close(fd);
  }

  std::string name_ = hyperpod::base::unique_name("hyperpod_main_test_");

 private:
  std::string directory_ = testing::TempDir() + name_;
};

TEST_F(Main, TheReadyLineTellsWhereItServes) {
  Program program(arguments({"--shm-mode", "0640"}));
  const json ready = program.ready();
  ASSERT_TRUE(ready.is_object());
  const std::string url = ready.at("url");
  EXPECT_THAT(url, testing::MatchesRegex("http://127\\.0\\.0\\.1:[0-9]+"));
  EXPECT_EQ(ready, (json{{"event", "ready"},
                         {"url", url},
                         {"admin", nullptr},
                         {"shm_name", name_},
                         {"capacity", 4 << 20},
                         {"pid", program.pid()}}));
  EXPECT_THAT(ask(ready,
                  "PUT /v1/kv/b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: "
                  "close\r\n\r\nhello"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(fs::file_size(segment()), 4u << 20);
  EXPECT_EQ(fs::status(segment()).permissions(), fs::perms(0640));

  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_EQ(std::ranges::count(program.out(), '\n'), 1);
}

TEST_F(Main, SigtermAndSigintEndItWithoutATrace) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Program program(arguments());
    program.ready();
    EXPECT_FALSE(nothing_is_left());
    program.send(signal);
    EXPECT_EQ(program.exit_code(), 0);
    EXPECT_TRUE(nothing_is_left());
    EXPECT_THAT(program.err(),
                HasSubstr(signal == SIGTERM ? "SIGTERM received" : "SIGINT received"));
  }
}

TEST_F(Main, TheReadyFileIsThereWhileItServes) {
  std::ofstream(path("ready")) << stale_ready_line;
  Program program(arguments({"--ready-file", path("ready")}));
  const json ready = program.ready();
  std::ifstream file(path("ready"));
  EXPECT_EQ(json::parse(file), ready);
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_FALSE(fs::exists(path("ready")));
}

TEST_F(Main, TheSegmentOfAKilledPredecessorIsTakenOver) {
  ino_t former = 0;
  {
    Program killed(arguments());
    killed.ready();
    former = inode();
    killed.send(SIGKILL);
    EXPECT_EQ(killed.exit_code(), -SIGKILL);
  }
  ASSERT_TRUE(fs::exists(segment()));
  Program program(arguments());
  EXPECT_TRUE(program.ready().is_object());
  EXPECT_NE(inode(), former);
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, ASegmentOfALiveEmulatorIsLeftToIt) {
  Program program(arguments());
  program.ready();
  const ino_t before = inode();
  for (const char* replace : {"--replace-segment=false", "--replace-segment=true"}) {
    Program second(arguments({replace, "--log-level", "off"}));
    EXPECT_EQ(second.exit_code(), 1);
    const std::string error = second.err();
    EXPECT_THAT(error, AllOf(StartsWith("hyperpod-emulator: "), HasSubstr(name_),
                             HasSubstr(std::to_string(program.pid()))));
    EXPECT_EQ(std::ranges::count(error, '\n'), 1);
    EXPECT_EQ(second.out(), "");
  }
  EXPECT_EQ(inode(), before);
}

TEST_F(Main, ASegmentOfUnknownOriginIsTakenOverOnlyWhenToldSo) {
  make_foreign_segment();
  Program refused(arguments());
  EXPECT_EQ(refused.exit_code(), 1);
  EXPECT_THAT(refused.err(), HasSubstr("--replace-segment"));
  EXPECT_EQ(fs::file_size(segment()), 4096u);

  Program program(arguments({"--replace-segment"}));
  EXPECT_TRUE(program.ready().is_object());
  EXPECT_EQ(fs::file_size(segment()), 4u << 20);
}

TEST_F(Main, APortInUseIsOneLineAndLeavesNoSegment) {
  asio::io_context io;
  asio::ip::tcp::acceptor taken(io, {asio::ip::make_address("127.0.0.1"), 0});
  const std::string address = fmt::format("127.0.0.1:{}", taken.local_endpoint().port());
  std::ofstream(path("ready")) << stale_ready_line;
  Program program(arguments({"--listen", address, "--ready-file", path("ready")}));
  EXPECT_EQ(program.exit_code(), 1);
  const std::string error = program.err();
  EXPECT_THAT(error, AllOf(HasSubstr(address), HasSubstr("in use")));
  EXPECT_EQ(std::ranges::count(error, '\n'), 1);
  EXPECT_FALSE(fs::exists(path("ready")));  // of a former run, which would tell a lie
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, AStartThatFailsLeavesTheReadyFileOfTheOneThatServes) {
  Program program(arguments({"--ready-file", path("ready")}));
  const json ready = program.ready();
  Program second(arguments({"--ready-file", path("ready")}));
  EXPECT_EQ(second.exit_code(), 1);
  std::ifstream file(path("ready"));
  EXPECT_EQ(json::parse(file, nullptr, false), ready);
}

TEST_F(Main, WithoutAnIpv6AddressItTellsOneThatCanBeReached) {
  Program without_network({"-n", "true"}, Stdout::read, {"unshare"}, "");
  if (without_network.exit_code() != 0) GTEST_SKIP() << "no network namespace can be made here";
  Program program(arguments({"--listen", "[::]:0"}), Stdout::read, {"unshare", "-n"});
  EXPECT_THAT(std::string(program.ready().at("url")), StartsWith("http://127.0.0.1:"));
}

TEST_F(Main, ALimitInTheWayIsNamedWithItsCommand) {
  Program small_files(arguments(), Stdout::read, {"prlimit", "--fsize=1048576"});
  EXPECT_EQ(small_files.exit_code(), 1);
  EXPECT_THAT(small_files.err(), AllOf(HasSubstr("File too large"), HasSubstr("ulimit -f")));

  int served = 0;
  int refused = 0;
  for (int most = 4; served == 0 && most < 100; ++most) {
    Program program(arguments({"--log-level", "off"}), Stdout::read,
                    {"prlimit", fmt::format("--nofile={0}:{0}", most)});
    if (program.ready().is_object()) {
      ++served;
      continue;
    }
    program.exit_code();
    const std::string error = program.err();
    if (error.find("Too many open files") == error.npos) continue;  // told by the loader
    ++refused;
    EXPECT_THAT(error, HasSubstr("ulimit")) << most;
    EXPECT_THAT(error, testing::Not(HasSubstr("choose another"))) << most;
  }
  EXPECT_EQ(served, 1);
  EXPECT_GT(refused, 0);
}

TEST_F(Main, WithoutDevShmItSaysSo) {
  const std::vector<std::string> without{
      "unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh"};
  Program possible({}, Stdout::read, without, "true");
  if (possible.exit_code() != 0) GTEST_SKIP() << "no file system can be mounted here";
  Program program(arguments(), Stdout::read, without);
  EXPECT_EQ(program.exit_code(), 1);
  EXPECT_THAT(program.err(), HasSubstr("there is no directory /dev/shm"));
}

TEST_F(Main, UnusableArgumentsAreOneLineAndExit2) {
  std::ofstream(path("config.toml")) << "[cache]\n\ncapacity = 5\n";
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--bogus"}, "--bogus"},
      {{"--capacity", "64"}, "--capacity: '64' has no unit"},
      {{"--capacity", "100KiB"}, "--capacity: the capacity of 100KiB is not a multiple"},
      {{"--admin", "nowhere"}, "--admin: "},
      {{"--scenario", "/absent.yaml"}, "/absent.yaml"},
      {{"--shm-name", "a/b"}, "--shm-name: "},
      {{"--config", path("config.toml")}, path("config.toml") + ":3: cache.capacity: "},
      {{"--tls-cert", "/absent", "--tls-key", "/absent"}, "/absent"},
      {{"--ready-file", path("pipe")}, "--ready-file " + path("pipe") + ": "}};
  for (const auto& [wrong, expected] : cases) {
    Program program(arguments(wrong));
    EXPECT_EQ(program.exit_code(), 2) << expected;
    const std::string error = program.err();
    EXPECT_THAT(error, AllOf(StartsWith("hyperpod-emulator: "), HasSubstr(expected)));
    EXPECT_EQ(std::ranges::count(error, '\n'), 1);
    EXPECT_EQ(program.out(), "");
    EXPECT_TRUE(nothing_is_left());
  }
}

TEST_F(Main, AReadyFileThatCannotBeWrittenEndsItWithoutATrace) {
  Program program(arguments({"--ready-file", path("no/such/ready")}));
  EXPECT_EQ(program.exit_code(), 2);
  EXPECT_THAT(program.err(), HasSubstr("no/such/ready: No such file"));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, HelpVersionAndOptionsArePrintedWithoutAStart) {
  for (const char* option : {"--help", "--version", "--list-options=markdown"}) {
    Program program({option});
    EXPECT_EQ(program.exit_code(), 0);
    EXPECT_FALSE(program.out().empty());
    EXPECT_EQ(program.err(), "");
  }
}

TEST_F(Main, APrintoutThatCannotBeWrittenIsAnError) {
  Program program({"--list-options=markdown"}, Stdout::read,
                  {"/bin/sh", "-c", "exec \"$0\" \"$@\" >/dev/full"});
  EXPECT_EQ(program.exit_code(), 1);
  EXPECT_EQ(program.err(),
            "hyperpod-emulator: cannot write to standard output: No space left on device\n");
}

TEST_F(Main, AnAcceptedSettingWithoutEffectIsWarnedAbout) {
  std::ofstream(path("config.toml")) << "[transfer]\naddress = \"127.0.0.1:9240\"\n";
  Program program(arguments({"--config", path("config.toml")}));
  EXPECT_THAT(program.log_until("serving"),
              AllOf(HasSubstr(" warn "), HasSubstr("config.toml:2: transfer.address")));
}

TEST_F(Main, TheLogIsJsonLineByLineWhenToldSo) {
  Program program(arguments({"--log-format", "json", "--log-level", "debug"}));
  ask(program.ready(), "GET /\"\\\x01%0a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
  std::istringstream log(program.err());
  std::size_t lines = 0;
  for (std::string line; std::getline(log, line); ++lines) {
    const json record = json::parse(line, nullptr, false);
    EXPECT_TRUE(record.is_object() && record.contains("time") && record.contains("level") &&
                record.contains("message"))
        << line;
  }
  EXPECT_GE(lines, 3u);
}

TEST_F(Main, ASelfSignedServerSaysHttps) {
  Program program(arguments({"--tls-self-signed", path("tls")}));
  EXPECT_THAT(program.ready().value("url", ""), StartsWith("https://127.0.0.1:"));
  EXPECT_TRUE(fs::exists(path("tls/ca.pem")));
}

TEST_F(Main, EverySignalThatCanBeCaughtLeavesNoSegment) {
  for (const int signal : {SIGHUP,    SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,  SIGBUS,  SIGFPE,
                           SIGSEGV,   SIGSYS,  SIGXCPU, SIGALRM, SIGUSR1,  SIGUSR2, SIGVTALRM,
                           SIGSTKFLT, SIGPROF, SIGIO,   SIGPWR,  SIGRTMIN, SIGRTMAX}) {
    Program program(arguments());
    program.ready();
    program.send(signal);
    const int code = program.exit_code();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    EXPECT_NE(code, 0) << signal;  // the sanitizer has handlers of its own for some
#else
    EXPECT_EQ(code, -signal);
#endif
    EXPECT_TRUE(nothing_is_left()) << signal;
  }
}

TEST_F(Main, AsProcess1OfAContainerEverySignalEndsItWithoutATrace) {
  for (const int signal : {SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGABRT, SIGSEGV}) {
    Program program(arguments(), Stdout::read,
                    {"unshare", "--fork", "--kill-child", "--pid", "--mount-proc"});
    const json ready = program.ready();
    if (!ready.is_object()) GTEST_SKIP() << "no PID namespace can be made: " << program.err();
    EXPECT_EQ(ready.at("pid"), 1);
    ::kill(program.child(), signal);
    // unshare ends as its child has: by exit, since no signal can have ended process 1.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    EXPECT_NE(program.exit_code(), 0) << signal;
#else
    EXPECT_EQ(program.exit_code(), 128 + signal);
#endif
    EXPECT_TRUE(nothing_is_left()) << signal;
  }
}

TEST_F(Main, AsProcess1OfAContainerASecondSignalEndsItAtOnce) {
  Program program(arguments(), Stdout::read,
                  {"unshare", "--fork", "--kill-child", "--pid", "--mount-proc"});
  const json ready = program.ready();
  if (!ready.is_object()) GTEST_SKIP() << "no PID namespace can be made: " << program.err();
  asio::io_context io;
  const auto held_up = with_a_body_in_flight(io, ready);
  ::kill(program.child(), SIGTERM);
  program.log_until("another one stops at once");
  ::kill(program.child(), SIGTERM);
  EXPECT_EQ(program.exit_code(), 128 + SIGTERM);
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, ASignalWhileItStartsEndsItWithoutATrace) {
  // The scenario comes from a pipe into which nobody writes.
  const std::string pipe = path("scenario.yaml");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  Program program(arguments({"--scenario", pipe}));
  ASSERT_TRUE(program.comes_to_handle(SIGTERM));
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, WithExitWithParentItEndsWhenItsParentDoes) {
  // The shell in between is the parent.
  Program program(arguments({"--exit-with-parent"}), Stdout::read,
                  {"sh", "-c", "\"$@\" & wait", "sh"});
  const json ready = program.ready();
  ASSERT_TRUE(ready.is_object());
  program.send(SIGKILL);
  EXPECT_THAT(program.err(), HasSubstr("the parent has ended, stopping"));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, TruncatingTheSegmentIsSaidAsItEndsTheProcess) {
  Program program(arguments());
  const json ready = program.ready();
  ASSERT_EQ(::truncate(segment().c_str(), 0), 0);
  program.log_until("truncated");
  // A chunked body is copied into the segment by the process itself, and not by the kernel.
  asio::io_context io;
  auto socket = connect(io, ready);
  asio::write(socket, asio::buffer(std::string_view("PUT /v1/kv/b/k HTTP/1.1\r\nHost: x\r\n"
                                                    "Transfer-Encoding: chunked\r\n\r\n"
                                                    "5\r\nhello\r\n0\r\n\r\n")));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(program.exit_code(), -SIGBUS);
  EXPECT_THAT(program.err(), HasSubstr(segment() + " is gone: another process has truncated it"));
  EXPECT_TRUE(nothing_is_left());
#endif
}

TEST_F(Main, TruncatingTheSegmentEndsItWhoeverWritesThere) {
  Program program(arguments());
  const json ready = program.ready();
  ASSERT_EQ(::truncate(segment().c_str(), 0), 0);
  // Most of such a body is copied into the segment by the kernel.
  asio::io_context io;
  auto socket = connect(io, ready);
  const std::string request =
      "PUT /v1/kv/b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
  // In two parts, so that none of it is copied by the process itself.
  asio::write(socket, asio::buffer(request));
  boost::system::error_code ended;
  asio::write(socket, asio::buffer(std::string(100'000, 'x')), ended);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(program.exit_code(), -SIGBUS);
  EXPECT_THAT(program.err(), HasSubstr(segment() + " is gone: another process has truncated it"));
#endif
}

TEST_F(Main, SaysThatALimitOfFilesSizesLeavesNoRoomForTheSegment) {
  Program program(arguments(), Stdout::read, {"prlimit", "--fsize=1048576"});
  EXPECT_EQ(program.exit_code(), 1);
  EXPECT_THAT(program.err(), AllOf(HasSubstr("hyperpod-emulator: "), HasSubstr("File too large")));
  EXPECT_TRUE(nothing_is_left());
}

// --- Descriptors --------------------------------------------------------------------------------

TEST_F(Main, TakesAllTheDescriptorsThatItMayHave) {
  Program program(arguments(), Stdout::read, {"prlimit", "--nofile=64:1024"});
  program.ready();
  rlimit limit{};
  ASSERT_EQ(::prlimit(program.pid(), RLIMIT_NOFILE, nullptr, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 1024u);
}

TEST_F(Main, AnswersHealthChecksWhenConnectionsHaveTakenAllOtherDescriptors) {
  Program program(arguments({"--admin", "127.0.0.1:0"}), Stdout::read,
                  {"prlimit", "--nofile=160:160"});
  const json ready = program.ready();
  asio::io_context io;
  std::vector<asio::ip::tcp::socket> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(connect(io, ready));
  EXPECT_THAT(program.log_until("new connections wait"), HasSubstr("RLIMIT_NOFILE is 160"));
  for (int i = 0; i < 3; ++i) {
    Program check({"--healthcheck", ready.at("admin")});
    EXPECT_EQ(check.exit_code(), 0) << check.err();
  }
  idle.clear();
  EXPECT_THAT(ask(ready, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 404 "));
}

TEST_F(Main, TheSegmentLosesItsNameAndThatIsSaidOnce) {
  Program program(arguments());
  program.ready();
  ::unlink(segment().c_str());
  EXPECT_THAT(program.log_until("no longer leads"), HasSubstr(" error "));
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
  const std::string log = program.err();
  EXPECT_EQ(log.find("no longer leads"), log.rfind("no longer leads"));
}

TEST_F(Main, ALogThatNobodyReadsHoldsNobodyUp) {
  Program program(arguments({"--log-level", "debug"}));
  const json ready = program.ready();
  asio::io_context io;
  auto socket = connect(io, ready);
  // Each refusal is logged with its target: far more than a pipe holds.
  const std::string request = "GET /" + std::string(4000, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n";
  std::array<char, 4096> response{};
  for (int i = 0; i < 500; ++i) {
    asio::write(socket, asio::buffer(request));
    ASSERT_GT(socket.read_some(asio::buffer(response)), 0u);
  }
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code_without_reading(), 0);
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, TheEnvironmentSetsOptions) {
  Program program(
      {"HYPERPOD_EMULATOR_LISTEN=127.0.0.1:0", "HYPERPOD_EMULATOR_ADMIN=off",
       "HYPERPOD_EMULATOR_SHM_NAME=" + name_, "HYPERPOD_EMULATOR_CAPACITY=4MiB", HYPERPOD_EMULATOR},
      Stdout::read, {"env"}, "");
  EXPECT_EQ(program.ready().value("capacity", 0), 4 << 20);
}

TEST_F(Main, WarnsOfAnAdminPortThatIsOpenToOtherMachinesUnlessItIsMeantToBe) {
  const auto said = [this](std::vector<std::string> more) {
    more.insert(more.end(), {"--admin", "0.0.0.0:0"});
    Program program(arguments(std::move(more)));
    program.ready();
    program.send(SIGTERM);
    EXPECT_EQ(program.exit_code(), 0);
    return program.err();
  };
  EXPECT_THAT(said({}), HasSubstr("is open to other machines"));
  EXPECT_THAT(said({"--admin-open"}), Not(HasSubstr("is open to other machines")));
}

TEST_F(Main, ATokenThatCannotBeReadIsOneLineAndExit2) {
  std::ofstream(path("token")) << "two words";
  Program program(arguments({"--admin-token-file", path("token")}));
  EXPECT_EQ(program.exit_code(), 2);
  EXPECT_THAT(program.err(), HasSubstr("does not hold a token"));
}

TEST_F(Main, ACrashDoesNotTouchASegmentThatTookItsName) {
  Program program(arguments());
  program.ready();
  ::shm_unlink(name_.c_str());
  make_foreign_segment();
  program.send(SIGSEGV);
  program.status();
  EXPECT_TRUE(fs::exists(segment()));
}

TEST_F(Main, ASecondSignalEndsItAtOnceWithoutATrace) {
  Program program(arguments());
  const json ready = program.ready();
  asio::io_context io;
  const auto held_up = with_a_body_in_flight(io, ready);
  program.send(SIGTERM);
  program.log_until("another one stops at once");
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), -SIGTERM);
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(Main, SurvivesTheEndOfItsTerminalUnderNohup) {
  std::signal(SIGHUP, SIG_IGN);
  Program program(arguments());
  std::signal(SIGHUP, SIG_DFL);
  program.ready();
  std::ifstream status(fmt::format("/proc/{}/status", program.pid()));
  std::string word;
  while (status >> word && word != "SigIgn:") {
  }
  status >> word;
  EXPECT_TRUE(std::stoull(word, nullptr, 16) & (1ull << (SIGHUP - 1))) << word;
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
}

TEST_F(Main, WithoutStdoutNothingElseTakesItsPlace) {
  Program program(arguments(), Stdout::closed);
  program.log_until("serving");
  EXPECT_EQ(fs::read_symlink(fmt::format("/proc/{}/fd/1", program.pid())), "/dev/null");
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
}

TEST_F(Main, AReadyLineThatNobodyReadsDoesNotEndIt) {
  Program program(arguments(), Stdout::without_reader);
  EXPECT_THAT(program.log_until("could not be printed"), HasSubstr("Broken pipe"));
  program.send(SIGTERM);
  EXPECT_EQ(program.exit_code(), 0);
}

}  // namespace
