// SPDX-License-Identifier: Apache-2.0
#include "admin/http_front.h"

#include <arpa/inet.h>
#include <fcntl.h>
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

#include "testing/own_threads.h"

namespace hyperpod::emulator::admin {
namespace {

using test::own_threads;

using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr auto patience = 10s;

// What the handler was given, as the body of its answer.
AdminResponse echo(const AdminRequest& request) {
  std::string query;
  for (const auto& [name, value] : request.query) query += fmt::format("{}={};", name, value);
  return {.content_type = "text/plain",
          .body = fmt::format("{} {} [{}] {}", request.method, request.path, query, request.body)};
}

std::string complaint(int status, const std::string& message) {
  return fmt::format("complaint {}: {}", status, message);
}

std::uint16_t port_of(const HttpFront& front) {
  const std::string& url = front.url();
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

// A connection that is written to and read from as bytes.
class Peer {
 public:
  explicit Peer(const HttpFront& front) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_of(front));
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

  /// All that comes until the other end closes.
  std::string receive() {
    std::string all;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd one{fd_, POLLIN, 0};
      if (left <= 0ms || ::poll(&one, 1, static_cast<int>(left.count())) != 1) {
        return all + "[no end]";
      }
      char buffer[4096];
      const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
      if (count < 0) return all + "[reset]";
      if (count == 0) return all;
      all.append(buffer, static_cast<std::size_t>(count));
    }
  }

 private:
  const int fd_;
};

std::string ask(const HttpFront& front, std::string_view bytes) {
  Peer peer(front);
  peer.send(bytes);
  return peer.receive();
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

std::unique_ptr<HttpFront> serve(HttpFront::Handler handler = echo) {
  auto front = HttpFront::start("127.0.0.1:0", std::move(handler), complaint);
  EXPECT_TRUE(front) << front.error().message;
  // No handler sees this. cpp-httplib sets up what its threads share in its first request, which is
  // safe on several; but ThreadSanitizer, which sees that library from outside, cannot tell.
  EXPECT_THAT(ask(**front, "NONE /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  return std::move(*front);
}

constexpr std::string_view chunked_post =
    "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(HttpFront, HandsOverWhatWasAsked) {
  const auto front = serve();
  EXPECT_THAT(ask(*front, "GET /a%2Fb/c?x=1&y=%20z HTTP/1.1\r\nHost: h\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Connection: close\r\n"),
                    EndsWith("\r\n\r\nGET /a%2Fb/c [x=1;y= z;] ")));
  EXPECT_THAT(ask(*front, "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"),
              EndsWith("PUT /p [] body"));
  EXPECT_THAT(ask(*front, "DELETE /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"),
              EndsWith("DELETE /p [] body"));
  EXPECT_THAT(ask(*front, "DELETE /p HTTP/1.1\r\nHost: h\r\n\r\n"), EndsWith("DELETE /p [] "));
  EXPECT_THAT(ask(*front, "OPTIONS /p HTTP/1.1\r\nHost: h\r\n\r\n"), EndsWith("OPTIONS /p [] "));
}

TEST(HttpFront, AnswersHeadAsGetWithoutABody) {
  const auto front = serve();
  EXPECT_THAT(ask(*front, "HEAD /p HTTP/1.1\r\nHost: h\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 10\r\n"),
                    EndsWith("\r\n\r\n")));
}

TEST(HttpFront, AnswersAPostWithoutALengthAtOnce) {
  const auto front = serve();
  EXPECT_THAT(ask(*front, "POST /p HTTP/1.1\r\nHost: h\r\n\r\n"), EndsWith("POST /p [] "));
}

TEST(HttpFront, TakesABodyInChunks) {
  const auto front = serve();
  EXPECT_THAT(ask(*front, std::string(chunked_post) + in_chunks("some body", 4)),
              EndsWith("POST /p [] some body"));
}

TEST(HttpFront, TakesABodyThatCallsItselfAFormAsItIs) {
  // What curl -d says of any body.
  const auto front = serve();
  const std::string body = "{\"a\":\"" + std::string(100'000, 'x') + "\"}";
  EXPECT_THAT(
      ask(*front, fmt::format("POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: "
                              "application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{}",
                              body.size(), body)),
      EndsWith(body));
}

TEST(HttpFront, TakesABodyOfTheGreatestSizeInTinyChunks) {
  const auto front = serve([](const AdminRequest& request) {
    return AdminResponse{.body = std::to_string(request.body.size())};
  });
  const std::string body(longest_admin_body, 'x');
  EXPECT_THAT(ask(*front, std::string(chunked_post) + in_chunks(body, 1)),
              EndsWith("\r\n\r\n1048576"));
}

TEST(HttpFront, RefusesALargerBodyWithOrWithoutALength) {
  const auto front = serve();
  const std::string body(longest_admin_body + 1, 'x');
  const auto refused =
      AllOf(StartsWith("HTTP/1.1 413 "), HasSubstr("complaint 413: "), Not(EndsWith("[reset]")));
  EXPECT_THAT(ask(*front, fmt::format("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: "
                                      "{}\r\n\r\n{}",
                                      body.size(), body)),
              refused);
  EXPECT_THAT(ask(*front, std::string(chunked_post) + in_chunks(body, 65'536)), refused);
  // 8 MiB more than is read before the refusal.
  const std::string large(10 << 20, 'x');
  EXPECT_THAT(ask(*front, fmt::format("PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: "
                                      "{}\r\n\r\n{}",
                                      large.size(), large)),
              refused);
}

TEST(HttpFront, RefusesLengthsThatAreNone) {
  const auto front = serve();
  for (const char* header :
       {"Content-Length: -1", "Content-Length: x", "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked"}) {
    EXPECT_THAT(ask(*front, fmt::format("POST /p HTTP/1.1\r\nHost: h\r\n{}\r\n\r\nx", header)),
                StartsWith("HTTP/1.1 400 "))
        << header;
  }
  EXPECT_THAT(ask(*front, "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nxxx"),
              StartsWith("HTTP/1.1 501 "));
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(*front,
                  "POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; "
                  "boundary=b\r\nContent-Length: 3\r\n\r\nxxx"),
              StartsWith("HTTP/1.1 415 "));
}

TEST(HttpFront, RefusesWhatIsNoRequest) {
  const auto front = serve();
  EXPECT_THAT(ask(*front, "nonsense\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("complaint 400: ")));
  EXPECT_THAT(
      ask(*front, fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", std::string(7000, 'x'))),
      AllOf(StartsWith("HTTP/1.1 414 "), HasSubstr("complaint 414: ")));
  EXPECT_THAT(
      ask(*front, fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", std::string(9000, 'x'))),
      AllOf(StartsWith("HTTP/1.1 414 "), HasSubstr("complaint 414: ")));
  // Newlines, which a route's `.` would not match, and a path as long as any handler may see.
  EXPECT_THAT(ask(*front, fmt::format("POST /%0A%0D{} HTTP/1.1\r\nHost: h\r\nContent-Length: "
                                      "1\r\n\r\nx",
                                      std::string(1000, 'x'))),
              AllOf(StartsWith("HTTP/1.1 200 "), EndsWith(" x")));
}

TEST(HttpFront, BoundsTheHeadOfARequest) {
  const auto front = serve();
  Peer peer(*front);
  peer.send("GET /p HTTP/1.1\r\n");
  const std::string header = fmt::format("X-Header: {}\r\n", std::string(1000, 'x'));
  for (int i = 0; i < 100 && peer.send(header); ++i) {
  }
  EXPECT_THAT(peer.receive(), StartsWith("HTTP/1.1 400 "));
}

TEST(HttpFront, AnswersWholeWhateverRangeIsAskedFor) {
  const auto front = serve();
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("GET /p [] ")));
}

TEST(HttpFront, TurnsAnExceptionIntoAnAnswer) {
  const auto front = serve([](const AdminRequest&) -> AdminResponse {
    throw std::runtime_error("nobody should see this");
  });
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 500 "), HasSubstr("complaint 500: "),
                    Not(HasSubstr("nobody should see"))));
}

TEST(HttpFront, IsNotHeldUpByConnectionsThatSayNothing) {
  const auto front = serve();
  std::vector<std::unique_ptr<Peer>> silent;
  for (int i = 0; i < 10; ++i) silent.push_back(std::make_unique<Peer>(*front));
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST(HttpFront, IsNotHeldUpByAHandlerThatWaits) {
  std::binary_semaphore waiting{0};
  std::binary_semaphore go_on{0};
  const auto front = serve([&](const AdminRequest& request) {
    if (request.path == "/wait") {
      waiting.release();
      go_on.acquire();
    }
    return echo(request);
  });
  Peer waiter(*front);
  waiter.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  waiting.acquire();
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  go_on.release();
  EXPECT_THAT(waiter.receive(), StartsWith("HTTP/1.1 200 "));
}

TEST(HttpFront, ServesAnyNumberOfConnectionsOneAfterAnother) {
  const auto front = serve();
  std::vector<std::jthread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int round = 0; round < 25; ++round) {
        EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
      }
    });
  }
}

TEST(HttpFront, ServesOnDescriptorsThatSelectCannotTake) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 1200) GTEST_SKIP() << "descriptors are limited to " << limit.rlim_max;
  const rlimit raised{std::max<rlim_t>(limit.rlim_cur, 1200), limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &raised);
  std::vector<int> taken;
  for (int fd = 0; fd >= 0 && fd < 1100;) {
    fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    taken.push_back(fd);
  }
  {
    const auto front = serve();
    EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  }
  for (const int fd : taken) ::close(fd);
}

TEST(HttpFront, RestsOnOneThread) {
  const auto front = serve();
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (own_threads() != 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();  // the one that answered ends by itself
  }
  EXPECT_EQ(own_threads("hyperpod-admin"), 1u);
}

TEST(HttpFront, RefusesAnAddressThatIsTaken) {
  const auto front = serve();
  const auto second =
      HttpFront::start(fmt::format("127.0.0.1:{}", port_of(*front)), echo, complaint);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::address_unusable);
  EXPECT_THAT(second.error().message,
              AllOf(HasSubstr(std::to_string(port_of(*front))), HasSubstr("in use")));
}

TEST(HttpFront, CanBeStartedAgainOnTheSamePortAtOnce) {
  auto front = serve();
  const auto port = port_of(*front);
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  front.reset();
  const auto again = HttpFront::start(fmt::format("127.0.0.1:{}", port), echo, complaint);
  EXPECT_TRUE(again) << again.error().message;
}

TEST(HttpFront, TellsWhoCanReachIt) {
  EXPECT_TRUE(serve()->loopback());
  const auto wide = HttpFront::start("0.0.0.0:0", echo, complaint);
  ASSERT_TRUE(wide) << wide.error().message;
  EXPECT_FALSE((*wide)->loopback());
  EXPECT_THAT((*wide)->url(), StartsWith("http://127.0.0.1:"));
  const auto six = HttpFront::start("[::1]:0", echo, complaint);
  if (!six) GTEST_SKIP() << "no IPv6 here: " << six.error().message;
  EXPECT_TRUE((*six)->loopback());
  EXPECT_THAT((*six)->url(), StartsWith("http://[::1]:"));
}

TEST(HttpFront, StopCutsConnectionsThatSayNothing) {
  auto front = serve();
  Peer silent(*front);
  EXPECT_THAT(ask(*front, "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  front->stop();
  front->stop();
  EXPECT_THAT(silent.receive(), Not(HasSubstr("[no end]")));
}

TEST(HttpFront, StopWaitsForTheHandlersUnderWay) {
  std::binary_semaphore waiting{0};
  std::binary_semaphore go_on{0};
  auto front = serve([&](const AdminRequest& request) {
    waiting.release();
    go_on.acquire();
    return echo(request);
  });
  Peer peer(*front);
  peer.send("GET /p HTTP/1.1\r\nHost: h\r\n\r\n");
  waiting.acquire();
  auto stopped = std::async(std::launch::async, [&] { front->stop(); });
  EXPECT_EQ(stopped.wait_for(10ms), std::future_status::timeout);
  go_on.release();
  EXPECT_THAT(peer.receive(), StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace hyperpod::emulator::admin
