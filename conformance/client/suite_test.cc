// SPDX-License-Identifier: Apache-2.0
#include "client/suite.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "client/payload.h"

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

/// A driver that responds to `hello` with `hello`, and every other command with `other`.
class ScriptedDriver {
 public:
  ScriptedDriver(const std::string& hello, const std::string& other) {
    path_ = testing::TempDir() + "driver-" + std::to_string(::getpid()) + "-" +
            std::to_string(++count_) + ".sh";
    std::FILE* file = std::fopen(path_.c_str(), "w");
    std::fprintf(file,
                 "n=0\nwhile read -r line; do n=$((n+1))\n"
                 "if [ $n = 1 ]; then printf '{\"id\":%%d,%%s}\\n' $n '%s'\n"
                 "else printf '{\"id\":%%d,%%s}\\n' $n '%s'; fi; done\n",
                 hello.c_str(), other.c_str());
    std::fclose(file);
  }
  ~ScriptedDriver() { std::remove(path_.c_str()); }
  std::string command() const { return "sh " + path_; }

 private:
  static inline int count_ = 0;
  std::string path_;
};

const std::string good_hello =
    R"("ok":true,"client":"test 1","operations":["put","get"],"parameters":["timeout_ms"],"header":"never")";

class ClientSuite : public testing::Test {
 protected:
  ClientSuite() { ::signal(SIGPIPE, SIG_IGN); }

  static Report run(const ScriptedDriver& driver, std::vector<std::string> only) {
    RunOptions options;
    options.target.driver = driver.command();
    options.only = std::move(only);
    auto report = run_client_suite(options);
    if (!report) throw std::runtime_error(report.error().explanation);
    return *std::move(report);
  }
};

TEST_F(ClientSuite, HasACheckForEachRequirement) {
  std::vector<std::string_view> checked;
  for (const CheckEntry& entry : client_checks()) checked.push_back(entry.id);
  std::vector<std::string_view> required;
  for (const Requirement& requirement : client_catalogue()) required.push_back(requirement.id);
  EXPECT_EQ(checked, required);
}

TEST_F(ClientSuite, LearnsWhatADriverOffers) {
  const ScriptedDriver driver(good_hello, "");
  const auto facts = ask_driver(driver.command());
  ASSERT_TRUE(facts) << facts.error().explanation;
  EXPECT_EQ(facts->client, "test 1");
  EXPECT_EQ(facts->operations, (std::set<std::string>{"get", "put"}));
  EXPECT_EQ(facts->parameters, std::set<std::string>{"timeout_ms"});
  EXPECT_EQ(facts->header, DriverFacts::Header::never);
}

TEST_F(ClientSuite, TellsAClientThatIsNotInstalledFromADriverThatIsBroken) {
  const auto absent = ask_driver("sh -c 'echo no such client >&2; exit 77'");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind, Obstacle::Kind::not_installed);
  EXPECT_EQ(absent.error().explanation, "no such client");
  for (const char* command : {"/nonexistent/driver", "true", "sh -c 'exit 78'", "echo hello"}) {
    const auto broken = ask_driver(command);
    ASSERT_FALSE(broken) << command;
    EXPECT_EQ(broken.error().kind, Obstacle::Kind::driver) << command;
  }
  const ScriptedDriver incomplete(R"("ok":true,"client":"x")", "");
  ASSERT_FALSE(ask_driver(incomplete.command()));
}

TEST_F(ClientSuite, SkipsWhatTheClientDoesNotOffer) {
  const ScriptedDriver driver(good_hello, R"("ok":true)");
  const Report report = run(driver, {"C-THROTTLE-01", "C-BATCH-03"});
  ASSERT_EQ(report.results.size(), 2u);
  EXPECT_EQ(report.results[0].outcome, Outcome::skip);
  EXPECT_EQ(report.results[0].seen, "the client cannot be told max_concurrent_requests");
  EXPECT_EQ(report.results[1].seen, "the client offers no batch_contains");
  EXPECT_TRUE(report.partial());
}

TEST_F(ClientSuite, AccusesAClientOfWhatItReportsWrongly) {
  const ScriptedDriver always_hits(good_hello,
                                   R"("ok":true,"outcome":"hit","size":4,"sha256":"00")");
  const Report report = run(always_hits, {"C-LEASE-06", "C-LEASE-08"});
  EXPECT_EQ(report.results[0].outcome, Outcome::fail);
  EXPECT_EQ(report.results[0].expected, "a miss or an error of a lease answer that is cut short");
  EXPECT_EQ(report.results[0].seen, "a hit of 4 bytes");
  EXPECT_EQ(report.results[1].outcome, Outcome::fail);
  EXPECT_FALSE(report.results[0].events.empty()) << "the exchange with the driver is told";
}

TEST_F(ClientSuite, TakesADriversOwnFaultForNoneOfTheClient) {
  const ScriptedDriver failing(good_hello, R"("ok":false,"error":"out of order")");
  const ScriptedDriver strange(good_hello, R"("ok":true,"result":"hit")");
  for (const ScriptedDriver* driver : {&failing, &strange}) {
    const Report report = run(*driver, {"C-LEASE-08"});
    EXPECT_EQ(report.results[0].outcome, Outcome::error) << report.results[0].seen;
    EXPECT_TRUE(report.results[0].given_failed);
  }
}

TEST_F(ClientSuite, TakesNullForLeftOut) {
  const std::string nulls = R"(,"error":null,"unsupported":null,"detail":null,"size":null)";
  const ScriptedDriver misses(good_hello + nulls,
                              R"("ok":true,"outcome":"miss","sha256":null)" + nulls);
  const Report report = run(misses, {"C-LEASE-06", "C-LEASE-08"});
  EXPECT_EQ(report.results[0].outcome, Outcome::fail) << "it never gets what is there";
  EXPECT_EQ(report.results[0].seen, "miss");
  EXPECT_EQ(report.results[1].outcome, Outcome::pass) << report.results[1].seen;
}

TEST_F(ClientSuite, SaysInItsOwnWordsWhatADriversAnswerLacks) {
  const ScriptedDriver unnamed(R"("ok":true,"client":7)", "");
  const auto facts = ask_driver(unnamed.command());
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().explanation.find("the driver's response lacks a proper \"client\": {"),
            0u)
      << facts.error().explanation;
  for (const char* other :
       {R"("ok":true,"unsupported":"no")", R"("ok":false,"error":{})",
        R"("ok":true,"outcome":"miss","detail":[])",
        R"("ok":true,"outcome":"hit","size":{},"sha256":"00")", R"("ok":true,"outcome":[])"}) {
    const ScriptedDriver strange(good_hello, other);
    const Report report = run(strange, {"C-LEASE-08"});
    EXPECT_EQ(report.results[0].outcome, Outcome::error) << other;
    EXPECT_EQ(report.results[0].seen.find("the driver"), 0u) << report.results[0].seen;
  }
}

TEST(PeakOf, CountsEndsBeforeBeginningsOfTheSameMoment) {
  const TimePoint t{};
  EXPECT_EQ(peak_of({}), 0);
  EXPECT_EQ(peak_of({{t, 1}, {t + 1s, -1}, {t + 1s, 1}, {t + 2s, -1}}), 1);
  EXPECT_EQ(peak_of({{t + 1s, 1}, {t, 1}, {t + 2s, -1}, {t + 3s, -1}}), 2);
}

TEST(Payload, IsWhatTheDriversPageSays) {
  const std::string bytes = payload(7, 40);
  EXPECT_EQ(bytes.size(), 40u);
  EXPECT_EQ(sha256_hex(bytes), "07307ebe34f665a4cb497f1908ead132965101ae8edee037577383e2da3253f9");
  EXPECT_EQ(payload(7, 20), bytes.substr(0, 20));
  EXPECT_NE(payload(8, 40), bytes);
}

TEST(Payload, HasTheHeaderThatTheDriversPageSays) {
  const unsigned char expected[]{128, 0, 0, 0, 1, 0, 0,  0, 6, 0, 0, 0, 2, 0,
                                 0,   0, 1, 0, 0, 0, 64, 0, 0, 0, 1, 0, 0, 0};
  EXPECT_EQ(chunk_header(128), std::string(reinterpret_cast<const char*>(expected), 28));
}

class TestDaemonTest : public testing::Test {
 protected:
  void ask(const Request& request) {
    const Endpoint endpoint{false, "127.0.0.1", daemon.emulator().port()};
    Session session(Connection::open(endpoint, now() + 5s).value(), endpoint.authority(), 5s,
                    transcript);
    (void)session.ask(request);
  }

  Transcript transcript;
  TestDaemon daemon{{}, transcript};
};

TEST_F(TestDaemonTest, TellsTheClientsRequestsFromTheSuitesOwn) {
  daemon.store("b", "mine", "x");
  ask(put_request({"b", "its"}, "y"));
  const auto requests = daemon.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].key, "its");
  EXPECT_EQ(daemon.connections().size(), 1u);
}

TEST_F(TestDaemonTest, TellsWorkersApartByTheirBuckets) {
  ask(put_request({"w1", "a"}, "x"));
  ask(put_request({"w2", "b"}, "x"));
  ask(release_request("unknown"));
  auto usage = daemon.usage();
  EXPECT_EQ(usage["w1"].peak_requests(), 1);
  EXPECT_EQ(usage["w1"].peak_connections(), 1);
  EXPECT_EQ(usage["w2"].peak_connections(), 1);
  EXPECT_EQ(usage[""].peak_connections(), 1) << "nobody's, and counted all the same";
}

TEST_F(TestDaemonTest, StartsAgainAtTheSamePlace) {
  const std::string url = daemon.url();
  daemon.store("b", "k", "x");
  daemon.stop();
  const auto refused = Connection::open(parse_url(url).value(), now() + 5s);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unreachable);
  daemon.start_again();
  EXPECT_EQ(daemon.url(), url);
  EXPECT_EQ(daemon.statistics().objects, 0u);
  daemon.store("b", "k", "x");
}

}  // namespace
}  // namespace hyperpod::conformance::client
