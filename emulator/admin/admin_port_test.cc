// SPDX-License-Identifier: Apache-2.0
// The admin port as bytes on a wire, over a Control that only remembers.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "admin/admin_server.h"
#include "admin/fake_control.h"
#include "admin/session.h"
#include "testing/own_threads.h"

namespace hyperpod::emulator::admin {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr auto patience = 30s;

// A connection that is written to and read from as bytes.
class Peer {
 public:
  explicit Peer(const AdminServer& server, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const std::string& url = server.url();
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// False when the other end takes no more.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  /// What comes, from the first byte that was not returned yet, up to `end` and with it; all until
  /// the other end closes when `end` is empty.
  std::string receive(std::string_view end = {}) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (true) {
      const auto found = end.empty() ? std::string::npos : read_.find(end);
      if (found != std::string::npos) return take(found + end.size());
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd one{fd_, POLLIN, 0};
      if (left <= 0ms || ::poll(&one, 1, static_cast<int>(left.count())) != 1) {
        return take(read_.size()) + "[no end]";
      }
      char buffer[4096];
      const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
      if (count < 0) return take(read_.size()) + "[reset]";
      if (count == 0) return take(read_.size());
      read_.append(buffer, static_cast<std::size_t>(count));
    }
  }

 private:
  std::string take(std::size_t size) {
    std::string taken = read_.substr(0, size);
    read_.erase(0, size);
    return taken;
  }

  const int fd_;
  std::string read_;
};

std::string get(std::string_view target, std::string_view more = "Connection: close\r\n") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", target, more);
}

std::string post(std::string_view target, std::string_view body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json"
      "\r\nContent-Length: {}\r\n\r\n{}",
      target, body.size(), body);
}

std::string in_chunks(std::string_view body, std::size_t size) {
  std::string coded;
  while (!body.empty()) {
    const auto piece = body.substr(0, size);
    coded += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
    body.remove_prefix(piece.size());
  }
  return coded + "0\r\n\r\n";
}

constexpr std::string_view chunked_post =
    "POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
const auto ok = StartsWith("HTTP/1.1 200 OK\r\n");

class AdminPort : public testing::Test {
 protected:
  AdminPort() { start(); }

  void start() {
    auto server = AdminServer::start("127.0.0.1:0", control_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  std::string ask(std::string_view bytes) {
    Peer peer(*server_);
    peer.send(bytes);
    return peer.receive();
  }

  // A long poll is known to wait once a second one on the same lane has been answered.
  void let_others_wait() { EXPECT_THAT(ask(get("/v1/journal?wait_ms=1")), ok); }

  FakeControl control_;
  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminPort, KeepsAConnectionForAnyNumberOfRequestsAtOnceOrOneByOne) {
  Peer peer(*server_);
  peer.send(get("/healthz", "") + get("/v1/statistics", "") + get("/healthz", ""));
  EXPECT_THAT(peer.receive("{\"status\":\"ok\"}\n"), AllOf(ok, Not(HasSubstr("Connection:"))));
  EXPECT_THAT(peer.receive("{\"status\":\"ok\"}\n"), AllOf(ok, HasSubstr("live_leases")));
  for (int i = 0; i < 20; ++i) {
    peer.send(get("/healthz", ""));
    EXPECT_THAT(peer.receive("}\n"), ok);
  }
  peer.send(get("/healthz"));
  EXPECT_THAT(peer.receive(), AllOf(ok, HasSubstr("Connection: close\r\n")));
}

TEST_F(AdminPort, AnswersHttp10) {
  EXPECT_THAT(ask("GET /healthz HTTP/1.0\r\n\r\n"), ok);
  EXPECT_THAT(ask("GET /healthz HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"),
              AllOf(ok, HasSubstr("Connection: close\r\n")));
  Peer peer(*server_);
  peer.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(peer.receive("}\n"), HasSubstr("Connection: keep-alive\r\n"));
  // Without chunks a body that comes in pieces ends with its connection.
  peer.send("GET /v1/journal HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(peer.receive(), AllOf(ok, HasSubstr("Connection: close\r\n"), EndsWith("]}\n")));
}

TEST_F(AdminPort, AnswersHeadAsGetWithoutABody) {
  EXPECT_THAT(ask("HEAD /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              AllOf(ok, HasSubstr("Content-Length: 16\r\n"), EndsWith("\r\n\r\n")));
  EXPECT_THAT(ask("HEAD /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
              AllOf(ok, HasSubstr("text/event-stream"), EndsWith("\r\n\r\n")));
}

TEST_F(AdminPort, AnswersAPostWithoutALengthAtOnce) {
  EXPECT_THAT(ask("POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  "Content-Type: application/json\r\n\r\n"),
              StartsWith("HTTP/1.1 204 "));
}

TEST_F(AdminPort, TakesABodyInChunks) {
  EXPECT_THAT(ask(std::string(chunked_post) + in_chunks(R"({"only":["journal"]})", 4)),
              StartsWith("HTTP/1.1 204 "));
  ASSERT_EQ(control_.resets_.size(), 1u);
  EXPECT_FALSE(control_.resets_[0].objects);
  const std::string long_body = "{}" + std::string(longest_body - 2, ' ');
  EXPECT_THAT(ask(std::string(chunked_post) + in_chunks(long_body, 7)),
              StartsWith("HTTP/1.1 204 "));
}

TEST_F(AdminPort, TellsWhoAsksBeforeSendingToGoOn) {
  Peer peer(*server_);
  peer.send(
      "POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
      "application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(peer.receive("\r\n\r\n"), StartsWith("HTTP/1.1 100 "));
  peer.send("{}");
  EXPECT_THAT(peer.receive(), StartsWith("HTTP/1.1 204 "));
}

TEST_F(AdminPort, RefusesALargerBodyWithOrWithoutALength) {
  const std::string body(longest_body + 1, ' ');
  const auto refused =
      AllOf(StartsWith("HTTP/1.1 413 "), HasSubstr("body_too_large"), Not(EndsWith("[reset]")));
  EXPECT_THAT(ask(post("/v1/reset", body)), refused);
  EXPECT_THAT(ask(std::string(chunked_post) + in_chunks(body, 65'536)), refused);
  EXPECT_THAT(ask(post("/v1/reset", std::string(10 << 20, ' '))), refused);
}

TEST_F(AdminPort, RefusesLengthsThatAreNone) {
  for (const char* header :
       {"Content-Length: -1", "Content-Length: x", "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\nTransfer-Encoding: chunked"}) {
    EXPECT_THAT(ask(fmt::format("POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                                "application/json\r\n{}\r\n\r\nx",
                                header)),
                StartsWith("HTTP/1.1 400 "))
        << header;
  }
  EXPECT_THAT(ask("POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"),
              StartsWith("HTTP/1.1 501 "));
  EXPECT_THAT(ask("GET /v1/info HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  "Content-Length: 1\r\n\r\nx"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(std::string(chunked_post) + "x\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(AdminPort, RefusesWhatIsNotARequest) {
  EXPECT_THAT(ask("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("\x16\x03\x01"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET /healthz HTTP/2.0\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 "));
  EXPECT_THAT(ask(get("/" + std::string(20'000, 'x'))), StartsWith("HTTP/1.1 414 "));
  EXPECT_THAT(
      ask("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
      StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(ask(get("/v1/journal?key=%zz")), StartsWith("HTTP/1.1 400 "));
}

TEST_F(AdminPort, ReadsAQueryAsFormsWriteIt) {
  JournalEntry entry;
  entry.bucket = "a b&c=d";
  entry.key = "1+1";
  control_.journal_.record(entry);
  EXPECT_THAT(ask(get("/v1/journal?bucket=a+b%26c%3Dd&key=1%2B1&&")), HasSubstr("1+1"));
}

// --- Access -------------------------------------------------------------------------------------

TEST_F(AdminPort, RefusesOtherHostsAndOtherPages) {
  const auto as = [&](std::string_view headers) {
    return ask(fmt::format("GET /v1/info HTTP/1.1\r\n{}Connection: close\r\n\r\n", headers));
  };
  EXPECT_THAT(as("Host: localhost\r\n"), ok);
  EXPECT_THAT(as("Host: evil.example\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(as("Host: localhost\r\nOrigin: http://evil.example\r\n"),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(as("Host: localhost\r\nOrigin: http://localhost\r\n"), ok);
  // What is not there is nobody's business either.
  EXPECT_THAT(ask("GET /nowhere HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 403 "));
  for (const char* path : {"/healthz", "/readyz", "/metrics"}) {
    EXPECT_THAT(ask(fmt::format("GET {} HTTP/1.1\r\nHost: evil.example\r\nOrigin: null\r\n"
                                "Connection: close\r\n\r\n",
                                path)),
                Not(HasSubstr("HTTP/1.1 403 ")))
        << path;
  }
}

TEST_F(AdminPort, TakesATargetInAbsoluteForm) {
  EXPECT_THAT(
      ask("GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
      StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminPort, WantsNoBodyOfWhoReads) {
  EXPECT_THAT(ask("GET /v1/clock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"),
              AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("has no body")));
}

TEST_F(AdminPort, TellsOfAWrongMethodBeforeAWrongType) {
  for (const char* method : {"PUT", "DELETE"}) {
    EXPECT_THAT(
        ask(fmt::format(
            "{} /v1/clock HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: close\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}",
            method)),
        AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("\r\nAllow: GET, POST\r\n")));
  }
}

TEST_F(AdminPort, TakesNoChangeThatAFormCouldSend) {
  for (const char* type : {"", "Content-Type: text/plain\r\n"}) {
    EXPECT_THAT(ask(fmt::format("POST /v1/reset HTTP/1.1\r\nHost: localhost\r\n{}"
                                "Content-Length: 2\r\n\r\n{{}}",
                                type)),
                StartsWith("HTTP/1.1 415 "));
  }
  EXPECT_TRUE(control_.resets_.empty());
}

TEST_F(AdminPort, AsksForATokenWhereOneIsSet) {
  control_.options_.admin_token = "s3cret";
  start();
  EXPECT_THAT(ask(get("/v1/info")),
              AllOf(StartsWith("HTTP/1.1 401 "), HasSubstr("WWW-Authenticate: Bearer\r\n")));
  EXPECT_THAT(ask(get("/v1/info", "Connection: close\r\nAuthorization: Bearer s3cret\r\n")),
              AllOf(ok, Not(HasSubstr("s3cret"))));
  for (const char* path : {"/healthz", "/metrics", "/", "/page.js", "/page.css"}) {
    EXPECT_THAT(ask(get(path)), ok) << path;
  }
}

// --- Nobody holds up others ---------------------------------------------------------------------

void allow_descriptors(rlim_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min(limit.rlim_max, std::max(limit.rlim_cur, count));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

TEST_F(AdminPort, AnswersHealthWhileOthersSendHalfAHead) {
  allow_descriptors(3000);
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::size_t i = 0; i < Port::most_connections + 100; ++i) {
    peers.push_back(std::make_unique<Peer>(*server_));
    peers.back()->send("GET /healthz HTTP/1.1\r\nHost:");
  }
  EXPECT_THAT(ask(get("/healthz")), ok);
  // The first of them have made room.
  EXPECT_THAT(peers.front()->receive(), Not(HasSubstr("[no end]")));
  peers.back()->send(" h\r\n\r\n");
  EXPECT_THAT(peers.back()->receive("}\n"), ok);
}

TEST_F(AdminPort, AnswersAnyNumberOfConnectionsOneAfterTheOther) {
  for (std::size_t i = 0; i < 2 * Port::most_connections; ++i) {
    ASSERT_THAT(ask(get("/healthz")), ok) << i;
  }
}

TEST_F(AdminPort, AnswersHealthWhileOthersSendHalfABody) {
  allow_descriptors(3000);
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::size_t i = 0; i < Port::most_connections + 10; ++i) {
    peers.push_back(std::make_unique<Peer>(*server_));
    peers.back()->send(
        "POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
        "application/json\r\nContent-Length: 100\r\n\r\n{");
  }
  EXPECT_THAT(ask(get("/healthz")), ok);
}

TEST_F(AdminPort, AnswersHealthWhileOthersWaitAndRefusesWaitsBeyondAMeasure) {
  allow_descriptors(3000);
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::size_t i = 0; i < Port::most_waiting; ++i) {
    peers.push_back(std::make_unique<Peer>(*server_));
    peers.back()->send(i % 2 == 0 ? get("/v1/journal?wait_ms=60000") : get("/v1/events"));
    if (i % 2 != 0) peers.back()->receive("event: state");
  }
  // Those of the first kind have been taken up: their calls were asked for before this one.
  EXPECT_THAT(ask(get("/v1/statistics")), ok);
  EXPECT_THAT(ask(get("/healthz")), ok);
  EXPECT_THAT(ask(get("/v1/journal?wait_ms=60000")),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Retry-After: 1\r\n")));
  // Who goes away makes room.
  peers.clear();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::string answer;
  do {
    answer = ask(get("/v1/journal?wait_ms=1"));
  } while (answer.starts_with("HTTP/1.1 503 ") && std::chrono::steady_clock::now() < deadline);
  EXPECT_THAT(answer, ok);
}

// A Control whose figures take as long as they are told to.
class SlowControl final : public FakeControl {
 public:
  Statistics statistics() const override {
    waiting.release();
    go_on.acquire();
    return {};
  }
  void reset(const ResetSelection& /*selection*/) override { statistics(); }

  mutable std::binary_semaphore waiting{0};
  mutable std::binary_semaphore go_on{0};
};

TEST(SlowAdminPort, AnswersHealthWhileTheEmulatorIsBusy) {
  SlowControl control;
  const auto server = AdminServer::start("127.0.0.1:0", control);
  ASSERT_TRUE(server) << server.error().message;
  Peer busy(**server);
  busy.send(get("/v1/statistics"));
  control.waiting.acquire();
  Peer health(**server);
  health.send(get("/healthz"));
  EXPECT_THAT(health.receive(), ok);
  control.go_on.release();
  EXPECT_THAT(busy.receive(), ok);
}

TEST(SlowAdminPort, ShowsWhatThereIsWhileAChangeTakesLong) {
  SlowControl control;
  const auto server = AdminServer::start("127.0.0.1:0", control);
  ASSERT_TRUE(server) << server.error().message;
  Peer change(**server);
  change.send(post("/v1/reset", "{}"));
  control.waiting.acquire();
  Peer read(**server);
  read.send(get("/v1/faults"));
  EXPECT_THAT(read.receive(), ok);
  control.go_on.release();
  EXPECT_THAT(change.receive(), StartsWith("HTTP/1.1 204 "));
}

TEST(SlowAdminPort, WaitsForACallUnderWayWhenItStops) {
  SlowControl control;
  auto server = AdminServer::start("127.0.0.1:0", control);
  ASSERT_TRUE(server) << server.error().message;
  Peer peer(**server);
  peer.send(get("/v1/statistics"));
  control.waiting.acquire();
  auto stopped = std::async(std::launch::async, [&] { (*server)->stop(); });
  control.go_on.release();
  EXPECT_THAT(peer.receive(), ok);
  stopped.get();
}

// --- Waits and events ---------------------------------------------------------------------------

TEST_F(AdminPort, AnswersAWaitOnceTheEntriesAreThere) {
  Peer peer(*server_);
  peer.send(get("/v1/journal?key=wanted&wait_ms=60000&count=2"));
  let_others_wait();
  JournalEntry entry;
  entry.key = "other";
  control_.journal_.record(entry);
  entry.key = "wanted";
  control_.journal_.record(entry);
  control_.journal_.record(entry);
  EXPECT_THAT(peer.receive(), AllOf(HasSubstr("\"met\":true"), HasSubstr("\"sequence\":3"),
                                    Not(HasSubstr("\"sequence\":1,"))));
}

TEST_F(AdminPort, EndsAWaitWhenItsTimeIsOver) {
  EXPECT_THAT(ask(get("/v1/journal?wait_ms=10")), HasSubstr("\"met\":false"));
}

TEST_F(AdminPort, AnswersManyWaitsAtOnce) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 100; ++i) {
    peers.push_back(std::make_unique<Peer>(*server_));
    peers.back()->send(get("/v1/journal?wait_ms=60000"));
  }
  let_others_wait();
  control_.journal_.record({});
  for (const auto& peer : peers) EXPECT_THAT(peer->receive(), HasSubstr("\"met\":true"));
}

TEST_F(AdminPort, EndsWaitsAndEventsWhenItStops) {
  Peer wait(*server_);
  wait.send(get("/v1/journal?wait_ms=60000"));
  Peer events(*server_);
  events.send(get("/v1/events"));
  events.receive("event: state");
  let_others_wait();
  server_->stop();
  EXPECT_THAT(wait.receive(), HasSubstr("\"met\":false"));
  EXPECT_THAT(events.receive(), Not(HasSubstr("[no end]")));
}

TEST_F(AdminPort, TellsTheStateOnceAndThenWhatChanges) {
  control_.map_ = {.blocks = 2, .cells = {{.objects = 1, .colour = 1}, {}}, .buckets = {{"b", 1}}};
  control_.namespaces_ = {{"my run", 2, 9, 40, {9, 8, 7, 6, 5, 4, 3}, {10}}};
  Peer peer(*server_);
  peer.send(get("/v1/events"));
  EXPECT_THAT(peer.receive("\r\n\r\n"), AllOf(ok, HasSubstr("text/event-stream")));
  // Of a namespace the newest steps, for it may have thousands.
  EXPECT_THAT(peer.receive("\n\n"),
              AllOf(HasSubstr("\"version\""), HasSubstr("\"cells\":[[0,1,0,0,1,0,0]]"),
                    HasSubstr(R"("complete":{"all":7,"first":[9,8,7,6,5]})"),
                    HasSubstr(R"("incomplete":{"all":1,"first":[10]})")));
  JournalEntry entry;
  entry.key = "just now";
  control_.journal_.record(entry);
  std::string change;
  while (change.find("just now") == change.npos && change.find("[no end]") == change.npos) {
    change = peer.receive("\n\n");
    EXPECT_THAT(change, HasSubstr("event: change"));
  }
  EXPECT_THAT(change, AllOf(Not(HasSubstr("\"version\"")), HasSubstr("\"latency\"")));
}

TEST_F(AdminPort, TellsOfEventsWhileAnotherReaderIsSlow) {
  for (int i = 0; i < 2000; ++i) control_.map_.cells.push_back({.objects = 1, .colour = 1});
  Peer slow(*server_, 4096);  // never reads
  slow.send(get("/v1/events"));
  Peer peer(*server_);
  peer.send(get("/v1/events"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(peer.receive("\nevent: change"), Not(HasSubstr("[no end]")));
  }
}

// --- Life ---------------------------------------------------------------------------------------

TEST_F(AdminPort, RestsOnAFixedNumberOfThreads) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 50; ++i) {
    peers.push_back(std::make_unique<Peer>(*server_));
    peers.back()->send(get("/v1/journal?wait_ms=60000"));
  }
  let_others_wait();
  EXPECT_EQ(test::own_threads("hyperpod-admin"), 1u);
  EXPECT_EQ(test::own_threads("hyperpod-reads"), 1u);
  EXPECT_EQ(test::own_threads("hyperpod-change"), 1u);
}

TEST_F(AdminPort, RefusesAnAddressThatIsTaken) {
  const std::string address = server_->url().substr(std::string_view("http://").size());
  const auto second = AdminServer::start(address, control_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::address_unusable);
  EXPECT_THAT(second.error().message, AllOf(HasSubstr(address), HasSubstr("in use")));
}

TEST_F(AdminPort, CanBeStartedAgainOnTheSamePortAtOnce) {
  const std::string address = server_->url().substr(std::string_view("http://").size());
  EXPECT_THAT(ask(get("/healthz")), ok);
  server_.reset();
  const auto again = AdminServer::start(address, control_);
  EXPECT_TRUE(again) << again.error().message;
}

TEST_F(AdminPort, CutsConnectionsThatSayNothingWhenItStops) {
  Peer silent(*server_);
  EXPECT_THAT(ask(get("/healthz")), ok);
  server_->stop();
  server_->stop();
  EXPECT_THAT(silent.receive(), Not(HasSubstr("[no end]")));
}

TEST_F(AdminPort, TellsItsUrl) {
  const auto wide = AdminServer::start("0.0.0.0:0", control_);
  ASSERT_TRUE(wide) << wide.error().message;
  EXPECT_THAT((*wide)->url(), StartsWith("http://127.0.0.1:"));
  const auto six = AdminServer::start("[::1]:0", control_);
  if (!six) GTEST_SKIP() << "no IPv6 here: " << six.error().message;
  EXPECT_THAT((*six)->url(), StartsWith("http://[::1]:"));
}

}  // namespace
}  // namespace hyperpod::emulator::admin
