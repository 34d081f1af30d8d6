// SPDX-License-Identifier: Apache-2.0
#include "probe/connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace hyperpod::conformance::probe {
namespace {

std::string why(int number) { return std::strerror(number); }

/// Waits until the descriptor is ready for `events` or has an error pending.
Result<void> await(int fd, short events, TimePoint deadline, std::string_view doing) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now()).count();
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<long>(left, 0, 1 << 30)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return base::failed(ErrorCode::failed, "poll: " + why(errno));
    if (ready == 0 && left <= 0) {
      return base::failed(ErrorCode::timed_out, "time ran out while " + std::string(doing));
    }
  }
}

Result<base::FileDescriptor> connect_to(const addrinfo& address, TimePoint deadline) {
  base::FileDescriptor fd(::socket(
      address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
  if (!fd) return tl::unexpected(base::system_error("no socket could be had", errno));
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  int problem = 0;
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) problem = errno;
  if (problem == EINPROGRESS) {
    if (const auto ready = await(fd.get(), POLLOUT, deadline, "connecting"); !ready)
      return tl::unexpected(ready.error());
    socklen_t size = sizeof problem;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
  }
  if (problem != 0) return base::failed(ErrorCode::unreachable, why(problem));
  return fd;
}

std::string tls_problem() {
  const unsigned long code = ERR_get_error();
  return code == 0 ? "the peer closed" : ERR_reason_error_string(code);
}

}  // namespace

void Connection::FreeTls::operator()(ssl_st* tls) const { SSL_free(tls); }
void Connection::FreeTls::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

Result<Connection> Connection::open(const Endpoint& endpoint, TimePoint deadline,
                                    const TlsSettings& tls, int family) {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(endpoint.port);
  if (const int error = ::getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found)) {
    return base::failed(ErrorCode::unreachable, "the host \"" + endpoint.host +
                                                    "\" cannot be resolved (" +
                                                    ::gai_strerror(error) + "); check the URL");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  Result<base::FileDescriptor> fd =
      failed(ErrorCode::unreachable, "it has no address of this family");
  for (const addrinfo* next = found; next != nullptr && !fd; next = next->ai_next) {
    fd = connect_to(*next, deadline);
  }
  if (!fd) {
    return base::failed(fd.error().code, "no connection to " + endpoint.authority() + ": " +
                                             fd.error().message + "; is the daemon running there?");
  }
  Connection connection(*std::move(fd));
  if (endpoint.tls) {
    if (const auto done = connection.handshake(endpoint.host, deadline, tls); !done) {
      return tl::unexpected(done.error());
    }
  }
  return connection;
}

Result<void> Connection::handshake(const std::string& host, TimePoint deadline,
                                   const TlsSettings& settings) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (!context_) return base::failed(ErrorCode::failed, "OpenSSL gave no context");
  if (settings.max_version != 0) {
    // Old versions are offered only to see them refused, so OpenSSL must not refuse them first.
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_.get(), settings.max_version);
    SSL_CTX_set_cipher_list(context_.get(), "ALL:@SECLEVEL=0");
  }
  if (!settings.ca_file.empty()) {
    if (SSL_CTX_load_verify_locations(context_.get(), settings.ca_file.c_str(), nullptr) != 1) {
      return base::failed(ErrorCode::invalid_argument, "the CA file \"" + settings.ca_file +
                                                           "\" cannot be used: " + tls_problem() +
                                                           "; give a PEM file");
    }
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  }
  SSL_CTX_set_mode(context_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_AUTO_RETRY);
  tls_.reset(SSL_new(context_.get()));
  SSL_set_fd(tls_.get(), fd_.get());
  std::string server_name = host;  // SSL_set_tlsext_host_name is a macro with a C cast
  SSL_ctrl(tls_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, server_name.data());
  while (true) {
    ERR_clear_error();
    const int result = SSL_connect(tls_.get());
    if (result == 1) return {};
    if (auto ready = await_tls(result, deadline, "making the TLS handshake"); !ready) return ready;
  }
}

Result<void> Connection::await_tls(int result, TimePoint deadline, std::string_view doing) {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return await(fd_.get(), POLLIN, deadline, doing);
    case SSL_ERROR_WANT_WRITE:
      return await(fd_.get(), POLLOUT, deadline, doing);
    case SSL_ERROR_SYSCALL:
      return base::failed(ErrorCode::closed, "the connection broke while " + std::string(doing));
    default:
      return base::failed(ErrorCode::tls_unusable,
                          "TLS failed while " + std::string(doing) + ": " + tls_problem());
  }
}

Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Result<void> Connection::send(std::string_view bytes, TimePoint deadline) {
  while (!bytes.empty()) {
    if (!is_open()) return base::failed(ErrorCode::closed, "the connection is closed");
    if (tls_) {
      ERR_clear_error();
      const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20));
      const int sent = SSL_write(tls_.get(), bytes.data(), size);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (auto ready = await_tls(sent, deadline, "sending"); !ready) {
        return ready;
      }
      continue;
    }
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (auto ready = await(fd_.get(), POLLOUT, deadline, "sending"); !ready) return ready;
    } else if (errno != EINTR) {
      return base::failed(ErrorCode::closed, "the connection broke while sending: " + why(errno));
    }
  }
  return {};
}

Result<std::size_t> Connection::receive(std::span<char> buffer, TimePoint deadline) {
  while (true) {
    if (!is_open()) return base::failed(ErrorCode::closed, "the connection is closed");
    if (tls_) {
      ERR_clear_error();
      const int got = SSL_read(tls_.get(), buffer.data(), static_cast<int>(buffer.size()));
      if (got > 0) return static_cast<std::size_t>(got);
      if (SSL_get_error(tls_.get(), got) == SSL_ERROR_ZERO_RETURN) return 0;
      if (auto ready = await_tls(got, deadline, "waiting for a response"); !ready) {
        return tl::unexpected(ready.error());
      }
      continue;
    }
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EAGAIN) {
      // A peer that sends a response in two pieces, without TCP_NODELAY, waits for this one's ACK.
      constexpr int on = 1;
      ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
      if (auto ready = await(fd_.get(), POLLIN, deadline, "waiting for a response"); !ready) {
        return tl::unexpected(ready.error());
      }
    } else if (errno != EINTR) {
      return base::failed(ErrorCode::closed, "the connection broke while receiving: " + why(errno));
    }
  }
}

void Connection::finish_sending() {
  if (tls_) SSL_shutdown(tls_.get());
  if (is_open()) ::shutdown(fd_.get(), SHUT_WR);
}

void Connection::reset() {
  if (!is_open()) return;
  const linger abrupt{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  close();
}

void Connection::close() { fd_.reset(); }

bool Connection::peer_has_closed() const {
  pollfd entry{fd_.get(), POLLRDHUP, 0};
  return !is_open() || (::poll(&entry, 1, 0) > 0 && entry.revents != 0);
}

}  // namespace hyperpod::conformance::probe
