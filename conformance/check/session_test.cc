// SPDX-License-Identifier: Apache-2.0
#include "check/session.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "check/result.h"
#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::conformance::check {
namespace {

using namespace std::chrono_literals;

TEST(LeaseTerms, AreWrittenAsTheClientsWriteThem) {
  EXPECT_EQ((LeaseTerms{5000ms, 30s}.query()), "timeout_ms=5000&ttl_s=30.0");
  EXPECT_EQ((LeaseTerms{0ms, 1900ms}.query()), "timeout_ms=0&ttl_s=1.9");
  EXPECT_EQ((LeaseTerms{0ms, 2286ms}.query()), "timeout_ms=0&ttl_s=2.286");
  EXPECT_EQ((LeaseTerms{0ms, 10ms}.query()), "timeout_ms=0&ttl_s=0.01");
}

TEST(Printable, KeepsTextAndEscapesTheRest) {
  EXPECT_EQ(printable("a\r\nb\tc"), "a\nb\\x09c");
  EXPECT_EQ(printable("Schlüssel 鍵 🔑"), "Schlüssel 鍵 🔑");
  EXPECT_EQ(printable(std::string_view("\x1b[31m\0", 6)), "\\x1B[31m\\x00");
  EXPECT_EQ(printable("\xC3"), "\\xC3");
  EXPECT_EQ(printable("\xC2\x9Bm"), "\\xC2\\x9Bm") << "CSI of C1 colours terminals as well";
  EXPECT_EQ(printable("\xEF\xBF\xBE"), "\\xEF\\xBF\\xBE") << "U+FFFE is not XML";
  EXPECT_EQ(printable("\xF0\x9F\xBF\xBF"), "\\xF0\\x9F\\xBF\\xBF") << "nor is U+1FFFF for all";
  EXPECT_EQ(printable("\xE2\x80\xAE"), "\\xE2\\x80\\xAE") << "would turn the text round";
  EXPECT_EQ(printable("caf\xE9"), "caf\\xE9") << "Latin-1";
  EXPECT_EQ(printable("\xC0\xAF"), "\\xC0\\xAF");           // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xED\\xA0\\x80");  // a surrogate
}

TEST(Printable, ChangesNothingMoreWhenAppliedTwice) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string once = printable(all + "\xEF\xBF\xBF\xC2\x85");
  EXPECT_EQ(printable(once), once);
}

TEST(Transcript, KeepsTheFirstAndTheLatestEvents) {
  Transcript transcript;
  for (int i = 0; i < 100; ++i) transcript.add(Event::Kind::sent, 1, std::to_string(i), "");
  const auto events = transcript.events();
  EXPECT_EQ(events.front().head, "0");
  EXPECT_EQ(events.back().head, "99");
  EXPECT_EQ(events.size() + transcript.dropped(), 100u);
}

TEST(Transcript, TellsWhatWasSentLastBeforeTheTrouble) {
  Transcript transcript;
  transcript.add(Event::Kind::sent, 1, "held", "");
  transcript.add(Event::Kind::sent, 2, "answered", "");
  transcript.add(Event::Kind::received, 2, "", "");
  transcript.add(Event::Kind::sent, 3, "the last", "");
  transcript.add(Event::Kind::trouble, 3, "closed", "");
  transcript.add(Event::Kind::sent, 3, "into the void", "");
  EXPECT_EQ(transcript.unanswered().value().head, "the last");
}

TEST(Transcript, KeepsTheRequestThatTheLastResponseAnswers) {
  Transcript transcript;
  transcript.add(Event::Kind::sent, 7, "an earlier request", "");
  transcript.add(Event::Kind::received, 7, "its response", "");
  for (int i = 100; i < 200; ++i)
    transcript.add(Event::Kind::sent, i == 120 ? 7 : i, "request " + std::to_string(i), "");
  transcript.add(Event::Kind::received, 7, "503", "");
  const auto events = transcript.events();
  EXPECT_EQ(events.back().head, "503");
  const auto is_request = [](const Event& event) { return event.head == "request 120"; };
  EXPECT_EQ(std::ranges::count_if(events, is_request), 1);
  EXPECT_EQ(events.size() + transcript.dropped(), 103u);
  EXPECT_TRUE(std::ranges::is_sorted(events, {}, &Event::at));
}

/// Answers each connection's requests with the same bytes, and closes after `per_connection` of
/// them.
class ScriptedServer {
 public:
  /// `swallows`: behind the last response of a connection one more request is read.
  ScriptedServer(std::string response, int per_connection, bool swallows = false)
      : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listening_.get(), generic, size), 0);
    EXPECT_EQ(::listen(listening_.get(), 16), 0);
    EXPECT_EQ(::getsockname(listening_.get(), generic, &size), 0);
    endpoint_ = {false, "127.0.0.1", ntohs(address.sin_port)};
    thread_ = std::jthread([this, response = std::move(response), per_connection, swallows] {
      while (true) {
        const base::FileDescriptor peer(
            ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!peer) return;
        serve(peer.get(), response, per_connection);
        std::array<char, 4096> more;
        if (swallows) (void)::recv(peer.get(), more.data(), more.size(), 0);
      }
    });
  }
  ~ScriptedServer() { ::shutdown(listening_.get(), SHUT_RDWR); }

  Session session(Transcript& transcript) const {
    const auto connect = [endpoint = endpoint_] { return Connection::open(endpoint, now() + 5s); };
    return Session(connect().value(), endpoint_.authority(), 5s, transcript, connect);
  }

 private:
  static void serve(int peer, const std::string& response, int count) {
    std::string received;
    std::array<char, 4096> buffer;
    for (int served = 0; served < count;) {
      const auto got = ::recv(peer, buffer.data(), buffer.size(), 0);
      if (got <= 0) return;
      received.append(buffer.data(), static_cast<std::size_t>(got));
      for (auto end = received.find("\r\n\r\n"); end != std::string::npos && served < count;
           end = received.find("\r\n\r\n")) {
        received.erase(0, end + 4);
        (void)::send(peer, response.data(), response.size(), MSG_NOSIGNAL);
        ++served;
      }
    }
  }

  base::FileDescriptor listening_;
  Endpoint endpoint_;
  std::jthread thread_;
};

const std::string no_content = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

TEST(Session, OpensAnotherConnectionWhereTheDaemonHasClosedOne) {
  const ScriptedServer server(no_content, 2);
  Transcript transcript;
  Session session = server.session(transcript);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(session.ask({"GET", "/", {}, {}}).status, 200);
  EXPECT_EQ(session.reconnects(), 3);
}

TEST(Session, TellsOfAResponseToARequestSentOnceMore) {
  const ScriptedServer server(no_content, 1, true);
  Transcript transcript;
  Session session = server.session(transcript);
  EXPECT_FALSE(session.ask({"GET", "/", {}, {}}).to_repetition);
  EXPECT_TRUE(session.ask({"GET", "/", {}, {}}).to_repetition);
}

TEST(Session, StaysOnItsConnectionWhenToldTo) {
  const ScriptedServer server(no_content, 2);
  Transcript transcript;
  Session session = server.session(transcript);
  session.stay_on_connection();
  for (int i = 0; i < 2; ++i) (void)session.ask({"GET", "/", {}, {}});
  EXPECT_THROW((void)session.ask({"GET", "/", {}, {}}), Violation);
}

TEST(Session, PassesInterimResponsesOver) {
  const ScriptedServer server("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + no_content, 5);
  Transcript transcript;
  Session session = server.session(transcript);
  EXPECT_EQ(session.ask({"GET", "/", {}, {}}).status, 200);
  session.send({"GET", "/", {}, {}});
  EXPECT_EQ(session.any_response().status, 103);
  EXPECT_EQ(session.response().status, 200);
}

TEST(Session, DoesNotTakeInterimResponsesForEver) {
  std::string endless;
  for (int i = 0; i < 500; ++i) endless += "HTTP/1.1 100 Continue\r\n\r\n";
  const ScriptedServer server(endless, 5);
  Transcript transcript;
  Session session = server.session(transcript);
  EXPECT_THROW((void)session.ask({"GET", "/", {}, {}}), Violation);
}

}  // namespace
}  // namespace hyperpod::conformance::check
