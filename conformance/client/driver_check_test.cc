// SPDX-License-Identifier: Apache-2.0
// Drivers that are right, and drivers that are wrong in one way each: mostly hyperpod-driver with
// what it says or hears changed on the way.
#include "client/driver_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DriverCheckTest : public ::testing::Test {
 protected:
  DriverCheckTest() { ::signal(SIGPIPE, SIG_IGN); }

  static DriverCheck check(const std::string& command, std::chrono::milliseconds patience = 10s) {
    const auto check = check_driver({command, patience, patience});
    EXPECT_TRUE(check) << check.error().message;
    return check.value_or(DriverCheck{});
  }

  static std::string quoted(const std::string& text) {
    std::string word = "'";
    for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return word + "'";
  }

  /// hyperpod-driver with its commands and its responses edited by sed. It offers no `raise`, of
  /// which the seds around it would not notice.
  static DriverCheck check_edited(const std::string& commands, const std::string& responses,
                                  std::chrono::milliseconds patience = 10s) {
    const std::string no_raise = R"(s/"raise",//;)";
    return check(
        "sh -c " + quoted("sed -u " + quoted(commands) + " | " HYPERPOD_DRIVER " | sed -u " +
                          quoted(no_raise + responses)),
        patience);
  }
  static DriverCheck check_saying(const std::string& responses) {
    return check_edited("", responses);
  }
  static DriverCheck check_hearing(const std::string& commands) {
    return check_edited(commands, "");
  }

  /// There is a finding with these parts, in this order.
  static void expect_finding(const DriverCheck& check, const std::string& expected,
                             const std::string& came) {
    EXPECT_FALSE(check.passed());
    EXPECT_TRUE(std::ranges::any_of(check.findings,
                                    [&](const DriverFinding& finding) {
                                      return finding.expected.find(expected) != std::string::npos &&
                                             finding.came.find(came) != std::string::npos;
                                    }))
        << "nothing of: " << expected << " / " << came << "\n"
        << check.text();
  }
};

TEST_F(DriverCheckTest, FindsNothingInOurs) {
  const DriverCheck found = check(HYPERPOD_DRIVER);
  EXPECT_TRUE(found.passed()) << found.text();
  EXPECT_THAT(found.findings, IsEmpty()) << found.text();
  EXPECT_THAT(found.not_offered, IsEmpty());
  EXPECT_THAT(found.client, HasSubstr("hyperpod::client"));
  EXPECT_THAT(found.text(), HasSubstr("keeps docs/drivers.md"));
}

TEST_F(DriverCheckTest, FindsNothingWrongInTheDriverOfTheCarelessClient) {
  const DriverCheck found = check("/usr/bin/python3 -B " HYPERPOD_DRIVERS "/careless_client.py");
  EXPECT_TRUE(found.passed()) << found.text();
  EXPECT_THAT(found.not_offered, ElementsAre("fork", "stats"));
}

TEST_F(DriverCheckTest, TellsThatAClientIsNotInstalled) {
  const DriverCheck found = check("sh -c 'echo no client here >&2; exit 77'");
  EXPECT_TRUE(found.not_installed);
  EXPECT_THAT(found.findings, IsEmpty()) << found.text();
  EXPECT_EQ(found.error_output, "no client here");
  EXPECT_THAT(check("sh -c 'exit 77'").findings.at(0).expected, HasSubstr("one line"));
}

TEST_F(DriverCheckTest, EndsWithADriverThatNeverAnswers) {
  expect_finding(check("sleep 60", 200ms), "a response within 200.0 ms", "nothing");
}

TEST_F(DriverCheckTest, TellsHowADriverEnded) {
  expect_finding(check("/no/such/driver"), "a response", "exit code 127");
  expect_finding(check("sh -c 'kill -SEGV $$'"), "a response", "signal 11");
}

TEST_F(DriverCheckTest, FindsWhatIsNoAnswer) {
  expect_finding(check("cat"), "true or false", R"("op":"hello")");
  expect_finding(check_edited("", "s/^{/[/", 1s), "a JSON object", "[");
  expect_finding(check_saying(R"(s/"id":\([0-9]\)/"id":1\1/)"), "\"id\": 7", "17");
  expect_finding(check_saying(R"(s/"ok":true/"ok":1/)"), "true or false", "\"ok\":1");
  expect_finding(check_saying(R"(s/"error"/"why"/)"), "a sentence", "\"why\"");
}

TEST_F(DriverCheckTest, FindsNothingWrongInMembersThatAreNull) {
  const std::string nulls = R"(s/"ok":true/"ok":true,"error":null,"unsupported":null/;)"
                            R"(s/"ok":false/"ok":false,"detail":null/;)"
                            R"(s/"outcome":"stored"/&,"detail":null,"size":null,"sha256":null/g;)"
                            R"(s/"outcome":"miss"/&,"detail":null,"size":null,"sha256":null/g;)"
                            R"(s/"queued":[0-9]*/"queued":null/)";
  const DriverCheck found = check_saying(nulls);
  EXPECT_TRUE(found.complete);
  for (const DriverFinding& finding : found.findings) {
    // Which is true of every driver with sed around it.
    EXPECT_THAT(finding.line(), HasSubstr("connections of another process"));
  }
}

TEST_F(DriverCheckTest, FindsLinesThatNobodyAskedFor) {
  expect_finding(check_saying(R"(/"outcome":"hit"/p)"), "one line in response", R"("hit")");
  const DriverCheck logging = check_saying("1i connected");
  expect_finding(logging, "nothing else on standard output", "connected");
  EXPECT_TRUE(logging.complete);
}

TEST_F(DriverCheckTest, FindsWhatHelloLacks) {
  expect_finding(check_saying(R"(s/"client"/"name"/)"), "name and version", "\"name\"");
  expect_finding(check_saying("s/configurable/sometimes/"), "never, always", "sometimes");
  expect_finding(check_saying(R"(s/"save_chunk_meta",//)"), "save_chunk_meta among", "");
  expect_finding(check_saying(R"(s/"get",//)"), "get among \"operations\"", "");
  expect_finding(check_saying(R"(s/"exists",/"exist",/)"), "names of docs/drivers.md", "exist");
}

TEST_F(DriverCheckTest, FindsWrongOutcomes) {
  expect_finding(check_saying(R"(s/"stored"/"saved"/)"), "one of error, exists, not_told, stored",
                 "saved");
  expect_finding(check_saying(R"(s/"miss"/"hit"/)"), "a miss", "\"hit\"");
  expect_finding(check_saying(R"(s/"outcome":"hit"/"outcome":"miss"/)"), "a hit", "\"miss\"");
  expect_finding(check_saying(R"(s/"outcome":"exists"/"outcome":"error"/)"), "stored or exists",
                 "\"error\"");
}

TEST_F(DriverCheckTest, FindsWrongSums) {
  expect_finding(check_saying(R"(s/"size":66002/"size":66030/)"), "\"size\": 66002", "66030");
  expect_finding(check_saying(R"(s/\("sha256":"[^"]*\)[0-9a-f]"/\1-"/)"), "64 hexadecimal digits",
                 "-\"");
  expect_finding(check_hearing(R"(/"get"/s/"key":"one"/"key":"three"/)"),
                 "the sha256 of the payload", "sha256");
}

TEST_F(DriverCheckTest, FindsWrongBytes) {
  expect_finding(check_hearing(R"(s/"seed":7/"seed":8/)"), "the payload alone, from byte 0", "");
  expect_finding(check_hearing(R"(s/"seed":4294967311/"seed":15/)"),
                 "the payload alone, from byte 0", "");
  expect_finding(check_hearing(R"(s/"size":2,/"size":4,/)"), "2 bytes", "4 bytes");
  expect_finding(check_hearing(R"(s/"save_chunk_meta":false/"save_chunk_meta":true/)"),
                 "the payload alone", "a header in front of it");
  expect_finding(check_hearing(R"(s/"save_chunk_meta":true/"save_chunk_meta":false/)"),
                 "header and payload", "without a header");
  expect_finding(check_hearing(R"(s/"bucket":"driver-check"/"bucket":"x"/)"), "driver-check/one",
                 "x/one");
}

TEST_F(DriverCheckTest, FindsResultsThatAreAmiss) {
  expect_finding(check_saying(R"(s/"results"/"result"/)"), "\"results\", an array", "");
  expect_finding(check_hearing(R"(/batch_put/s/},{/},{"key":"more","size":2,"seed":1},{/)"),
                 "an array of 3", "");
  expect_finding(check_saying(R"(s/"hits":3/"hits":4/)"), "\"hits\": 3", "4");
}

TEST_F(DriverCheckTest, FindsOperationsThatAreNotAtOnce) {
  expect_finding(check_hearing(R"(/configure/s/}$/,"max_concurrent_requests":1}/)"),
                 "under way at once", "1 request in flight");
}

TEST_F(DriverCheckTest, HintsAtDisorder) {
  const DriverCheck found = check_hearing("s/in-order-0/in-order-9/");
  EXPECT_TRUE(std::ranges::any_of(found.findings, [](const DriverFinding& finding) {
    return finding.weight == DriverFinding::Weight::hint &&
           finding.came.find("in-order-9 in-order-1") != std::string::npos;
  })) << found.text();
}

TEST_F(DriverCheckTest, FindsUnsuitableCounts) {
  expect_finding(check_saying(R"(s/"circuit_open":false/"circuit_open":0/)"),
                 "\"circuit_open\", true or false", "");
  expect_finding(check_saying(R"(s/"queued":0/"queued":-1/)"), "\"queued\", a whole number", "");
}

TEST_F(DriverCheckTest, FindsWhatNonsenseIsAnsweredWith) {
  expect_finding(check_saying(R"(s/"unsupported":true/"error":"what?"/)"), "\"unsupported\": true",
                 "what?");
  expect_finding(check_hearing(R"(s/^this is no JSON$/{"id":1,"op":"close"}/)"),
                 "the line is not JSON", "\"ok\":true");
}

TEST_F(DriverCheckTest, FindsAClientThatIsNotInTheProcessItself) {
  expect_finding(check_saying(""), "connected to the daemon", "another process");
}

TEST_F(DriverCheckTest, FindsAnEndThatIsNone) {
  expect_finding(check("sh -c '" HYPERPOD_DRIVER "; exit 3'"), "exit code 0", "exit code 3");
  expect_finding(check("sh -c '" HYPERPOD_DRIVER "; exec sleep 60'", 1500ms),
                 "the driver to exit within", "nothing");

  const std::string hello_for_raise = "sed -u " + quoted(R"(s/"op":"raise"/"op":"hello"/)");
  expect_finding(check("sh -c " + quoted(hello_for_raise + " | " HYPERPOD_DRIVER)),
                 "the end by an exception", "client");
}

}  // namespace
}  // namespace hyperpod::conformance::client
