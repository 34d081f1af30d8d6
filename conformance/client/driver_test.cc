#include "client/driver.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

namespace hyperpod::conformance {
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
    const auto answer = driver.ask({{"op", "hello"}}, patience);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->at("id"), i);
  }
  driver.finish_input();
  const auto status = driver.wait(patience);
  ASSERT_TRUE(status);
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0);
}

TEST_F(DriverTest, TellsWhatIsNoAnswerFromOne) {
  for (const char* line : {R"({\"id\":2,\"ok\":true})", R"({\"ok\":true})", R"({\"id\":1})", "[1]",
                           "nonsense", R"({\"id\":1,\"ok\":\"yes\"})"}) {
    Driver driver = of(std::string("read line; echo \"") + line + "\"; read line");
    const auto answer = driver.ask({{"op", "hello"}}, patience);
    ASSERT_FALSE(answer) << line;
    EXPECT_EQ(answer.error().code, ErrorCode::malformed) << line;
  }
}

TEST_F(DriverTest, TellsWhatAProcessSaidThatEnded) {
  Driver driver = of("read line; echo it is broken >&2; exit 3");
  const auto answer = driver.ask({{"op", "hello"}}, patience);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::closed);
  EXPECT_NE(answer.error().message.find("it is broken"), std::string::npos);
  const auto status = driver.wait(patience);
  ASSERT_TRUE(status);
  EXPECT_EQ(WEXITSTATUS(*status), 3);
  EXPECT_EQ(driver.ask({{"op", "hello"}}, patience).error().code, ErrorCode::closed);
}

TEST_F(DriverTest, DoesNotWaitForEver) {
  Driver silent = of("sleep 60");
  const auto answer = silent.ask({{"op", "hello"}}, 50ms);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::timed_out);

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
}  // namespace hyperpod::conformance
