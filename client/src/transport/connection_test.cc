// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "testing/full_listener.h"
#include "testing/scripted_server.h"
#include "transport/http_connection.h"

namespace hyperpod::client::transport {
namespace {

using namespace std::chrono_literals;
using client::testing::answer;
using client::testing::Conversation;
using client::testing::ScriptedServer;
using client::testing::SeenRequest;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

using SteadyClock = std::chrono::steady_clock;

constexpr auto plenty = 20s;
constexpr auto short_time = 150ms;

DaemonAddress address_of(const ScriptedServer& server) {
  DaemonAddress address;
  address.host = "127.0.0.1";
  address.port = server.port();
  return address;
}

class Exchanger {
 public:
  explicit Exchanger(const ScriptedServer& server) : connection(address_of(server), {}) {}

  HttpOutcome post(const std::string& target = "/", SteadyClock::duration within = plenty) {
    return connection.exchange({.target = target}, SteadyClock::now() + within);
  }
  HttpOutcome put(std::string_view payload, std::string_view header = {},
                  SteadyClock::duration within = plenty, std::uint64_t piece = 1024) {
    return connection.exchange({.method = HttpRequest::Method::put,
                                .target = "/k",
                                .header = std::as_bytes(std::span(header)),
                                .payload = std::as_bytes(std::span(payload)),
                                .piece_bytes = piece},
                               SteadyClock::now() + within);
  }

  HttpConnection connection;
};

// Answers every request alike.
ScriptedServer::Script always(std::string text) {
  return [text = std::move(text)](Conversation& c) {
    while (c.read_request()) c.send(text);
  };
}

// Keeps what it reads of a request for a test to look at.
class Recorder {
 public:
  void add(SeenRequest request) {
    std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
  }
  std::vector<SeenRequest> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  std::mutex mutex_;
  std::vector<SeenRequest> requests_;
};

TEST(HttpConnection, SendsAPostExactlyAsLmcacheDoes) {
  Recorder seen;
  ScriptedServer server([&](Conversation& c) {
    while (auto request = c.read_request()) {
      seen.add(*request);
      c.send(answer(504));
    }
  });
  Exchanger exchanger(server);
  const auto got = exchanger.post("/v1/kv/b/a%2Fb@c%25/leases?timeout_ms=5000&ttl_s=30.0");
  ASSERT_TRUE(got) << got.error().reason;
  EXPECT_EQ(got->status, 504);
  ASSERT_EQ(seen.requests().size(), 1u);
  const auto request = seen.requests()[0];
  EXPECT_EQ(request.line, "POST /v1/kv/b/a%2Fb@c%25/leases?timeout_ms=5000&ttl_s=30.0 HTTP/1.1");
  EXPECT_THAT(request.headers,
              UnorderedElementsAre(std::pair("Host", "127.0.0.1:" + std::to_string(server.port())),
                                   std::pair("User-Agent", "LMCache-SageMaker-HyperPod/1.0"),
                                   std::pair("Content-Length", "0"), std::pair("Accept", "*/*"),
                                   std::pair("Accept-Encoding", "gzip, deflate")));
}

TEST(HttpConnection, SendsAPutExactlyAsLmcacheDoes) {
  Recorder seen;
  ScriptedServer server([&](Conversation& c) {
    while (auto request = c.read_request()) {
      seen.add(*request);
      c.send(answer(200));
    }
  });
  Exchanger exchanger(server);
  const std::string payload(5000, 'x');
  const auto got = exchanger.put(payload, "HEADER");
  ASSERT_TRUE(got) << got.error().reason;
  EXPECT_EQ(got->status, 200);
  const auto request = seen.requests().at(0);
  EXPECT_EQ(request.line, "PUT /k HTTP/1.1");
  EXPECT_EQ(request.body, "HEADER" + payload);
  EXPECT_THAT(request.headers,
              UnorderedElementsAre(std::pair("Host", "127.0.0.1:" + std::to_string(server.port())),
                                   std::pair("User-Agent", "LMCache-SageMaker-HyperPod/1.0"),
                                   std::pair("Content-Length", "5006"), std::pair("Accept", "*/*"),
                                   std::pair("Accept-Encoding", "gzip, deflate"),
                                   std::pair("Content-Type", "application/octet-stream")));
}

// The kernel keeps what it takes for the beginning of more for 200 ms.
TEST(HttpConnection, LeavesNothingOfARequestWithTheKernel) {
  ScriptedServer server(always(answer(200)));
  const std::string large(100'000, 'x');
  for (const auto& [payload, header] : {std::pair(std::string_view(large), "HEADER"),
                                        {"x", "HEADER"},
                                        {"", "HEADER"},
                                        {"x", ""},
                                        {"", ""}}) {
    bool in_time = false;
    for (int attempt = 0; attempt < 20 && !in_time; ++attempt) {
      in_time = Exchanger(server).put(payload, header, short_time).has_value();
    }
    EXPECT_TRUE(in_time) << header << " and " << payload.size() << " bytes";
  }
}

TEST(HttpConnection, PutsThePathOfTheAddressBeforeTheTarget) {
  Recorder seen;
  ScriptedServer server([&](Conversation& c) {
    seen.add(*c.read_request());
    c.send(answer(200));
  });
  auto address = address_of(server);
  address.path_prefix = "/gate";
  HttpConnection connection(address, {});
  ASSERT_TRUE(connection.exchange({.target = "/v1/x"}, SteadyClock::now() + plenty));
  EXPECT_EQ(seen.requests().at(0).line, "POST /gate/v1/x HTTP/1.1");
}

TEST(HttpConnection, KeepsItsConnection) {
  ScriptedServer server(always(answer(200, "{}")));
  Exchanger exchanger(server);
  for (int i = 0; i < 20; ++i) {
    const auto got = exchanger.post();
    ASSERT_TRUE(got) << got.error().reason;
    EXPECT_EQ(got->content_type, "application/json");
    EXPECT_EQ(got->body, "{}");
    EXPECT_TRUE(exchanger.connection.is_reusable());
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpConnection, ReadsAnswersInEveryCoding) {
  // {"a":1} packed by gzip
  const std::string packed(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x54\xb2\x32\xac\x05\x00"
      "\xaf\xac\x1b\x56\x07\x00\x00\x00",
      27);
  const std::vector<std::string> answers = {
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
      "HTTP/1.1 200\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
      "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: " +
          std::to_string(packed.size()) + "\r\n\r\n" + packed,
  };
  for (const std::string& text : answers) {
    ScriptedServer server(always(text));
    Exchanger exchanger(server);
    for (int i = 0; i < 2; ++i) {
      const auto got = exchanger.post();
      ASSERT_TRUE(got) << got.error().reason << "\n" << text;
      EXPECT_EQ(got->status, 200);
      EXPECT_EQ(got->body, "{\"a\":1}") << text;
    }
    EXPECT_EQ(server.connections(), 1);
  }
}

TEST(HttpConnection, IsNotReusableWhenTheDaemonClosesIt) {
  for (const char* text :
       {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\n{}"}) {
    ScriptedServer server([&](Conversation& c) {
      if (c.read_request()) c.send(text);
    });
    Exchanger exchanger(server);
    for (int i = 0; i < 2; ++i) {
      const auto got = exchanger.post();
      ASSERT_TRUE(got) << got.error().reason << "\n" << text;
      EXPECT_EQ(got->body, "{}");
    }
    EXPECT_EQ(server.connections(), 2);
  }
}

TEST(HttpConnection, ReplacesADeadConnectionUnnoticed) {
  for (const bool reset : {false, true}) {
    std::atomic<bool> closed{false};
    ScriptedServer server([&](Conversation& c) {
      c.read_request();
      c.send(answer(200));
      c.close(reset);
      closed = true;
    });
    Exchanger exchanger(server);
    ASSERT_TRUE(exchanger.post());
    ASSERT_TRUE(client::testing::eventually([&] { return closed.load(); }));
    const auto got = exchanger.post();
    EXPECT_TRUE(got) << got.error().reason;
    EXPECT_EQ(server.connections(), 2);
  }
}

TEST(HttpConnection, ClosesWhatHasBeenIdleForHalfAMinute) {
  std::atomic<int> closed{0};
  ScriptedServer server([&](Conversation& c) {
    while (c.read_request()) c.send(answer(200));
    ++closed;
  });
  auto clock = std::make_shared<ManualClock>();
  HttpConnection connection(address_of(server), {}, clock);
  const auto exchange = [&] {
    return connection.exchange({.target = "/v1/x"}, clock->now() + plenty).has_value();
  };
  ASSERT_TRUE(exchange());
  clock->advance(29s);
  ASSERT_TRUE(exchange());
  clock->advance(29s);
  EXPECT_TRUE(connection.is_reusable());
  EXPECT_EQ(server.connections(), 1);
  clock->advance(1s);
  EXPECT_TRUE(client::testing::eventually([&] { return closed == 1; }));
  EXPECT_FALSE(connection.is_reusable());

  // As well where it is idle between two attempts of one call.
  ASSERT_TRUE(exchange());
  std::thread caller([&] { connection.rest(clock->now() + 31s); });
  EXPECT_TRUE(client::testing::eventually([&] { return closed == 2; }));
  clock->advance(31s);
  caller.join();
  EXPECT_TRUE(exchange());
  EXPECT_EQ(server.connections(), 3);
}

// A daemon closes an idle connection at the very moment at which it is used again.
TEST(HttpConnection, SendsOnceMoreWhatAReusedConnectionDidNotRespondTo) {
  for (const bool put : {false, true}) {
    ScriptedServer server([](Conversation& c) {
      if (!c.read_request()) return;
      c.send(answer(200));
      if (c.number() == 0) c.read_request();  // and closes without a response
    });
    Exchanger exchanger(server);
    ASSERT_TRUE(exchanger.post());
    const auto got = put ? exchanger.put("payload") : exchanger.post();
    ASSERT_TRUE(got) << got.error().reason;
    EXPECT_EQ(got->status, 200);
    EXPECT_EQ(server.connections(), 2);
  }
}

TEST(HttpConnection, SendsNothingMoreThanTwice) {
  ScriptedServer server([](Conversation& c) {
    if (!c.read_request()) return;
    if (c.number() == 0) c.send(answer(200));
    if (c.number() == 0) c.read_request();
  });
  Exchanger exchanger(server);
  ASSERT_TRUE(exchanger.post());
  const auto got = exchanger.post();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::unreachable);
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpConnection, DoesNotSendAgainOnceAResponseHasBegun) {
  ScriptedServer server([](Conversation& c) {
    if (!c.read_request()) return;
    c.send(answer(200));
    c.read_request();
    c.send("H");
  });
  Exchanger exchanger(server);
  ASSERT_TRUE(exchanger.post());
  const auto got = exchanger.post();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::malformed_response);
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpConnection, DropsAConnectionOnWhichBytesCameWithTheAnswer) {
  ScriptedServer server([](Conversation& c) {
    while (c.read_request()) c.send(answer(200, "asked for") + answer(200, "evil"));
  });
  Exchanger exchanger(server);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(exchanger.post()->body, "asked for");
  EXPECT_EQ(server.connections(), 5);
}

TEST(HttpConnection, DropsAConnectionOnWhichBytesCameLater) {
  std::atomic<bool> proceed{false};
  std::atomic<bool> sent{false};
  ScriptedServer server([&](Conversation& c) {
    c.read_request();
    c.send(answer(200, "asked for"));
    if (!client::testing::eventually([&] { return proceed.load(); })) return;
    c.send(answer(200, "evil"));
    sent = true;
    c.peer_closes();
  });
  Exchanger exchanger(server);
  EXPECT_EQ(exchanger.post()->body, "asked for");
  proceed = true;
  ASSERT_TRUE(client::testing::eventually([&] { return sent.load(); }));
  EXPECT_EQ(exchanger.post()->body, "asked for");
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpConnection, TellsThatNobodyListens) {
  std::unique_ptr<Exchanger> exchanger;
  {
    ScriptedServer server(always(answer(200)));
    exchanger = std::make_unique<Exchanger>(server);
  }
  const auto got = exchanger->post();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::unreachable);
  EXPECT_THAT(got.error().reason, HasSubstr("is the daemon running"));
}

TEST(HttpConnection, TellsThatAHostIsUnknown) {
  DaemonAddress address;
  address.host = "no-such-host.invalid";
  address.port = 1;
  const auto got =
      HttpConnection(address, {}).exchange({.target = "/"}, SteadyClock::now() + plenty);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::unreachable);
}

TEST(HttpConnection, IsBackAtItsDeadlineHoweverTheAnswerDribbles) {
  const auto dribble = [](std::string start, std::string drop) {
    return [start, drop](Conversation& c) {
      if (!c.read_head()) return;
      c.send(start);
      while (!c.peer_closes(5ms)) c.send(drop);
    };
  };
  const std::vector<ScriptedServer::Script> scripts = {
      [](Conversation& c) { c.peer_closes(); },
      dribble("", "H"),
      dribble("HTTP/1.1 200 OK\r\n", "X-Drop: 1\r\n"),
      dribble("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "{"),
      dribble("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n{\r\n"),
      dribble("HTTP/1.1 200 OK\r\n\r\n", "{"),
      dribble("", "HTTP/1.1 100 Continue\r\n\r\n"),
  };
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    ScriptedServer server(scripts[i]);
    Exchanger exchanger(server);
    const auto start = SteadyClock::now();
    const auto got = exchanger.post("/", short_time);
    ASSERT_FALSE(got) << i;
    EXPECT_EQ(got.error().code, ErrorCode::timed_out) << i;
    EXPECT_LT(SteadyClock::now() - start, plenty) << i;
    EXPECT_FALSE(exchanger.connection.is_reusable());
  }
}

TEST(HttpConnection, IsBackAtItsDeadlineHoweverTheHandshakeDribbles) {
  ScriptedServer server([](Conversation& c) {
    c.send(std::string("\x16\x03\x03\x40\x00", 5));  // a record of 16 KiB, which never comes
    while (!c.peer_closes(5ms)) c.send("x");
  });
  auto address = address_of(server);
  address.https = true;
  HttpConnection connection(address, {});
  const auto start = SteadyClock::now();
  const auto got = connection.exchange({.target = "/"}, start + short_time);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::timed_out);
  EXPECT_LT(SteadyClock::now() - start, plenty);
}

TEST(HttpConnection, IsBackAtItsDeadlineWhenTheBodyIsNotRead) {
  std::atomic<bool> is_back{false};
  ScriptedServer server([&](Conversation& c) {
    c.read_head();
    client::testing::eventually([&] { return is_back.load(); });
  });
  Exchanger exchanger(server);
  const std::string payload(64 << 20, 'x');
  const auto start = SteadyClock::now();
  const auto got = exchanger.put(payload, "", short_time, 1 << 20);
  is_back = true;
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::timed_out);
  EXPECT_LT(SteadyClock::now() - start, plenty);
}

TEST(HttpConnection, ClosesWhenItGivesUp) {
  std::atomic<bool> closed{false};
  ScriptedServer server([&](Conversation& c) {
    c.read_request();
    closed = c.peer_closes();
  });
  Exchanger exchanger(server);
  ASSERT_FALSE(exchanger.post("/", short_time));
  EXPECT_TRUE(client::testing::eventually([&] { return closed.load(); }));
}

TEST(HttpConnection, ConnectsWithinItsDeadline) {
  const client::testing::FullListener listener;
  DaemonAddress address;
  address.host = "127.0.0.1";
  address.port = listener.port();
  const auto start = SteadyClock::now();
  const auto got =
      HttpConnection(address, {}).exchange({.target = "/"}, SteadyClock::now() + short_time);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::timed_out);
  EXPECT_GE(SteadyClock::now() - start, short_time);
  EXPECT_LT(SteadyClock::now() - start, plenty);
}

// A clock that only its user moves, and that nobody is told of.
class OwnClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint{} + std::chrono::seconds{seconds_}; }
  bool runs_by_itself() const override { return true; }
  void pass(std::chrono::seconds time) { seconds_ += time.count(); }

 private:
  std::atomic<std::int64_t> seconds_{3600};
};

TEST(HttpConnection, CountsNoStallWhileASourceIsReadOrASinkWrites) {
  class SlowFile final : public BodySource, public BodySink {
   public:
    explicit SlowFile(OwnClock& clock) : clock_(clock) {}
    std::uint64_t size() const override { return 1 << 20; }
    bool read(std::uint64_t, std::span<std::byte> into) override {
      std::ranges::fill(into, std::byte{'x'});
      clock_.pass(10s);
      return true;
    }
    bool begin(std::optional<std::uint64_t>) override { return true; }
    bool take(std::span<const std::byte> piece) override {
      taken += piece.size();
      clock_.pass(10s);
      return true;
    }
    std::uint64_t taken = 0;

   private:
    OwnClock& clock_;
  };
  ScriptedServer server([](Conversation& c) {
    while (const auto request = c.read_request()) c.send(answer(200, request->body));
  });
  const auto clock = std::make_shared<OwnClock>();
  HttpConnection connection(address_of(server), {}, clock);
  SlowFile file(*clock);

  HttpRequest request{.method = HttpRequest::Method::put, .target = "/k"};
  request.source = &file;
  request.sink = &file;
  const auto response = connection.exchange(std::move(request), clock->now() + 24h, 5s);

  ASSERT_TRUE(response) << response.error().reason;
  EXPECT_EQ(file.taken, file.size());
}

TEST(HttpConnection, ReadsTheAnswerThatComesBeforeTheBodyIsSent) {
  const std::string payload(64 << 20, 'x');
  for (const int status : {409, 413, 507}) {
    ScriptedServer server([&](Conversation& c) {
      if (c.read_head()) c.send(answer(status));
      c.close();  // with most of the body unread: a reset
    });
    Exchanger exchanger(server);
    const auto got = exchanger.put(payload, "", plenty, 65536);
    ASSERT_TRUE(got) << got.error().reason;
    EXPECT_EQ(got->status, status);
    EXPECT_FALSE(exchanger.connection.is_reusable());
  }
}

TEST(HttpConnection, DoesNotWaitForADaemonThatAnsweredAndStoppedReading) {
  std::atomic<bool> closed{false};
  ScriptedServer server([&](Conversation& c) {
    c.read_head();
    c.send(answer(409));
    closed = c.peer_closes();
  });
  Exchanger exchanger(server);
  const std::string payload(64 << 20, 'x');
  const auto got = exchanger.put(payload);
  ASSERT_TRUE(got) << got.error().reason;
  EXPECT_EQ(got->status, 409);
  EXPECT_TRUE(client::testing::eventually([&] { return closed.load(); }));
}

TEST(HttpConnection, DoesNotTakeAContinueForTheAnswer) {
  ScriptedServer server([](Conversation& c) {
    c.send("HTTP/1.1 100 Continue\r\n\r\n");
    if (c.read_request()) c.send(answer(200));
  });
  Exchanger exchanger(server);
  const std::string payload(16 << 20, 'x');
  const auto got = exchanger.put(payload);
  ASSERT_TRUE(got) << got.error().reason;
  EXPECT_EQ(got->status, 200);
}

TEST(HttpConnection, DoesNotBelieveThatAnUnsentBodyWasStored) {
  ScriptedServer server([](Conversation& c) {
    c.read_head();
    c.send(answer(200));
    c.peer_closes();
  });
  Exchanger exchanger(server);
  const auto got = exchanger.put(std::string(64 << 20, 'x'));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::malformed_response);
}

TEST(HttpConnection, TellsWhenADaemonClosesInTheMiddleOfABody) {
  ScriptedServer server([](Conversation& c) { c.read_head(); });
  Exchanger exchanger(server);
  const auto got = exchanger.put(std::string(64 << 20, 'x'));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::unreachable);
}

TEST(HttpConnection, RefusesWhatIsNoHttpAnswer) {
  const std::string long_line(1 << 20, 'A');
  for (const std::string& text :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string("HTTP/1.1 abc OK\r\n\r\n"),
        std::string("\r\n\r\n"), std::string("\0\0\0\0\n", 5),
        "HTTP/1.1 200 " + long_line + "\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 " + long_line + "\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: " + long_line + "\r\n\r\n", long_line,
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        std::string("HTTP/1.1 200 OK\r\nContent-Le"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")}) {
    ScriptedServer server([&](Conversation& c) {
      c.read_request();
      c.send(text);
    });
    Exchanger exchanger(server);
    const auto got = exchanger.post();
    ASSERT_FALSE(got) << text.substr(0, 60);
    EXPECT_EQ(got.error().code, ErrorCode::malformed_response) << text.substr(0, 60);
    EXPECT_FALSE(exchanger.connection.is_reusable());
  }
}

TEST(HttpConnection, KeepsWhatCameOfABodyThatBrokeOff) {
  ScriptedServer server([](Conversation& c) {
    c.read_request();
    c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":\"abc\",");
  });
  const auto got = Exchanger(server).post();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().body, "{\"id\":\"abc\",");
}

TEST(HttpConnection, BoundsAnAnswerWithoutEnd) {
  ScriptedServer server([](Conversation& c) {
    c.read_request();
    c.send("HTTP/1.1 200 OK\r\n\r\n");
    const std::string block(1 << 20, ' ');
    for (int i = 0; i < 80; ++i) c.send(block);
    c.peer_closes();
  });
  const auto got = Exchanger(server).post();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::malformed_response);
}

}  // namespace
}  // namespace hyperpod::client::transport
