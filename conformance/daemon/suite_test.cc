// SPDX-License-Identifier: Apache-2.0
#include "daemon/suite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <thread>

#include "daemon/names.h"
#include "daemon/worker.h"
#include "defects/defective_daemon.h"
#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace defects;
using namespace proxy;

std::unique_ptr<DefectiveDaemon> start(const std::function<void(DaemonSetup&)>& configure =
                                           [](DaemonSetup&) {}) {
  auto daemon = DefectiveDaemon::start(configure);
  EXPECT_TRUE(daemon) << daemon.error().message;
  return daemon ? *std::move(daemon) : nullptr;
}

RunOptions options_for(DefectiveDaemon& daemon, std::vector<std::string> only) {
  RunOptions options;
  options.target = daemon.target();
  options.target.run_id = "suite-test";
  options.only = std::move(only);
  return options;
}

TEST(DaemonChecks, AreOneForEachRequirementInItsOrder) {
  std::vector<std::string_view> checked;
  for (const CheckEntry& entry : daemon_checks()) checked.push_back(entry.id);
  std::vector<std::string_view> required;
  for (const Requirement& requirement : daemon_catalogue()) required.push_back(requirement.id);
  EXPECT_EQ(checked, required);
}

TEST(DaemonChecks, LeaveAssumptionsOutOfCore) {
  for (const CheckEntry& entry : daemon_checks()) {
    const Requirement& requirement = *find_requirement(entry.id);
    if (requirement.level() != Level::may) continue;
    EXPECT_GT(entry.profile, Profile::core) << entry.id;
  }
}

TEST(DaemonSuite, RunsTheChecksAskedForAndReportsThemInOrder) {
  const auto daemon = start();
  const auto report = run_daemon_suite(options_for(*daemon, {"REL", "PUT-05"}));
  ASSERT_TRUE(report) << report.error().explanation;
  std::vector<std::string_view> ids;
  for (const CheckResult& result : report->results) {
    ids.push_back(result.requirement->id);
    EXPECT_EQ(result.outcome, Outcome::pass) << result.requirement->id << ": " << result.seen;
  }
  EXPECT_EQ(ids, (std::vector<std::string_view>{"PUT-05", "REL-01", "REL-02", "REL-03", "REL-04",
                                                "REL-05", "REL-06", "REL-07"}));
  EXPECT_TRUE(report->partial());
  EXPECT_EQ(report->worst(), Outcome::pass);
}

TEST(DaemonSuite, FailsAMustAndWarnsOfTheRest) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.options.behaviour.miss_status = 503;
    setup.options.behaviour.empty_put_status = 411;
  });
  const auto report = run_daemon_suite(options_for(*daemon, {"HOLD-02", "PUT-11"}));
  ASSERT_TRUE(report) << report.error().explanation;
  ASSERT_EQ(report->results.size(), 2u);
  EXPECT_EQ(report->results[0].outcome, Outcome::warn);
  EXPECT_EQ(report->results[1].outcome, Outcome::fail);
  EXPECT_NE(report->results[1].seen.find("503"), std::string::npos);
  EXPECT_FALSE(report->results[1].events.empty());
  EXPECT_EQ(report->worst(), Outcome::fail);
}

emulator::Fault refused_put(const std::string& key) {
  emulator::Fault refused;
  refused.match.operation = emulator::FaultOperation::put;
  refused.match.key = key;
  refused.script = {{.ending = emulator::RespondWith{.status = 507}}};
  return refused;
}

TEST(DaemonSuite, HidesNothingBehindAMustThatFailsByAnotherRequest) {
  const std::vector<std::string> roots{"PUT-01", "SHM-03", "TTL-01", "REL-06", "HOLD-05", "PIN-01"};
  const auto daemon = start([&](DaemonSetup& setup) {
    setup.options.behaviour.empty_put_status = 422;
    setup.options.behaviour.unknown_release_status = 410;
    for (const std::string& id : roots) setup.options.faults.push_back(refused_put("*-" + id));
  });
  std::vector<std::string> only = roots;
  only.insert(only.end(), {"PUT-11", "TTL-03", "REL-02"});
  const auto report = run_daemon_suite(options_for(*daemon, only));
  ASSERT_TRUE(report) << report.error().explanation;
  for (const CheckResult& result : report->results) {
    EXPECT_GT(result.outcome, Outcome::pass) << result.requirement->id << ": " << result.seen;
    EXPECT_TRUE(result.cause.empty()) << result.requirement->id << ": " << result.seen;
  }
}

TEST(DaemonSuite, PutsWrongBytesDownToOneCheckAndNothingElse) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.options.behaviour.empty_put_status = 422;
    setup.mutation.emplace();
    setup.mutation->body = [](const ReceivedRequest&, std::uint64_t, std::span<char> part) {
      part[0] ^= 1;
    };
  });
  const auto report = run_daemon_suite(
      options_for(*daemon, {"PUT-01", "PUT-03", "PUT-11", "SHM-03", "SHM-04", "KEY-01"}));
  ASSERT_TRUE(report) << report.error().explanation;
  for (const CheckResult& result : report->results) {
    const std::string_view id = result.requirement->id;
    EXPECT_GE(result.outcome, id == "PUT-01" || id == "PUT-11" ? Outcome::warn : Outcome::skip);
    EXPECT_EQ(result.cause, id == "PUT-01" || id == "PUT-11" ? "" : "PUT-01") << id << result.seen;
  }
}

TEST(DaemonSuite, SkipsWhatItMayNotDoAndSaysWhy) {
  const auto daemon = start();
  RunOptions options = options_for(*daemon, {"PIN-03", "RESTART-01", "TLS-01", "HTTP-02"});
  options.target.capacity = 0;
  options.target.restart = nullptr;
  const auto report = run_daemon_suite(options);
  ASSERT_TRUE(report) << report.error().explanation;
  for (const CheckResult& result : report->results) {
    EXPECT_EQ(result.outcome, Outcome::skip) << result.requirement->id;
    EXPECT_FALSE(result.seen.empty()) << result.requirement->id;
  }
}

TEST(DaemonSuite, JudgesADaemonOnceThatDoesNotComeBackFromARestart) {
  auto daemon = start();
  RunOptions options = options_for(*daemon, {"RESTART", "PUT-01"});
  options.target.restart = [&]() -> Result<void> {
    daemon.reset();
    return tl::unexpected(Error{ErrorCode::failed, "it has ended"});
  };
  const auto report = run_daemon_suite(options);
  ASSERT_TRUE(report) << report.error().explanation;
  for (const CheckResult& result : report->results) {
    const std::string_view id = result.requirement->id;
    if (id == "PUT-01") {
      EXPECT_EQ(result.outcome, Outcome::pass) << "restarts come last";
    } else if (id == "RESTART-01") {
      EXPECT_EQ(result.outcome, Outcome::fail);
      EXPECT_EQ(result.seen, "it has ended");
    } else {
      EXPECT_EQ(result.outcome, Outcome::skip) << id;
      EXPECT_EQ(result.cause, "RESTART-01") << id;
    }
  }
}

TEST(DaemonSuite, TellsOnceThatTheDaemonIsGone) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->ends_at = [](const RequestHead& head) {
      return head.target.find("%zz") != std::string::npos;
    };
  });
  const auto report = run_daemon_suite(
      options_for(*daemon, {"PUT-01", "LIMIT-07", "HOLD-01", "PIN-03", "RESTART-01"}));
  ASSERT_TRUE(report) << report.error().explanation;
  EXPECT_EQ(report->worst(), Outcome::fail);
  for (const CheckResult& result : report->results) {
    const std::string_view id = result.requirement->id;
    if (id == "LIMIT-07") {
      EXPECT_EQ(result.outcome, Outcome::fail) << "though it is a MAY";
      EXPECT_THAT(result.seen, testing::HasSubstr("%zz")) << "what it was sent last";
      EXPECT_FALSE(result.events.empty());
    } else if (id != "PUT-01") {  // which may have ended before
      EXPECT_EQ(result.outcome, Outcome::skip) << id << result.seen;
      EXPECT_EQ(result.cause, "LIMIT-07") << id;
      EXPECT_THAT(result.seen, testing::HasSubstr("is gone since LIMIT-07")) << id;
    }
  }
}

TEST(DaemonSuite, TakesARestartCommandThatFailsForNoFaultOfTheDaemonOrTheSuite) {
  const auto daemon = start();
  RunOptions options = options_for(*daemon, {"RESTART"});
  options.target.restart = []() -> Result<void> {
    return tl::unexpected(Error{ErrorCode::failed, "the restart command ended with 1: false"});
  };
  const auto report = run_daemon_suite(options);
  ASSERT_TRUE(report) << report.error().explanation;
  EXPECT_EQ(report->results[0].outcome, Outcome::error);
  EXPECT_TRUE(report->results[0].given_failed);
  for (const CheckResult& result : std::span(report->results).subspan(1)) {
    EXPECT_EQ(result.outcome, Outcome::skip) << result.requirement->id;
    EXPECT_THAT(result.seen, testing::HasSubstr("ended with 1: false")) << result.requirement->id;
  }
  EXPECT_TRUE(Segment::open(options.target.shm_name)) << "what is unlinked would not come back";
}

TEST(DaemonSuite, TellsWhichChunkedBodyWasTaken) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->request = [](RequestHead& head,
                                 const ReceivedRequest&) -> std::optional<ResponseMessage> {
      if (!head.header("Transfer-Encoding")) return std::nullopt;
      return ResponseMessage::of(200);
    };
  });
  const auto report = run_daemon_suite(options_for(*daemon, {"LIMIT-03"}));
  ASSERT_TRUE(report) << report.error().explanation;
  EXPECT_THAT(report->results[0].expected,
              testing::HasSubstr(R"(the chunked body "zz\r\nxx\r\n0\r\n\r\n")"));
}

TEST(DaemonSuite, ReleasesEveryLeaseItTook) {
  auto options = emulator::Options::for_test();
  auto emulator = emulator::Emulator::start(options);
  ASSERT_TRUE(emulator) << emulator.error().message;
  RunOptions run;
  run.target.endpoint = *parse_url(emulator->url());
  run.target.shm_name = emulator->shm_name();
  run.target.run_id = "suite-test";
  run.only = {"KEY", "LEASE-05", "LEASE-06", "PUT-01", "REL", "HOLD-05", "SHM-03"};
  ASSERT_TRUE(run_daemon_suite(run));
  const auto statistics = emulator->statistics();
  EXPECT_GT(statistics.leases_granted, 50u);
  EXPECT_EQ(statistics.live_leases, 0u);
}

TEST(DaemonSuite, RepeatsItsBytesFromASeed) {
  const auto daemon = start();
  RunOptions options = options_for(*daemon, {"PUT-01"});
  options.seed = 7;
  const Requirement& requirement = *find_requirement("PUT-01");
  Check one(options.target, requirement, nullptr, options.seed);
  Check other(options.target, requirement, nullptr, options.seed);
  const std::string bytes = one.bytes(100);
  EXPECT_EQ(bytes, other.bytes(100));
  EXPECT_NE(bytes, one.bytes(100));
}

TEST(DaemonSuite, StoresInABucketOfAnyName) {
  const auto daemon = start();
  RunOptions options = options_for(*daemon, {"PUT-01", "LEASE-01", "BUCKET-01"});
  options.target.bucket = "a b/c?d\r\nX: y/\u00fc%20";
  const auto report = run_daemon_suite(options);
  ASSERT_TRUE(report) << report.error().explanation;
  for (const CheckResult& result : report->results) {
    EXPECT_EQ(result.outcome, Outcome::pass) << result.requirement->id << ": " << result.seen;
  }
}

// As nginx answers what has %00 in it, and others what has any control character.
TEST(DaemonSuite, TakesARefusalOfControlCharactersForNoConfusion) {
  for (const bool nul_alone : {true, false}) {
    const auto daemon = start([nul_alone](DaemonSetup& setup) {
      setup.mutation.emplace();
      setup.mutation->request = [nul_alone](RequestHead& head, const ReceivedRequest&) {
        const bool refused =
            nul_alone ? head.target.find("%00") != std::string::npos : may_be_refused(head.target);
        return refused ? std::optional(ResponseMessage::of(400)) : std::nullopt;
      };
    });
    const auto report = run_daemon_suite(options_for(*daemon, {"KEY", "BUCKET"}));
    ASSERT_TRUE(report) << report.error().explanation;
    for (const CheckResult& result : report->results)
      EXPECT_EQ(result.outcome, Outcome::pass) << result.requirement->id << ": " << result.seen;
  }
}

TEST(DaemonSuite, FindsARefusalOfPutsAloneThatHidesAConfusion) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->request = [](RequestHead& head, const ReceivedRequest&) {
      const bool is_put = head.method == "PUT";
      const auto nul = head.target.find(is_put ? "%00" : "%00b");
      if (nul == std::string::npos) return std::optional<ResponseMessage>();
      if (is_put) return std::optional(ResponseMessage::of(400));
      head.target.erase(nul,
                        std::min(head.target.find('/', nul), head.target.find('?', nul)) - nul);
      return std::optional<ResponseMessage>();
    };
  });
  const auto report = run_daemon_suite(options_for(*daemon, {"KEY-07"}));
  ASSERT_TRUE(report) << report.error().explanation;
  EXPECT_EQ(report->results[0].expected, "no grant for a key whose PUT was refused");
}

// As where 507 and 504 are all that it can say, since all of the cache is leased.
TEST(Preflight, TellsADaemonWithoutRoomFromAnotherServer) {
  const auto daemon = start([](DaemonSetup& setup) {
    emulator::Fault full;
    full.match.operation = emulator::FaultOperation::put;
    full.script = {{.ending = emulator::RespondWith{.status = 507}}};
    setup.options.faults = {full};
  });
  const auto report = run_daemon_suite(options_for(*daemon, {"PUT-01"}));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, Obstacle::Kind::segment) << report.error().explanation;
  EXPECT_THAT(report.error().explanation, testing::HasSubstr("start it with a larger cache"));
}

TEST(Preflight, ExplainsAClosedPort) {
  RunOptions options;
  {
    const auto daemon = start();
    options = options_for(*daemon, {});
  }
  const auto report = run_daemon_suite(options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, Obstacle::Kind::unreachable);
}

TEST(Preflight, ExplainsAnAnswerThatNoDaemonGives) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->request = [](RequestHead&, const ReceivedRequest&) {
      return std::optional(ResponseMessage::of(405));
    };
  });
  const auto report = run_daemon_suite(options_for(*daemon, {}));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, Obstacle::Kind::no_such_daemon);
  EXPECT_NE(report.error().explanation.find("405"), std::string::npos)
      << report.error().explanation;
}

TEST(Preflight, ExplainsAWebServerThatAnswers200ToEverything) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->request = [](RequestHead&, const ReceivedRequest&) {
      return std::optional(ResponseMessage::of(200, "hello"));
    };
  });
  const auto report = run_daemon_suite(options_for(*daemon, {}));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, Obstacle::Kind::no_such_daemon);
}

TEST(Preflight, TellsADaemonThatServesFewConnections) {
  for (const std::uint32_t limit : {1u, 4u, 59u}) {
    const auto daemon =
        start([&](DaemonSetup& setup) { setup.options.limits.connections = limit; });
    const auto report = run_daemon_suite(options_for(*daemon, {"PUT-01"}));
    ASSERT_FALSE(report) << limit;
    EXPECT_EQ(report.error().kind, Obstacle::Kind::few_connections);
    EXPECT_THAT(report.error().explanation,
                testing::HasSubstr("no more than " + std::to_string(limit) + " connection"));
  }
  const auto daemon = start([](DaemonSetup& setup) { setup.options.limits.connections = 64; });
  EXPECT_TRUE(run_daemon_suite(options_for(*daemon, {"PUT-01"})));
}

/// Passes connections on to a daemon, of which it takes so many at once. Others wait until one has
/// ended, as where each thread of a pool serves one.
class Pool {
 public:
  Pool(std::uint16_t upstream, std::size_t threads) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), size);
    ::listen(listener_.get(), 1024);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    while (threads_.size() < threads) threads_.emplace_back([this, upstream] { serve(upstream); });
  }
  ~Pool() { ::shutdown(listener_.get(), SHUT_RDWR); }
  std::uint16_t port() const { return port_; }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  static bool pass(int from, int to) {
    std::array<char, 4096> buffer;
    const ssize_t got = ::recv(from, buffer.data(), buffer.size(), 0);
    return got > 0 && ::send(to, buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
  }

  void serve(std::uint16_t upstream) const {
    while (true) {
      const base::FileDescriptor client(::accept(listener_.get(), nullptr, nullptr));
      if (!client) return;
      const base::FileDescriptor daemon(::socket(AF_INET, SOCK_STREAM, 0));
      const sockaddr_in address = loopback(upstream);
      ::connect(daemon.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
      std::array<pollfd, 2> both{{{client.get(), POLLIN, 0}, {daemon.get(), POLLIN, 0}}};
      for (bool going = true; going && ::poll(both.data(), both.size(), -1) > 0;) {
        if (both[0].revents != 0) going = pass(client.get(), daemon.get());
        if (both[1].revents != 0) going = pass(daemon.get(), client.get()) && going;
      }
    }
  }

  base::FileDescriptor listener_;
  std::uint16_t port_ = 0;
  std::vector<std::jthread> threads_;
};

TEST(Preflight, TellsAPoolThatIsTooSmall) {
  const auto daemon = start();
  RunOptions options = options_for(*daemon, {"PUT-01"});
  const Pool pool(options.target.endpoint.port, 4);
  options.target.endpoint.port = pool.port();
  options.target.time_scale = 0.1;
  const auto report = run_daemon_suite(options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, Obstacle::Kind::few_connections);
  EXPECT_THAT(report.error().explanation, testing::HasSubstr("no more than 4 connections at once"));
}

TEST(Preflight, TakesADaemonThatLosesAResponseForNoneOfFewConnections) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->delay = [n = 0](const ReceivedRequest& request,
                                    const ResponseMessage&) mutable {
      const bool lost = request.head.is_release() && ++n % 20 == 0;
      return std::chrono::milliseconds(lost ? 3'600'000 : 0);
    };
  });
  RunOptions options = options_for(*daemon, {"PUT-05"});
  options.target.time_scale = 0.1;
  EXPECT_TRUE(run_daemon_suite(options));
}

TEST(Preflight, ExplainsTheSegmentOfAnotherDaemon) {
  const auto daemon = start();
  const auto other = start();
  RunOptions options = options_for(*daemon, {});
  options.target.shm_name = other->target().shm_name;
  const auto report = run_daemon_suite(options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, Obstacle::Kind::segment);
  options.target.shm_name = "no_such_segment";
  EXPECT_EQ(run_daemon_suite(options).error().kind, Obstacle::Kind::segment);
}

// The bytes that it looks for are not those that an earlier run may have left there.
TEST(Preflight, ExplainsTheSegmentOfAnotherDaemonHoweverOftenThatWasJudged) {
  const auto daemon = start();
  const auto other = start();
  RunOptions right = options_for(*other, {"PUT-01"});
  RunOptions wrong = options_for(*daemon, {"PUT-01"});
  wrong.target.shm_name = other->target().shm_name;
  for (const std::uint64_t seed : {7u, 7u, 8u}) {
    right.seed = wrong.seed = seed;
    right.target.run_id += "r";
    wrong.target.run_id += "w";
    const auto report = run_daemon_suite(wrong);
    ASSERT_FALSE(report) << "bytes of the run before";
    EXPECT_THAT(report.error().explanation, testing::HasSubstr("is nowhere in"));
    EXPECT_TRUE(run_daemon_suite(right));
  }
}

TEST(Preflight, JudgesNothingByACapacityThatIsNotTheDaemons) {
  const auto daemon = start();
  RunOptions options = options_for(*daemon, {"PUT-01"});
  for (const std::uint64_t wrong : {std::uint64_t{64}, options.target.capacity * 3}) {
    options.target.capacity = wrong;
    const auto report = run_daemon_suite(options);
    ASSERT_FALSE(report) << wrong;
    EXPECT_EQ(report.error().kind, Obstacle::Kind::segment);
    EXPECT_THAT(report.error().explanation, testing::HasSubstr("--capacity tells of"));
  }
}

TEST(Preflight, JudgesNoDaemonWhoseCacheIsTooSmall) {
  const auto daemon = start([](DaemonSetup& setup) { setup.options.capacity = 32 << 20; });
  RunOptions options = options_for(*daemon, {"PUT-01"});
  for (const std::uint64_t told : {options.target.capacity, std::uint64_t{0}}) {
    options.target.capacity = told;
    const auto report = run_daemon_suite(options);
    ASSERT_FALSE(report) << told;
    EXPECT_THAT(report.error().explanation,
                testing::HasSubstr("a cache of 32 MiB is too small for the checks"));
  }
}

TEST(Preflight, JudgesNoDaemonWhoseCacheOthersHaveLeased) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.options.capacity = 64 << 20;
    setup.options.block_size = 1 << 20;
  });
  RunOptions options = options_for(*daemon, {"PUT-01"});
  EXPECT_TRUE(run_daemon_suite(options));
  const Requirement requirement{"TEST", Chapter::store, Mark::client, "", ""};
  Check other(options.target, requirement, nullptr, 1);
  Session session = other.connect();
  for (int i = 0; i < 9; ++i)
    (void)other.lease(session, other.stored(session), {.ttl = std::chrono::seconds(60)});
  const auto report = run_daemon_suite(options);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().explanation, testing::HasSubstr("56 small objects"));
  other.release_open_leases();
  EXPECT_TRUE(run_daemon_suite(options));
}

TEST(Preflight, LeavesAMalformedGrantToTheChecks) {
  const auto daemon = start([](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->response = [](const ReceivedRequest& request, ResponseMessage& response) {
      if (request.head.is_acquire()) response.body = "[]";
    };
  });
  const auto report = run_daemon_suite(options_for(*daemon, {"LEASE-02"}));
  ASSERT_TRUE(report) << report.error().explanation;
  EXPECT_EQ(report->worst(), Outcome::fail);
}

TEST(Preflight, LeavesResponsesThatCannotBeReadToTheChecks) {
  for (const bool of_puts : {true, false}) {
    const auto daemon = start([&](DaemonSetup& setup) {
      setup.mutation.emplace();
      setup.mutation->response = [of_puts](const ReceivedRequest& request,
                                           ResponseMessage& response) {
        const bool is_put = request.head.method == "PUT";
        if (is_put == of_puts && (is_put || request.head.is_acquire()))
          response.set_header("Transfer-Encoding", "chunked");
      };
    });
    const auto report = run_daemon_suite(options_for(*daemon, {of_puts ? "PUT-05" : "LEASE-02"}));
    ASSERT_TRUE(report) << report.error().explanation;
    EXPECT_EQ(report->worst(), Outcome::fail);
  }
}

TEST(Worker, CountsWhatItDid) {
  const auto daemon = start();
  Target target = daemon->target();
  target.run_id = "worker-test";
  const WorkerFigures figures =
      run_worker(target, {.connections = 8, .duration = std::chrono::milliseconds(100)});
  EXPECT_EQ(figures.connected, 8u);
  EXPECT_GT(figures.operations, 0u);
  EXPECT_GE(figures.held, 6u);
  EXPECT_EQ(figures.wrong, 0u);
}

// What an earlier run has left in the segment must not pass for what this one stored.
TEST(Worker, IsToldToStoreOtherBytesInEachRun) {
  const auto daemon = start();
  const std::string told = testing::TempDir() + "worker_seeds_" + std::to_string(::getpid());
  const std::string program = told + ".sh";
  std::ofstream(program) << "#!/bin/sh\nwhile [ \"$1\" != --seed ]; do shift; done\necho $2 >> " +
                                told + "\necho {}\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  RunOptions options = options_for(*daemon, {"CONC-05"});
  options.target.worker_program = program;
  for (options.seed = 1; options.seed <= 2; ++options.seed) {
    options.target.run_id += "r";
    EXPECT_TRUE(run_daemon_suite(options));
  }
  std::ifstream file(told);
  const std::multiset<std::string> seeds{std::istream_iterator<std::string>(file), {}};
  EXPECT_EQ(seeds.size(), 8u) << "four workers a run";
  EXPECT_EQ(std::set(seeds.begin(), seeds.end()).size(), seeds.size());
  std::filesystem::remove(program);
  std::filesystem::remove(told);
}

TEST(Worker, CountsConnectionsThatItWasRefused) {
  const auto daemon = start([](DaemonSetup& setup) { setup.options.limits.connections = 4; });
  Target target = daemon->target();
  target.run_id = "worker-test";
  EXPECT_GT(
      run_worker(target, {.connections = 8, .duration = std::chrono::milliseconds(100)}).wrong, 0u);
}

}  // namespace
}  // namespace hyperpod::conformance::daemon
