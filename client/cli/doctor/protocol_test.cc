// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "cli/doctor/checks.h"
#include "cli/doctor/test_support.h"
#include "hyperpod/emulator/emulator.h"
#include "testing/scripted_server.h"

namespace hyperpod::client::cli::doctor::protocol_test {
namespace {

using namespace std::chrono_literals;
using emulator::Emulator;
using testing::answer;
using testing::Conversation;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ScriptedServer;

struct Checked {
  bool speaks = false;
  Report report;
};

Checked check(std::uint16_t port, bool https = false, const std::string& ca_file = {},
              std::chrono::milliseconds patience = 1min) {
  Machine machine = machine_with();
  machine.patience.answer = patience;
  ClientOptions options;
  options.tls.ca_file = ca_file;
  DaemonAddress daemon;
  daemon.host = "127.0.0.1";
  daemon.port = port;
  daemon.https = https;
  Checked checked;
  checked.speaks = check_protocol(machine, options, daemon, checked.report);
  return checked;
}

Emulator start_emulator(const std::string& tls_folder = {}) {
  auto options = emulator::Options::for_test();
  options.tls.self_signed_directory = tls_folder;
  auto started = Emulator::start(options);
  if (!started) throw std::runtime_error(started.error().message);
  return *std::move(started);
}

// The connections after the first are tries with TLS, which have no end of a request to wait for.
void read_first_request(Conversation& peer) {
  if (peer.number() == 0) peer.read_request();
}

// A web server that gives one answer to GET / and another to everything else.
ScriptedServer::Script web_server(const std::string& root, const std::string& other) {
  return [root, other](Conversation& peer) {
    while (const auto request = peer.read_request()) {
      peer.send(request->line.starts_with("GET / ") ? root : other);
    }
  };
}

TEST(ProtocolCheck, KnowsTheDaemon) {
  const Emulator daemon = start_emulator();
  const auto checked = check(daemon.port());
  EXPECT_TRUE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), IsEmpty());
  EXPECT_EQ(found(checked.report, "daemon").details["miss_status"], 504);
  EXPECT_EQ(daemon.statistics().leases_granted, 0u);
}

TEST(ProtocolCheck, FindsHttpsWhereTheAddressSaysHttp) {
  const TestFolder folder;
  const Emulator daemon = start_emulator(folder.path());
  const auto checked = check(daemon.port());
  EXPECT_FALSE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-speaks-https"));
}

TEST(ProtocolCheck, FindsHttpWhereTheAddressSaysHttps) {
  const Emulator daemon = start_emulator();
  const auto checked = check(daemon.port(), true);
  EXPECT_FALSE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-speaks-http"));
}

TEST(ProtocolCheck, FindsACertificateThatNobodyVouchesFor) {
  const TestFolder folder;
  const Emulator daemon = start_emulator(folder.path());
  const auto unknown = check(daemon.port(), true);
  EXPECT_FALSE(unknown.speaks);
  EXPECT_THAT(remarks(unknown.report), ElementsAre("problem daemon-certificate"));
  const auto known = check(daemon.port(), true, folder.path("ca.pem"));
  EXPECT_TRUE(known.speaks);
  EXPECT_THAT(remarks(known.report), IsEmpty());
}

TEST(ProtocolCheck, FindsAServerThatDoesNotAnswer) {
  ScriptedServer server([](Conversation& peer) { peer.peer_closes(); });
  const auto checked = check(server.port(), false, {}, 200ms);
  EXPECT_FALSE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-silent"));
}

TEST(ProtocolCheck, FindsAServerOfAnotherProtocol) {
  ScriptedServer server([](Conversation& peer) {
    read_first_request(peer);
    peer.send("-ERR unknown command 'GET'\r\n");
  });
  const auto checked = check(server.port());
  EXPECT_FALSE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-not-http"));
}

TEST(ProtocolCheck, FindsAServerThatHangsUp) {
  ScriptedServer server(read_first_request);
  const auto checked = check(server.port());
  EXPECT_FALSE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-hangs-up"));
}

TEST(ProtocolCheck, FindsAnotherWebServer) {
  constexpr const char* page = "<html>404</html>";
  for (const std::string& root :
       {answer(200, "<html>Welcome</html>", "text/html"), answer(404, page, "text/html")}) {
    ScriptedServer server(web_server(root, answer(404, page, "text/html")));
    const auto checked = check(server.port());
    EXPECT_FALSE(checked.speaks);
    EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-other-server"));
  }
}

TEST(ProtocolCheck, SuspectsAProxyThatHasItsOwnFrontPage) {
  ScriptedServer server(web_server(answer(200, "{}"), answer(504)));
  const auto checked = check(server.port());
  EXPECT_TRUE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("warning daemon-other-root"));
}

TEST(ProtocolCheck, FindsADaemonThatRefuses) {
  ScriptedServer server(web_server(answer(404), answer(503, "{}")));
  const auto checked = check(server.port());
  EXPECT_FALSE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-refuses"));
  EXPECT_THAT(found(checked.report, "daemon-refuses").text, HasSubstr("503"));
}

TEST(ProtocolCheck, ReleasesALeaseOfWhatNobodyStored) {
  std::mutex mutex;
  std::vector<std::string> lines;
  ScriptedServer server([&](Conversation& peer) {
    while (const auto request = peer.read_request()) {
      std::lock_guard lock(mutex);
      lines.push_back(request->line);
      const bool is_root = request->line.starts_with("GET / ");
      peer.send(is_root ? answer(404) : answer(200, testing::lease_body("L1", {{0, 1}})));
    }
  });
  const auto checked = check(server.port());
  EXPECT_FALSE(checked.speaks);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem daemon-grants-absent"));
  server.stop();
  EXPECT_THAT(lines, ElementsAre(HasSubstr("GET / "), HasSubstr("/leases?timeout_ms=0&"),
                                 HasSubstr("POST /v1/leases/L1/release ")));
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor::protocol_test
