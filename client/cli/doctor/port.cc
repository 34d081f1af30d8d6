// SPDX-License-Identifier: Apache-2.0
// The way to the daemon: its name, and whether its port accepts.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/doctor/checks.h"

namespace hyperpod::client::cli::doctor {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct FreeAddresses {
  void operator()(addrinfo* found) const { freeaddrinfo(found); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// The socket address of a numeric host; null if it is a name.
Addresses numeric_address(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return nullptr;
  return Addresses(found);
}

// 0 if a connection is accepted, else the error; ETIMEDOUT if nothing came back in time.
int connect_within(std::chrono::milliseconds limit, const addrinfo& address) {
  const int fd =
      socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
  if (fd < 0) return errno;
  int error = connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  const auto deadline = SteadyClock::now() + limit;
  while (error == EINPROGRESS) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
    pollfd poll{fd, POLLOUT, 0};
    const int ready = left.count() > 0 ? ::poll(&poll, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) continue;
    socklen_t size = sizeof(error);
    error = ETIMEDOUT;
    if (ready > 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  close(fd);
  return error;
}

// Why a connection failed and what to do, of which the id tells the kind.
struct Refusal {
  const char* id;
  std::string why;
  std::string remedy;
};

Refusal explain(int error, const Machine& machine, const DaemonAddress& daemon) {
  if (error == ECONNREFUSED) {
    std::string remedy =
        "nothing listens there: start the daemon, or correct the port (9200); on the cluster, "
        "`kubectl -n aws-hyperpod get pods -o wide` shows whether ai-toolkit runs on this node";
    if (machine.in_pod() && (daemon.host == "localhost" || daemon.host.starts_with("127."))) {
      remedy += "\n" + daemon.host +
                " is this pod itself, not its node; write sagemaker-hyperpod://$NODE_IP:9200";
    }
    return {"port-refused", "refuses the connection", std::move(remedy)};
  }
  if (error == ETIMEDOUT) {
    return {"port-filtered", "does not react to a connection",
            "a firewall, security group or NetworkPolicy swallows it, the host is down, or the "
            "daemon has stopped accepting"};
  }
  return {"port-unreachable", fmt::format("cannot be reached: {}", std::strerror(error)),
          "correct the address, or the route to it"};
}

std::optional<std::vector<std::string>> resolve(const Machine& machine, const std::string& host,
                                                Report& report) {
  if (numeric_address(host, 0)) return std::vector<std::string>{host};
  constexpr const char* remedy =
      "write the node's IP address, as $NODE_IP gives it, or mend the name service";
  const auto resolution = transport::HostResolver(machine.resolver)
                              .resolve(host, SteadyClock::now() + machine.patience.resolver);
  if (!resolution) {
    report.problem("name-resolver-silent",
                   fmt::format("the name service has not answered for {} within {} ms", host,
                               machine.patience.resolver.count()),
                   remedy);
    return std::nullopt;
  }
  if (resolution->addresses.empty()) {
    report.problem("name-unknown",
                   fmt::format("{} cannot be resolved: {}", host, resolution->problem), remedy);
    return std::nullopt;
  }
  report.ok("name", fmt::format("{} is {}", host, fmt::join(resolution->addresses, ", ")),
            {{"addresses", resolution->addresses}});
  return resolution->addresses;
}

}  // namespace

std::optional<DaemonAddress> check_port(const Machine& machine, const DaemonAddress& daemon,
                                        Report& report) {
  const auto addresses = resolve(machine, daemon.host, report);
  if (!addresses) return std::nullopt;
  constexpr std::size_t most_tried = 8;
  std::optional<DaemonAddress> reachable;
  std::vector<Refusal> refusals;
  bool first_refuses = false;
  for (std::size_t i = 0; i < std::min(addresses->size(), most_tried); ++i) {
    DaemonAddress numeric = daemon;
    numeric.host = (*addresses)[i];
    const auto address = numeric_address(numeric.host, daemon.port);
    const auto start = SteadyClock::now();
    const int error =
        address ? connect_within(machine.patience.connection, *address) : EADDRNOTAVAIL;
    if (error != 0) {
      refusals.push_back(explain(error, machine, daemon));
      refusals.back().why = numeric.authority() + " " + refusals.back().why;
      first_refuses |= i == 0;
      continue;
    }
    const std::chrono::duration<double, std::milli> taken = SteadyClock::now() - start;
    report.ok(
        "port",
        fmt::format("{} accepts connections, in {:.2f} ms", numeric.authority(), taken.count()),
        {{"connect_ms", taken.count()}});
    if (!reachable) reachable = numeric;
  }
  if (!reachable) {
    if (!refusals.empty()) {
      report.problem(refusals.back().id, refusals.back().why, refusals.back().remedy);
    }
    return std::nullopt;
  }
  for (const Refusal& refusal : refusals) {
    report.warning("port-partly",
                   fmt::format("{}{}", refusal.why,
                               first_refuses ? ", and clients that try one address after the "
                                               "other, as LMCache's do, may spend all their time "
                                               "on it"
                                             : ""),
                   fmt::format("write {} in the address, or take the other out of the name service",
                               reachable->authority()));
    first_refuses = false;
  }
  return daemon.https ? daemon : reachable;
}

}  // namespace hyperpod::client::cli::doctor
