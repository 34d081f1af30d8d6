// SPDX-License-Identifier: Apache-2.0
// The emulator in-process: what starting and stopping it leaves behind, and what stop() answers.
#include "hyperpod/emulator/emulator.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hyperpod/base/unique_name.h"
#include "testing/daemon.h"
#include "testing/log_recorder.h"
#include "testing/own_threads.h"
#include "testing/small_shm.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

namespace hyperpod::emulator {
namespace {

using test::chunked_head;
using test::Daemon;
using test::get_request;
using test::id_of;
using test::lease_request;
using test::own_threads;
using test::patience;
using test::put_head;
using test::put_request;
using test::random_bytes;
using test::release_request;
using test::WireClient;
using test::with_small_shm;

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::HasSubstr;

std::size_t entries_of(const std::string& directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
  return count;
}

/// What the names of this process's segments begin with.
const std::string& own_prefix() {
  static const std::string prefix = base::unique_name("hyperpod_test_") + "_";
  return prefix;
}

/// Segments of this process, and files beside them.
std::size_t segments() {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().find(own_prefix()) != std::string::npos) ++count;
  }
  return count;
}

/// Bytes of address space that this process has.
std::uint64_t address_space() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Bytes of address space that a thread's stack takes.
std::uint64_t default_stack() {
  rlimit stack{};
  getrlimit(RLIMIT_STACK, &stack);
  return stack.rlim_cur == RLIM_INFINITY ? 2 << 20 : stack.rlim_cur;
}

std::uint64_t resident_bytes() {
  std::uint64_t pages = 0;
  std::uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

/// What a process has that it could leak.
struct Footprint {
  std::size_t threads = own_threads();
  std::size_t descriptors = entries_of("/proc/self/fd");
  std::size_t segment_files = segments();
  std::size_t mappings = mapped_segments();
  friend bool operator==(const Footprint&, const Footprint&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Footprint& footprint) {
    return out << footprint.threads << " threads, " << footprint.descriptors << " descriptors, "
               << footprint.segment_files << " files and " << footprint.mappings
               << " mappings of segments";
  }

 private:
  static std::size_t mapped_segments() {
    std::size_t count = 0;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("/dev/shm/") != std::string::npos) ++count;
    }
    return count;
  }
};

/// What there is now, or soon: the kernel may list a thread that has been joined for a moment yet.
Footprint footprint_like(const Footprint& expected) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (Footprint() != expected && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  return Footprint();
}

Options small_options() {
  Options options = Options::for_test();
  options.shm_name = base::unique_name(own_prefix());
  options.capacity = 1 << 20;
  return options;
}

std::string refusal(Options options) {
  const auto started = Emulator::start(std::move(options));
  return started ? "started" : started.error().message;
}

template <class Work>
std::chrono::steady_clock::duration time_of(Work work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::steady_clock::now() - begin;
}

class EmulatorTest : public testing::Test {
 protected:
  ~EmulatorTest() override { EXPECT_EQ(footprint_like(before_), before_); }

 private:
  const Footprint before_{};
};

// --- Leaving nothing behind
// ---------------------------------------------------------------------

TEST_F(EmulatorTest, LeavesNothingBehindHoweverOftenItIsStarted) {
  const Footprint before;
  std::uint64_t resident_after_100 = 0;
  const int rounds = sanitized ? 100 : 1000;
  for (int round = 1; round <= rounds; ++round) {
    auto options = small_options();
    options.threads = static_cast<unsigned>(round % 3) + 1;
    if (round % 4 == 0) options.admin = "127.0.0.1:0";
    auto emulator = Emulator::start(options);
    ASSERT_TRUE(emulator) << emulator.error().message;
    WireClient idle(emulator->port());
    WireClient held(emulator->port());
    WireClient half_head(emulator->port());
    WireClient half_body(emulator->port());
    held.send(lease_request("b/absent", "timeout_ms=60000"));
    half_head.send("PUT /v1/kv/b/k HT");
    half_body.send(put_head("b/half", 70'000) + std::string(1000, 'x'));
    EXPECT_EQ(idle.ask(put_request("b/k", "bytes")).status, 200);
    EXPECT_EQ(idle.ask(lease_request("b/k")).status, 200);
    if (const auto& admin = emulator->admin_url(); !admin.empty()) {
      WireClient asker(static_cast<std::uint16_t>(std::stoi(admin.substr(admin.rfind(':') + 1))));
      EXPECT_EQ(asker.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    }
    half_body.close();  // else stop() would give it time to end
    emulator->stop();
    if (round == 100) resident_after_100 = resident_bytes();
    ASSERT_EQ(segments(), before.segment_files);
  }
  EXPECT_EQ(footprint_like(before), before);
  // Sanitizers keep what was freed.
  EXPECT_TRUE(sanitized || resident_bytes() < resident_after_100 + (2 << 20))
      << resident_after_100 << " bytes became " << resident_bytes();
}

TEST_F(EmulatorTest, StopsWhenItIsDestroyedOrReplaced) {
  auto one = Emulator::start(small_options());
  ASSERT_TRUE(one);
  const auto first_segment = "/dev/shm/" + one->shm_name();
  EXPECT_TRUE(fs::exists(first_segment));
  auto two = Emulator::start(small_options());
  ASSERT_TRUE(two);
  *one = std::move(*two);
  EXPECT_FALSE(fs::exists(first_segment));
  EXPECT_TRUE(fs::exists("/dev/shm/" + one->shm_name()));
  Emulator& itself = *one;
  *one = std::move(itself);
  EXPECT_TRUE(fs::exists("/dev/shm/" + one->shm_name())) << "moved onto itself, it goes on";
}

TEST_F(EmulatorTest, StopsOnceHoweverOftenItIsTold) {
  auto emulator = Emulator::start(small_options());
  ASSERT_TRUE(emulator);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { emulator->stop(); });
  for (auto& thread : threads) thread.join();
  emulator->stop();
  EXPECT_FALSE(fs::exists("/dev/shm/" + emulator->shm_name()));
  EXPECT_GT(emulator->port(), 0);
  EXPECT_EQ(emulator->statistics().open_connections, 0u);
}

TEST_F(EmulatorTest, SparesASegmentThatSomebodyPutInItsPlace) {
  auto emulator = Emulator::start(small_options());
  ASSERT_TRUE(emulator);
  const auto path = "/dev/shm/" + emulator->shm_name();
  fs::remove(path);
  std::ofstream(path) << "another's";
  emulator->stop();
  EXPECT_TRUE(fs::exists(path));
  fs::remove(path);
}

TEST_F(EmulatorTest, GivesNoDescriptorToProgramsThatItsProcessStarts) {
  auto emulator = Emulator::start(small_options());
  ASSERT_TRUE(emulator);
  WireClient client(emulator->port());
  EXPECT_EQ(client.ask(get_request()).status, 404);
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    std::error_code gone;
    const auto target = fs::read_symlink(entry.path(), gone).string();
    if (gone || fd <= STDERR_FILENO) continue;
    const bool ours = target.starts_with("socket:") || target.starts_with("/dev/shm/");
    EXPECT_TRUE(!ours || (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) << fd << " is " << target;
  }
}

// --- Memory that the machine may not have
// ---------------------------------------------------------------------

TEST_F(EmulatorTest, AnswersNoRoomWhenTheMachineHasNoneLeft) {
  const auto outcome = with_small_shm(2 << 20, [] {
    Daemon daemon(small_options());  // of 1 MiB in blocks of 64 KiB
    auto client = daemon.connect();
    const auto first = random_bytes(500'000, 1);
    EXPECT_EQ(client.ask(put_request("b/first", first)).status, 200);
    std::ofstream("/dev/shm/other") << std::string(3 << 19, 'x');
    const auto refused = client.ask(put_request("b/second", random_bytes(500'000, 2)));
    EXPECT_EQ(refused.status, 507);
    EXPECT_THAT(refused.body, HasSubstr("/dev/shm is full"));
    EXPECT_EQ(
        client.ask(chunked_head("b/third") + "30d40\r\n" + random_bytes(200'000) + "\r\n0\r\n\r\n")
            .status,
        507);
    EXPECT_EQ(daemon.leased_bytes(client.ask(lease_request("b/first"))), first);
    EXPECT_EQ(daemon.statistics().used_bytes, 8u * 64 * 1024);
    fs::remove("/dev/shm/other");
    EXPECT_EQ(client.ask(put_request("b/second", first)).status, 200);
    return testing::Test::HasFailure() ? 1 : 0;
  });
  if (!outcome) GTEST_SKIP() << "this process may not mount a /dev/shm of its own";
  EXPECT_EQ(*outcome, 0);
}

TEST_F(EmulatorTest, TakesTheWholeSegmentAtStartUnlessToldOtherwise) {
  EXPECT_EQ(Options{}.reserve, Reserve::whole);
  for (const auto reserve : {Reserve::whole, Reserve::on_use}) {
    Options options = small_options();
    options.reserve = reserve;
    const Daemon daemon(options);
    struct stat info {};
    ASSERT_EQ(::stat(("/dev/shm/" + options.shm_name).c_str(), &info), 0);
    const auto taken = static_cast<std::uint64_t>(info.st_blocks) * 512;
    EXPECT_EQ(taken, reserve == Reserve::whole ? options.capacity : 0u);
  }
}

// --- The segment's name
// ------------------------------------------------------------------------

template <class Condition>
bool comes_true(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  return condition();
}

std::ptrdiff_t occurrences(const std::string& text, std::string_view of) {
  std::ptrdiff_t count = 0;
  for (auto at = text.find(of); at != text.npos; at = text.find(of, at + 1)) ++count;
  return count;
}

TEST_F(EmulatorTest, SaysOnceThatTheSegmentHasLostItsName) {
  auto options = small_options();
  const auto log = std::make_shared<test::LogRecorder>();
  options.log = log;
  auto emulator = Emulator::start(options);
  ASSERT_TRUE(emulator);
  EXPECT_TRUE(emulator->segment().linked && emulator->segment().intact);
  for (std::uint64_t round = 1; round <= 3; ++round) {
    fs::remove("/dev/shm/" + options.shm_name);
    EXPECT_TRUE(comes_true([&] { return emulator->statistics().segment_losses == round; }));
    EXPECT_FALSE(emulator->segment().linked);
    WireClient client(emulator->port());
    EXPECT_EQ(client.ask(put_request("b/k", "x")).status, 200);
    Effects restart;
    restart.incident = Incident::restart;
    EXPECT_TRUE(emulator->cause(restart));
    EXPECT_TRUE(emulator->segment().linked);
    EXPECT_TRUE(comes_true([&] {
      return occurrences(log->text(), "leads to the segment again") ==
             static_cast<std::ptrdiff_t>(round);
    }));
  }
  EXPECT_EQ(occurrences(log->text(), "error /dev/shm/" + options.shm_name + " no longer leads"), 3);
}

TEST_F(EmulatorTest, SaysThatTheSegmentWasTruncated) {
  auto options = small_options();
  const auto log = std::make_shared<test::LogRecorder>();
  options.log = log;
  auto emulator = Emulator::start(options);
  ASSERT_TRUE(emulator);
  ASSERT_EQ(::truncate(("/dev/shm/" + options.shm_name).c_str(), 0), 0);
  EXPECT_TRUE(comes_true([&] { return emulator->statistics().segment_losses == 1; }));
  EXPECT_FALSE(emulator->segment().intact);
  EXPECT_THAT(log->text(), HasSubstr("was truncated by another process"));
}

using EmulatorDeathTest = EmulatorTest;

TEST_F(EmulatorDeathTest, ATestThatASignalEndsLeavesNoSegment) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  // The process that dies runs this test from its beginning; this is how it learns the name.
  ::setenv("HYPERPOD_TEST_SEGMENT", base::unique_name("hyperpod_test_").c_str(), 0);
  const std::string name = ::getenv("HYPERPOD_TEST_SEGMENT");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EXIT(
        {
          std::signal(signal, SIG_DFL);
          auto options = Options::for_test();
          options.shm_name = name;
          const auto emulator = Emulator::start(options);
          if (emulator && fs::exists("/dev/shm/" + name)) std::raise(signal);
        },
        testing::KilledBySignal(signal), "");
    EXPECT_FALSE(fs::exists("/dev/shm/" + name)) << signal;
    EXPECT_FALSE(fs::exists("/dev/shm/." + name + ".owner")) << signal;
  }
  ::unsetenv("HYPERPOD_TEST_SEGMENT");
}

// --- A clock that runs and is moved
// ------------------------------------------------------------

TEST_F(EmulatorTest, AnAdjustableClockEndsAtOnceWhatAJumpMakesDue) {
  const auto clock = std::make_shared<AdjustableClock>();
  auto options = small_options();
  options.clock = clock;
  auto emulator = Emulator::start(options);
  ASSERT_TRUE(emulator);
  WireClient client(emulator->port());
  ASSERT_EQ(client.ask(put_request("b/k", "bytes")).status, 200);
  ASSERT_EQ(client.ask(lease_request("b/k", "ttl_s=3600.0")).status, 200);
  clock->advance(30min);
  EXPECT_EQ(emulator->statistics().live_leases, 1u);
  clock->advance(30min);
  EXPECT_EQ(emulator->statistics().live_leases, 0u);
}

TEST_F(EmulatorTest, AnAdjustableClockGoesOnFromWhereAJumpHasBroughtIt) {
  const auto clock = std::make_shared<AdjustableClock>();
  auto options = small_options();
  options.clock = clock;
  options.limits.idle_timeout = 1h;
  auto emulator = Emulator::start(options);
  ASSERT_TRUE(emulator);
  WireClient waiter(emulator->port());
  waiter.send(lease_request("b/absent", "timeout_ms=3600000"));
  ASSERT_TRUE(comes_true([&] { return emulator->statistics().waiters == 1; }));
  WireClient idle(emulator->port());
  ASSERT_EQ(idle.ask(put_request("b/k", "bytes")).status, 200);
  clock->advance(1h - 200ms);
  // What is left passes by itself.
  EXPECT_EQ(waiter.receive().status, 504);
  EXPECT_EQ(idle.receive_until_closed(), "");
}

// --- Errors at start
// ----------------------------------------------------------------------------

TEST_F(EmulatorTest, RefusesAPortThatIsInUse) {
  auto first = Emulator::start(small_options());
  ASSERT_TRUE(first);
  auto options = small_options();
  options.listen = fmt::format("127.0.0.1:{}", first->port());
  const Footprint before;
  const auto second = Emulator::start(options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::address_unusable);
  EXPECT_THAT(second.error().message, HasSubstr(options.listen));
  EXPECT_EQ(footprint_like(before), before);
}

TEST_F(EmulatorTest, RefusesASegmentNameThatIsInUse) {
  auto first = Emulator::start(small_options());
  ASSERT_TRUE(first);
  auto options = small_options();
  options.shm_name = first->shm_name();
  const Footprint before;
  const auto second = Emulator::start(options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::segment_in_use);
  EXPECT_EQ(footprint_like(before), before);
  WireClient client(first->port());
  EXPECT_EQ(client.ask(put_request("b/k", "still there")).status, 200);
}

TEST_F(EmulatorTest, RefusesOptionsThatCannotBe) {
  const auto expect_refused = [](auto change, const std::string& named) {
    Options options = small_options();
    change(options);
    EXPECT_THAT(refusal(options), HasSubstr(named));
  };
  expect_refused([](Options& o) { o.capacity = 100'000; }, "capacity");
  expect_refused([](Options& o) { o.shm_name = "a/b"; }, "shm_name");
  expect_refused([](Options& o) { o.listen = "nowhere"; }, "listen");
  expect_refused([](Options& o) { o.listen = "192.0.2.1:0"; }, "192.0.2.1:0");
  expect_refused([](Options& o) { o.behaviour.miss_status = 200; }, "miss_status");
  expect_refused([](Options& o) { o.tls.certificate_file = "/nonexistent"; }, "certificate_file");
  expect_refused([](Options& o) { o.tls.certificate_file = o.tls.key_file = "/nonexistent/file"; },
                 "/nonexistent/file");
}

TEST_F(EmulatorTest, RefusesASegmentThatDoesNotFit) {
  Options options = Options::for_test();
  options.capacity = 1ull << 50;
  const auto started = Emulator::start(options);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::segment_unusable);
}

TEST_F(EmulatorTest, RefusesToStartWithoutDescriptorsInsteadOfThrowing) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan looks at objects through a pipe, and takes them for broken without one";
#endif
  rlimit saved{};
  getrlimit(RLIMIT_NOFILE, &saved);
  const int next = ::open("/dev/null", O_RDONLY);
  ::close(next);
  // From none at all to nearly as many as it takes.
  for (int spare = 0; spare < 40; ++spare) {
    rlimit tight = saved;
    tight.rlim_cur = static_cast<rlim_t>(next + spare);
    setrlimit(RLIMIT_NOFILE, &tight);
    auto options = small_options();
    options.threads = 4;
    const auto message = refusal(options);
    setrlimit(RLIMIT_NOFILE, &saved);
    EXPECT_NE(message, "") << spare;
    if (message == "started") break;
    EXPECT_LT(spare, 39);
  }
}

TEST_F(EmulatorTest, RefusesToStartWithoutThreadsAndLeavesNone) {
  if (sanitized) GTEST_SKIP() << "a sanitizer needs more address space than a limit leaves";
  rlimit saved{};
  getrlimit(RLIMIT_AS, &saved);
  auto options = small_options();
  options.threads = 64;
  options.listen = "127.0.0.1:" + std::to_string(Daemon().emulator().port());
  // Room for some of the threads' stacks, and not for all.
  rlimit tight = saved;
  tight.rlim_cur = address_space() + 20 * default_stack();
  setrlimit(RLIMIT_AS, &tight);
  const auto message = refusal(options);
  setrlimit(RLIMIT_AS, &saved);
  EXPECT_THAT(message, HasSubstr("cannot start"));
  EXPECT_EQ(own_threads(), 0u) << "those that had begun have ended";
  const auto again = Emulator::start(options);
  EXPECT_TRUE(again) << "port and segment are free: " << again.error().message;
}

TEST_F(EmulatorTest, ARestartWithoutMemoryIsRefusedAndChangesNothing) {
  const auto outcome = with_small_shm(3 << 19, [] {
    auto options = small_options();  // of 1 MiB, which a restart needs once more
    options.reserve = Reserve::whole;
    Daemon daemon(options);
    auto client = daemon.connect();
    const auto bytes = random_bytes(100'000);
    EXPECT_EQ(client.ask(put_request("b/k", bytes)).status, 200);
    const auto grant = client.ask(lease_request("b/k"));
    const auto inode = daemon.emulator().segment().inode;
    for (const Incident incident : {Incident::restart, Incident::recreate_segment}) {
      const auto caused = daemon.emulator().cause({.incident = incident});
      EXPECT_THAT(caused ? "caused" : caused.error().message, HasSubstr("/dev/shm has"));
    }
    EXPECT_EQ(daemon.emulator().segment().inode, inode);
    EXPECT_TRUE(daemon.emulator().segment().linked);
    EXPECT_EQ(daemon.leased_bytes(grant), bytes);
    EXPECT_EQ(client.ask(release_request(id_of(grant))).status, 200) << "over the same connection";
    return testing::Test::HasFailure() ? 1 : 0;
  });
  if (!outcome) GTEST_SKIP() << "this process may not mount a /dev/shm of its own";
  EXPECT_EQ(*outcome, 0);
}

// --- Stopping with requests in flight
// -----------------------------------------------------------

/// Runs `body` in a child process and waits for its end, at most for `patience`; whether it ended
/// by itself, with status 0.
bool ends_in_child(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  int status = -1;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return false;
    }
    std::this_thread::yield();
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(EmulatorTest, AChildProcessMayDestroyItsCopyAndTheParentGoesOn) {
  Options options = small_options();
  options.admin = "127.0.0.1:0";
  Daemon daemon(options);
  auto client = daemon.connect();
  EXPECT_EQ(client.ask(put_request("b/k", "bytes")).status, 200);
  const auto segment = daemon.emulator().segment();
  EXPECT_TRUE(ends_in_child([&] { daemon.emulator().stop(); }));
  EXPECT_TRUE(ends_in_child([&] { Emulator taken = std::move(daemon.emulator()); }));
#ifndef __SANITIZE_THREAD__  // which lets no child of a process with threads start any
  EXPECT_TRUE(ends_in_child([&] {
    auto other = Emulator::start(Options::for_test());
    daemon.emulator() = std::move(*other);
  })) << "the child may have an emulator of its own";
#endif
  EXPECT_EQ(daemon.leased_bytes(client.ask(lease_request("b/k"))), "bytes");
  EXPECT_EQ(daemon.connect().ask(get_request()).status, 404);
  EXPECT_EQ(daemon.emulator().segment().inode, segment.inode);
  EXPECT_TRUE(daemon.emulator().segment().linked);
}

class Stopping : public EmulatorTest {
 protected:
  Daemon daemon{small_options()};
};

TEST_F(Stopping, AnswersAHeldRequestWithAMiss) {
  auto client = daemon.connect();
  client.send(lease_request("b/k", "timeout_ms=60000") + get_request());
  ASSERT_TRUE(daemon.reaches([](const Statistics& s) { return s.waiters == 1; }));
  EXPECT_LT(time_of([&] { daemon.emulator().stop(); }), 4s);
  const auto reply = client.receive();
  EXPECT_EQ(reply.status, 504);
  EXPECT_TRUE(reply.closes());
  EXPECT_EQ(client.receive_until_closed(), "") << "what follows is not answered";
  EXPECT_EQ(daemon.statistics().waiters, 0u);
}

TEST_F(Stopping, LetsAPutEnd) {
  auto client = daemon.connect();
  client.send(put_head("b/k", 5) + "by");
  ASSERT_TRUE(daemon.reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  std::thread stopper([&] { daemon.emulator().stop(); });
  // Refused connections tell that stopping has begun.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (bool listening = true; listening && std::chrono::steady_clock::now() < deadline;) {
    try {
      daemon.connect();
    } catch (const std::runtime_error&) {
      listening = false;
    }
  }
  client.send("tes");
  const auto reply = client.receive();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(client.receive_until_closed(), "") << "no request is taken after it";
  stopper.join();
  EXPECT_EQ(daemon.statistics().puts_stored, 1u);
}

TEST_F(Stopping, GivesUpAPutThatDoesNotEnd) {
  auto client = daemon.connect();
  client.send(put_head("b/k", 5) + "by");
  ASSERT_TRUE(daemon.reaches([](const Statistics& s) { return s.puts_in_flight == 1; }));
  const auto took = time_of([&] { daemon.emulator().stop(); });
  EXPECT_GE(took, 4s);
  EXPECT_LT(took, 15s);
}

TEST_F(Stopping, DoesNotWaitForIdleConnectionsOrHalfHeads) {
  auto idle = daemon.connect();
  EXPECT_EQ(idle.ask(get_request()).status, 404);
  auto fresh = daemon.connect();
  auto half = daemon.connect();
  half.send("GET / HT");
  ASSERT_TRUE(daemon.reaches([](const Statistics& s) { return s.open_connections == 3; }));
  EXPECT_LT(time_of([&] { daemon.emulator().stop(); }), 4s);
  EXPECT_EQ(idle.receive_until_closed(), "");
  EXPECT_EQ(fresh.receive_until_closed(), "");
  EXPECT_EQ(half.receive_until_closed(), "");
}

TEST_F(Stopping, DoesNotWaitForPeersThatWereRefused) {
  auto refused = daemon.connect();
  EXPECT_EQ(refused.ask("nonsense\n").status, 400);
  auto too_large = daemon.connect();
  EXPECT_EQ(too_large.ask(put_head("b/k", 2 << 20)).status, 413);
  EXPECT_LT(time_of([&] { daemon.emulator().stop(); }), 4s);
}

TEST_F(Stopping, DoesNotWaitForPeersWhoseHeldRequestWasAnswered) {
  std::vector<WireClient> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(daemon.connect());
    clients.back().send(lease_request("b/k", "timeout_ms=60000"));
  }
  ASSERT_TRUE(daemon.reaches([](const Statistics& s) { return s.waiters == 100; }));
  EXPECT_LT(time_of([&] { daemon.emulator().stop(); }), 4s);
  for (auto& client : clients) EXPECT_EQ(client.receive().status, 504);
}

TEST_F(Stopping, DoesNotTakeUpConnectionsThatAFaultLeftUnaccepted) {
  Options options = small_options();
  options.faults = {Fault{.match = {.operation = FaultOperation::connect, .first = 3},
                          .script = {Effects{.leave_unaccepted = true}}}};
  Daemon unaccepting(options);
  std::vector<WireClient> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(unaccepting.connect());
  auto served = unaccepting.connect();
  EXPECT_EQ(served.ask(get_request()).status, 404);
  EXPECT_LT(time_of([&] { unaccepting.emulator().stop(); }), 4s);
  for (auto& client : waiting) EXPECT_EQ(client.receive_until_closed(), "");
}

TEST_F(Stopping, UnderLoadLosesNoAnswer) {
  std::atomic<bool> begun{false};
  std::vector<std::future<int>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::async(std::launch::async, [&, i, client = daemon.connect()]() mutable {
      int answered = 0;
      for (int n = 0;; ++n) {
        const auto path = fmt::format("b/{}-{}", i, n % 3);
        if (!client.try_send(put_request(path, "bytes"))) return answered;
        try {
          const auto reply = client.receive();
          EXPECT_TRUE(reply.status == 200 || reply.status == 409);
          ++answered;
          begun = true;
          if (reply.closes()) return answered;
        } catch (const std::runtime_error&) {
          return answered;  // closed between two requests
        }
      }
    }));
  }
  while (!begun) std::this_thread::yield();
  daemon.emulator().stop();
  std::uint64_t answered = 0;
  for (auto& client : clients) answered += static_cast<std::uint64_t>(client.get());
  EXPECT_EQ(answered, daemon.statistics().requests);
}

TEST_F(Stopping, WithAManualClockIsNoDifferent) {
  auto clock = std::make_shared<ManualClock>();
  Options options = small_options();
  options.clock = clock;
  Daemon still(options);
  auto client = still.connect();
  client.send(lease_request("b/k", "timeout_ms=60000"));
  ASSERT_TRUE(still.reaches([](const Statistics& s) { return s.waiters == 1; }));
  still.emulator().stop();
  EXPECT_EQ(client.receive().status, 504);
  clock->advance(1h);
}

TEST_F(Stopping, WhileTimeMovesIsNoDifferent) {
  auto clock = std::make_shared<ManualClock>();
  std::atomic<bool> stopped{false};
  std::thread mover([&] {
    while (!stopped) clock->advance(100ms);
  });
  for (int i = 0; i < 20; ++i) {
    Options options = small_options();
    options.clock = clock;
    Daemon moving(options);
    auto client = moving.connect();
    EXPECT_EQ(client.ask(lease_request("b/k", "timeout_ms=1000")).status, 504);
    client.send(lease_request("b/k", "timeout_ms=100000000"));
  }
  stopped = true;
  mover.join();
}

// --- Side by side
// -------------------------------------------------------------------------------

TEST_F(EmulatorTest, DoesNotDisturbAnother) {
  Daemon one(small_options());
  auto two = std::make_unique<Daemon>(small_options());
  auto client_of_one = one.connect();
  auto client_of_two = two->connect();
  EXPECT_EQ(client_of_one.ask(put_request("b/k", "one")).status, 200);
  EXPECT_EQ(client_of_two.ask(put_request("b/k", "two")).status, 200);
  const auto grant = client_of_one.ask(lease_request("b/k"));
  EXPECT_EQ(client_of_two.ask(release_request(id_of(grant))).status, 404);
  EXPECT_EQ(two->leased_bytes(client_of_two.ask(lease_request("b/k"))), "two");
  two.reset();
  EXPECT_EQ(one.leased_bytes(grant), "one");
  EXPECT_EQ(client_of_one.ask(release_request(id_of(grant))).status, 200);
}

TEST_F(EmulatorTest, MayBeStartedOnManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 10; ++round) {
        Daemon daemon(small_options());
        EXPECT_EQ(daemon.connect().ask(put_request("b/k", "x")).status, 200);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

// --- Figures
// ------------------------------------------------------------------------------------

TEST_F(EmulatorTest, TellsWhatItHoldsAndWhatHasHappened) {
  auto clock = std::make_shared<ManualClock>();
  Options options = small_options();  // 16 blocks of 64 KiB
  options.clock = clock;
  Daemon daemon(options);
  auto client = daemon.connect();
  client.ask(put_request("a/1", random_bytes(100'000)));
  client.ask(put_request("b/2", random_bytes(65'536)));
  client.ask(put_request("b/2", "again"));
  client.ask(put_request("b/3", ""));
  client.ask(put_request("b/4", random_bytes(900'000)));  // evicts the oldest
  const auto released = id_of(client.ask(lease_request("b/2")));
  client.ask(lease_request("b/2", "ttl_s=1"));
  client.ask(lease_request("b/4"));
  client.ask(lease_request("b/absent"));
  client.ask(release_request(released));
  client.ask(release_request(released));
  clock->advance(1s);

  const auto now = daemon.statistics();
  EXPECT_EQ(now.objects, 2u);
  EXPECT_EQ(now.buckets, 1u);
  EXPECT_EQ(now.live_leases, 1u);
  EXPECT_EQ(now.waiters, 0u);
  EXPECT_EQ(now.puts_in_flight, 0u);
  EXPECT_EQ(now.capacity_bytes, options.capacity);
  EXPECT_EQ(now.used_bytes, 15 * options.block_size);
  EXPECT_EQ(now.pinned_bytes, 14 * options.block_size);
  EXPECT_EQ(now.puts_stored, 3u);
  EXPECT_EQ(now.puts_existing, 1u);
  EXPECT_EQ(now.puts_refused, 1u);
  EXPECT_EQ(now.leases_granted, 3u);
  EXPECT_EQ(now.leases_released, 1u);
  EXPECT_EQ(now.leases_expired, 1u);
  EXPECT_EQ(now.lease_misses, 1u);
  EXPECT_EQ(now.releases_unknown, 1u);
  EXPECT_EQ(now.evictions, 1u);
  EXPECT_EQ(now.requests, 11u);
  EXPECT_EQ(now.requests_rejected, 0u);
  EXPECT_EQ(now.open_connections, 1u);
}

TEST_F(EmulatorTest, UsesNoMoreThreadsThanItIsTold) {
  auto options = small_options();
  options.threads = 3;
  const Daemon daemon(options);
  EXPECT_EQ(own_threads(), 3u);
}

}  // namespace
}  // namespace hyperpod::emulator
