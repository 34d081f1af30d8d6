// SPDX-License-Identifier: Apache-2.0
// The generator against a server that a test controls byte by byte.
#include "load/load.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <bit>
#include <thread>

#include "load/workloads.h"

namespace hyperpod::bench {
namespace {

using namespace std::chrono_literals;

// Accepts one connection and sends the next of `responses` for each request it gets, then closes.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> responses) {
    listener_ = base::FileDescriptor(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_.get(), std::bit_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    EXPECT_EQ(::getsockname(listener_.get(), std::bit_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this, script = std::move(responses)] { serve(script); });
  }

  std::uint16_t port() const { return port_; }
  /// All that the server received; call once the generator is done.
  std::string received() {
    thread_.join();
    return received_;
  }

 private:
  void serve(const std::vector<std::string>& responses) {
    const base::FileDescriptor peer(::accept(listener_.get(), nullptr, nullptr));
    std::array<char, 4096> buffer{};
    for (const std::string& response : responses) {
      const ssize_t got = ::recv(peer.get(), buffer.data(), buffer.size(), 0);
      received_.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(0, got)));
      ::send(peer.get(), response.data(), response.size(), MSG_NOSIGNAL);
    }
  }

  base::FileDescriptor listener_;
  std::uint16_t port_ = 0;
  std::string received_;
  std::jthread thread_;
};

std::string ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(Load, ReleasesByTheIdThatTheLeaseGave) {
  ScriptedServer server({ok(R"({"id":"lease-7","offsets":[]})"), ok("")});
  {
    auto load = Load::connect(server.port(), 1);
    ASSERT_TRUE(load);
    LeaseAndRelease workload(1);
    EXPECT_FALSE(load->run(workload, {.duration = 10s}));  // the script ends, and the server closes
  }
  const std::string received = server.received();
  EXPECT_NE(received.find("/leases?timeout_ms=5000&ttl_s=30.0 HTTP/1.1\r\n"), received.npos);
  EXPECT_NE(received.find("POST /v1/leases/lease-7/release HTTP/1.1\r\n"), received.npos);
}

TEST(Load, ReleasesWhatItHoldsAndBeginsNothingNewWhenStopping) {
  LeaseAndRelease workload(1);
  std::string request;
  EXPECT_FALSE(workload.next(0, true, request));
  ASSERT_TRUE(workload.answered(0, {200, R"({"id":"held"})"}));
  EXPECT_TRUE(workload.next(0, true, request));
  EXPECT_NE(request.find("/v1/leases/held/release"), request.npos);
}

TEST(Load, FailsOnAResponseThatIsNotWanted) {
  ScriptedServer server({"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n"});
  auto load = Load::connect(server.port(), 1);
  ASSERT_TRUE(load);
  StoreObjects workload(1, 1, "body");
  const auto run = load->run(workload, {.duration = 10s});
  ASSERT_FALSE(run);
  EXPECT_NE(run.error().message.find("507"), std::string::npos);
}

TEST(Load, PutsResponsesTogetherThatArriveInPieces) {
  ScriptedServer server({ok(std::string(100'000, 'k'))});  // more than one receive can take
  auto load = Load::connect(server.port(), 1);
  ASSERT_TRUE(load);
  StoreObjects workload(1, 1, "body");
  const auto run = load->run(workload, {.duration = 10s});
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->latencies.count(), 1u);
}

}  // namespace
}  // namespace hyperpod::bench
