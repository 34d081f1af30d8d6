// SPDX-License-Identifier: Apache-2.0
#include "client/driver.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 10s;

class DriverTest : public testing::Test {
 protected:
  DriverTest() { ::signal(SIGPIPE, SIG_IGN); }

  /// A driver that is this shell script.
  static Driver of(const std::string& script) {
    auto driver = Driver::start({.command = "sh -c '" + script + "'"});
    if (!driver) throw std::runtime_error(driver.error().message);
    return *std::move(driver);
  }
};

const std::string echo_ok =
    R"(n=0; while read line; do n=$((n+1)); echo "{\"id\":$n,\"ok\":true}"; done)";

TEST_F(DriverTest, TakesAnswersToItsCommandsOneByOne) {
  Driver driver = of(echo_ok);
  for (int i = 1; i <= 3; ++i) {
    const auto response = driver.ask({{"op", "hello"}}, patience);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->at("id"), i);
  }
  driver.finish_input();
  const auto status = driver.wait(patience);
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, 0);
}

TEST_F(DriverTest, RunsItsCommandAsIfTypedIntoAShell) {
  auto driver =
      Driver::start({.command = R"(OK=true sh -c 'read line; echo "{\"id\":1,\"ok\":$OK}"')"});
  ASSERT_TRUE(driver) << driver.error().message;
  EXPECT_TRUE(driver->ask({{"op", "hello"}}, patience)) << "a variable before the program";

  auto list = Driver::start({.command = R"(cd / && read line && echo "{\"id\":1,\"ok\":true}")"});
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_TRUE(list->ask({{"op", "hello"}}, patience)) << "more than one command";
}

TEST_F(DriverTest, IsTheProcessOfASimpleCommandItself) {
  for (const char* command : {"sleep 60", "NAME=value sleep 60", "env NAME=value sleep 60"}) {
    auto driver = Driver::start({.command = command});
    ASSERT_TRUE(driver) << driver.error().message;
    const std::string file = "/proc/" + std::to_string(driver->pid()) + "/comm";
    const auto deadline = std::chrono::steady_clock::now() + patience;
    std::string name;
    while (name != "sleep" && std::chrono::steady_clock::now() < deadline)
      std::ifstream(file) >> name;
    EXPECT_EQ(name, "sleep") << command;
  }
}

TEST_F(DriverTest, TellsWhatIsNoAnswerFromOne) {
  for (const char* line : {R"({\"id\":2,\"ok\":true})", R"({\"ok\":true})", R"({\"id\":1})", "[1]",
                           "nonsense", R"({\"id\":1,\"ok\":\"yes\"})"}) {
    Driver driver = of(std::string("read line; echo \"") + line + "\"; read line");
    const auto response = driver.ask({{"op", "hello"}}, patience);
    ASSERT_FALSE(response) << line;
    EXPECT_EQ(response.error().code, ErrorCode::malformed_response) << line;
  }
}

TEST_F(DriverTest, TellsWhatAProcessSaidThatEnded) {
  Driver driver = of("read line; echo it is broken >&2; exit 3");
  const auto response = driver.ask({{"op", "hello"}}, patience);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::closed);
  EXPECT_NE(response.error().message.find("it is broken"), std::string::npos);
  const auto status = driver.wait(patience);
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, 3);
  EXPECT_EQ(driver.ask({{"op", "hello"}}, patience).error().code, ErrorCode::closed);
}

TEST_F(DriverTest, TellsHowAProcessEnded) {
  const auto ending = [](const std::string& script) {
    const auto response = of("read line; " + script).ask({{"op", "hello"}}, patience);
    return response ? "an answer" : response.error().message;
  };
  EXPECT_EQ(ending("exit 3"), "the driver ended: exit code 3");
  EXPECT_EQ(ending("echo broken >&2; exit 0"),
            "the driver ended: exit code 0, and on standard error: broken");
  EXPECT_EQ(ending("kill -SEGV $$"), "the driver ended: its end by signal 11");
}

TEST_F(DriverTest, TakesNullForLeftOut) {
  EXPECT_EQ(response_in(R"({"id":null,"ok":true,"results":[{"size":null,"outcome":"miss"},null]})"),
            Json::parse(R"({"ok":true,"results":[{"outcome":"miss"},null]})"));
  EXPECT_EQ(response_in("[null]"), Json::parse("[null]"));
  EXPECT_TRUE(response_in("nonsense").is_discarded());
  EXPECT_TRUE(response_in(std::string_view("{}\0 x", 5)).is_discarded());
}

TEST_F(DriverTest, RefusesDeepNesting) {
  const auto nested = [](std::size_t depth) {
    return R"({"client":"\"[[","z":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_FALSE(response_in(nested(99)).is_discarded());
  EXPECT_TRUE(response_in(nested(100)).is_discarded());
  EXPECT_TRUE(response_in(nested(200'000)).is_discarded());
}

TEST_F(DriverTest, DoesNotWaitForEver) {
  Driver silent = of("sleep 60");
  const auto response = silent.ask({{"op", "hello"}}, 50ms);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::timed_out);

  Driver deaf = of("sleep 60");
  const auto sent = deaf.send({{"op", std::string(1 << 20, 'x')}}, 50ms);
  ASSERT_FALSE(sent) << "no pipe takes a megabyte";
  EXPECT_EQ(sent.error().code, ErrorCode::timed_out);
}

TEST_F(DriverTest, StopsAndContinuesTheProcessItself) {
  Driver driver = of(echo_ok);
  ASSERT_TRUE(driver.ask({{"op", "hello"}}, patience));
  ASSERT_TRUE(driver.stop());
  ASSERT_TRUE(driver.send({{"op", "hello"}}, patience));
  EXPECT_FALSE(driver.receive(50ms)) << "a stopped process says nothing";
  driver.resume();
  EXPECT_TRUE(driver.receive(patience));
  driver.signal(SIGKILL);
  EXPECT_TRUE(driver.wait(patience));
  EXPECT_FALSE(driver.stop()) << "it has ended";
}

TEST_F(DriverTest, LeavesNoProcessBehind) {
  pid_t pid = 0;
  {
    Driver driver = of("sleep 60");
    pid = driver.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

}  // namespace
}  // namespace hyperpod::conformance::client
