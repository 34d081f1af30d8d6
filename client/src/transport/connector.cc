// SPDX-License-Identifier: Apache-2.0
#include "transport/connector.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <new>
#include <utility>

#include "points.h"

namespace hyperpod::client::transport {
namespace {

// Families in turn, so that a whole family that does not work costs one attempt (RFC 8305,
// section 4).
std::vector<asio::ip::tcp::endpoint> interleaved(const std::vector<std::string>& addresses,
                                                 std::uint16_t port) {
  std::deque<asio::ip::address> families[2];
  bool second = false;
  for (const std::string& text : addresses) {
    IoError error;
    const auto address = asio::ip::make_address(text, error);
    if (error) continue;
    if (families[0].empty() && families[1].empty()) second = address.is_v4();
    families[address.is_v4() == second ? 0 : 1].push_back(address);
  }
  std::vector<asio::ip::tcp::endpoint> endpoints;
  for (std::size_t turn = 0; !families[0].empty() || !families[1].empty(); turn ^= 1) {
    if (families[turn].empty()) continue;
    endpoints.emplace_back(families[turn].front(), port);
    families[turn].pop_front();
  }
  return endpoints;
}

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

TransportFailure no_socket(int error) {
  return {ErrorCode::out_of_resources,
          std::string("cannot be connected to: ") + std::strerror(error) +
              "; raise the limit of open files (RLIMIT_NOFILE) or lower max_connections"};
}

// Asio leaves a closed descriptor to the kernel to take out of epoll, which does not happen while
// a child has a copy.
void close_attempt(Socket& socket) {
  IoError ignored;
  base::FileDescriptor descriptor(socket.release(ignored));
  if (descriptor) close_socket(descriptor);
}

}  // namespace

Connector::Connector(Loop& loop, std::string host, std::uint16_t port)
    : loop_(loop),
      host_(std::move(host)),
      port_(port),
      failure_{ErrorCode::unreachable, {}},
      delay_(loop, [this] {
        const auto self = shared_from_this();
        guarded([this] { try_next(); });
      }) {}

// Takes a step; running out of memory in it is the end.
template <class Step>
void Connector::guarded(Step step) {
  try {
    step();
  } catch (const std::bad_alloc&) {
    if (done_) finish(tl::unexpected(TransportFailure{ErrorCode::out_of_resources, {}}));
  }
}

void Connector::start(Done done) {
  done_ = std::move(done);
  if (const auto number = HostResolver::numeric(host_)) return resolved(*number);
  resolving_ = true;
  HostResolver::shared().resolve(host_, [self = weak_from_this(), loop = loop_.weak_from_this()](
                                            const Resolution& resolution) {
    if (const auto alive = loop.lock()) {
      alive->post([self, resolution] {
        if (const auto connector = self.lock()) {
          connector->guarded([&] { connector->resolved(resolution); });
        }
      });
    }
  });
}

void Connector::cancel() {
  done_ = nullptr;
  resolving_ = false;
  delay_.cancel();
  for (const auto& socket : attempts_) {
    if (socket->is_open()) close_attempt(*socket);
  }
}

void Connector::finish(tl::expected<Socket, TransportFailure> outcome) {
  const Done done = std::move(done_);
  cancel();
  done(std::move(outcome));
}

void Connector::resolved(const Resolution& resolution) {
  if (!done_) return;
  resolving_ = false;
  if (resolution.no_thread) {
    return finish(tl::unexpected(TransportFailure{
        ErrorCode::out_of_resources, "cannot be resolved: no thread for it (" + resolution.problem +
                                         "); check the pids limit and RLIMIT_NPROC"}));
  }
  endpoints_ = interleaved(resolution.addresses, port_);
  HYPERPOD_POINT("connect.endpoints", endpoints_);
  if (endpoints_.empty()) {
    return finish(tl::unexpected(TransportFailure{
        ErrorCode::unreachable,
        "cannot be resolved (" + resolution.problem + "); is the name spelt right?"}));
  }
  try_next();
}

// Begins the next attempt, if there is one left, and the time until the one behind it.
void Connector::try_next() {
  while (done_ && next_ < endpoints_.size()) {
    const auto endpoint = endpoints_[next_++];
    const int fd = ::socket(endpoint.protocol().family(),
                            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0) {
      if (is_shortage(errno)) failure_ = no_socket(errno);
      continue;  // this machine may lack a family
    }
    const int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    auto& socket = *attempts_.emplace_back(std::make_unique<Socket>(loop_.context()));
    IoError error;
    socket.assign(endpoint.protocol(), fd, error);
    if (error) {
      ::close(fd);
      failure_ = no_socket(error.value());
      continue;
    }
    ++underway_;
    socket.async_connect(endpoint, [self = shared_from_this(), &socket](const IoError& result) {
      --self->underway_;
      if (!self->done_) return;
      if (!result) return self->finish(std::move(socket));
      if (is_shortage(result.value())) self->failure_ = no_socket(result.value());
      close_attempt(socket);
      self->delay_.cancel();
      self->guarded([&] { self->try_next(); });
    });
    if (next_ < endpoints_.size()) delay_.arm(loop_.now() + attempt_delay);
    return;
  }
  if (!done_ || underway_ > 0) return;
  if (failure_.reason.empty()) {
    const bool may_lack_port = port_ == 80 || port_ == 443;  // what no port means
    failure_.reason = may_lack_port
                          ? "accepts no connection; is the daemon running, and is a port missing "
                            "from the address, as in :9200?"
                          : "accepts no connection; is the daemon running, and the address right?";
  }
  finish(tl::unexpected(failure_));
}

void close_socket(base::FileDescriptor& socket) {
  ::shutdown(socket.get(), SHUT_RDWR);
  socket.reset();
}

}  // namespace hyperpod::client::transport
