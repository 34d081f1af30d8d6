// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <stdexcept>
#include <tuple>

#include "cli/doctor/checks.h"
#include "cli/doctor/test_support.h"

namespace hyperpod::client::cli::doctor::port_test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A socket on a loopback port of its own, which accepts once told to listen.
class TestPort {
 public:
  TestPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no port");
    }
    number_ = ntohs(address.sin_port);
  }
  TestPort(const TestPort&) = delete;
  TestPort& operator=(const TestPort&) = delete;
  ~TestPort() {
    close(fd_);
    for (int fd : clients_) close(fd);
  }

  void listen(int backlog) { ::listen(fd_, backlog); }

  // Takes all the places of the queue, so that the kernel drops what comes.
  void fill() {
    listen(0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(number_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 4; ++i) {
      clients_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      std::ignore =
          connect(clients_.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    }
  }

  std::uint16_t number() const { return number_; }

 private:
  int fd_;
  std::uint16_t number_;
  std::vector<int> clients_;
};

DaemonAddress address_of(const std::string& host, std::uint16_t port) {
  DaemonAddress address;
  address.host = host;
  address.port = port;
  return address;
}

transport::HostResolver::LookUp resolver_to(const std::vector<std::string>& addresses) {
  return [addresses](const std::string&) { return transport::Resolution{addresses, {}}; };
}

struct Checked {
  std::optional<DaemonAddress> reachable;
  Report report;
};

Checked check(const Machine& machine, const DaemonAddress& daemon) {
  Checked checked;
  checked.reachable = check_port(machine, daemon, checked.report);
  return checked;
}

TEST(PortCheck, FindsAPortThatAccepts) {
  TestPort port;
  port.listen(8);
  const auto checked = check(machine_with(), address_of("127.0.0.1", port.number()));
  EXPECT_THAT(remarks(checked.report), IsEmpty());
  ASSERT_TRUE(checked.reachable);
  EXPECT_EQ(checked.reachable->host, "127.0.0.1");
}

TEST(PortCheck, FindsAPortThatRefuses) {
  const TestPort port;
  const auto checked = check(machine_with(), address_of("127.0.0.1", port.number()));
  EXPECT_FALSE(checked.reachable);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem port-refused"));
  EXPECT_THAT(found(checked.report, "port-refused").remedy,
              ::testing::Not(HasSubstr("this pod itself")));
}

TEST(PortCheck, RemindsAPodThatItsLoopbackIsNotItsNodes) {
  const TestPort port;
  const auto checked = check(machine_with({{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}}),
                             address_of("127.0.0.1", port.number()));
  EXPECT_THAT(found(checked.report, "port-refused").remedy, HasSubstr("this pod itself"));
}

TEST(PortCheck, FindsAPortThatDoesNotReact) {
  TestPort port;
  port.fill();
  Machine machine = machine_with();
  machine.patience.connection = 100ms;
  const auto checked = check(machine, address_of("127.0.0.1", port.number()));
  EXPECT_FALSE(checked.reachable);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem port-filtered"));
}

TEST(PortCheck, FindsAnAddressThatNoRouteLeadsTo) {
  // No connection can be made to a multicast address, and none is tried on the wire.
  const auto checked = check(machine_with(), address_of("224.0.0.1", 9200));
  EXPECT_FALSE(checked.reachable);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem port-unreachable"));
}

TEST(PortCheck, ResolvesAName) {
  TestPort port;
  port.listen(8);
  auto checked = check(machine_with(), address_of("localhost", port.number()));
  ASSERT_TRUE(checked.reachable);
  EXPECT_EQ(checked.reachable->host, "127.0.0.1");
  EXPECT_THAT(found(checked.report, "name").text, HasSubstr("127.0.0.1"));

  DaemonAddress https = address_of("localhost", port.number());
  https.https = true;
  checked = check(machine_with(), https);
  ASSERT_TRUE(checked.reachable);
  EXPECT_EQ(checked.reachable->host, "localhost") << "certificates are for names";
}

TEST(PortCheck, FindsANameThatNobodyKnows) {
  Machine machine = machine_with();
  machine.resolver = [](const std::string&) {
    return transport::Resolution{{}, "Name or service not known"};
  };
  const auto checked = check(machine, address_of("node-1.local", 9200));
  EXPECT_FALSE(checked.reachable);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem name-unknown"));
  EXPECT_THAT(found(checked.report, "name-unknown").text, HasSubstr("not known"));
}

TEST(PortCheck, DoesNotWaitForAResolverThatDoesNotAnswer) {
  const auto may_end = std::make_shared<std::promise<void>>();
  const auto has_ended = std::make_shared<std::promise<void>>();
  Machine machine = machine_with();
  machine.patience.resolver = 50ms;
  machine.resolver = [may_end, has_ended](const std::string&) {
    may_end->get_future().wait();
    has_ended->set_value();
    return transport::Resolution{};
  };
  const auto checked = check(machine, address_of("node-1.local", 9200));
  EXPECT_FALSE(checked.reachable);
  EXPECT_THAT(remarks(checked.report), ElementsAre("problem name-resolver-silent"));
  may_end->set_value();
  has_ended->get_future().wait();
}

TEST(PortCheck, RemarksOnAnAddressThatIsTriedInVain) {
  TestPort port;
  port.listen(8);
  Machine machine = machine_with();
  machine.resolver = resolver_to({"127.0.0.2", "127.0.0.1"});
  const auto checked = check(machine, address_of("node-1.local", port.number()));
  ASSERT_TRUE(checked.reachable);
  EXPECT_EQ(checked.reachable->host, "127.0.0.1");
  EXPECT_THAT(remarks(checked.report), ElementsAre("warning port-partly"));
  EXPECT_THAT(found(checked.report, "port-partly").text,
              ::testing::AllOf(HasSubstr("127.0.0.2"), HasSubstr("LMCache")));

  machine.resolver = resolver_to({"127.0.0.1", "127.0.0.2"});
  const auto second = check(machine, address_of("node-1.local", port.number()));
  EXPECT_EQ(second.reachable->host, "127.0.0.1");
  EXPECT_THAT(remarks(second.report), ElementsAre("warning port-partly"))
      << "an address that is not needed today may be the only one tomorrow";
}

}  // namespace
}  // namespace hyperpod::client::cli::doctor::port_test
