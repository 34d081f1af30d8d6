// SPDX-License-Identifier: Apache-2.0
#include "testing/wire_client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace hyperpod::emulator::test {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

[[noreturn]] void fail_with_errno(const std::string& what) {
  fail(what + ": " + std::strerror(errno));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// Status line and fields of `head`, which ends with its empty line.
Reply parse_reply_head(const std::string& head) {
  Reply reply;
  if (head.size() < 14 || !head.starts_with("HTTP/1.") || head[8] != ' ') {
    fail("no status line: " + head);
  }
  reply.version = head.substr(0, 8);
  reply.status = std::stoi(head.substr(9, 3));
  auto at = head.find("\r\n") + 2;
  while (head.compare(at, 2, "\r\n") != 0) {
    const auto end = head.find("\r\n", at);
    const auto colon = head.find(": ", at);
    if (colon > end) fail("no field: " + head.substr(at, end - at));
    const auto name = lower(head.substr(at, colon - at));
    if (!reply.fields.emplace(name, head.substr(colon + 2, end - colon - 2)).second) {
      fail("a field twice: " + head);
    }
    at = end + 2;
  }
  return reply;
}

}  // namespace

bool Reply::closes() const {
  const auto connection = fields.find("connection");
  return connection != fields.end() && connection->second == "close";
}

std::string Reply::error() const {
  if (body.empty()) return {};
  return nlohmann::json::parse(body).value("error", "");
}

WireClient::WireClient(std::uint16_t port, const std::string& host) { connect(port, host); }

WireClient::WireClient(std::uint16_t port, const std::string& host, const std::string& ca_file) {
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets without MSG_NOSIGNAL
  connect(port, host);
  context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_locations(context_.get(), ca_file.c_str(), nullptr) != 1) {
    fail("cannot read " + ca_file);
  }
  tls_.reset(SSL_new(context_.get()));
  SSL_set_fd(tls_.get(), fd_);
  X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), host.c_str());
  if (SSL_connect(tls_.get()) != 1) fail("no TLS with " + host);
}

WireClient::WireClient(WireClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      context_(std::move(other.context_)),
      tls_(std::move(other.tls_)),
      received_(std::move(other.received_)) {}

WireClient& WireClient::operator=(WireClient&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(context_, other.context_);
  std::swap(tls_, other.tls_);
  std::swap(received_, other.received_);
  return *this;
}

WireClient::~WireClient() { close(); }

void WireClient::connect(std::uint16_t port, const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* address = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &address) != 0) {
    fail("no address: " + host);
  }
  fd_ = ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{patience.count(), 0};  // of each operation
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int on = 1;  // what is sent in two pieces arrives in two pieces
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const bool connected = ::connect(fd_, address->ai_addr, address->ai_addrlen) == 0;
  ::freeaddrinfo(address);
  if (!connected) {
    close();
    fail_with_errno("cannot connect to " + host);
  }
}

bool WireClient::try_send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent =
        tls_ ? SSL_write(tls_.get(), bytes.data(),
                         static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)))
             : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void WireClient::send(std::string_view bytes) {
  if (!try_send(bytes)) fail_with_errno("cannot send");
}

bool WireClient::read_more() {
  std::array<char, 65536> piece;
  const auto got = tls_ ? SSL_read(tls_.get(), piece.data(), piece.size())
                        : ::recv(fd_, piece.data(), piece.size(), 0);
  if (got > 0) {
    received_.append(piece.data(), static_cast<std::size_t>(got));
    return true;
  }
  if (tls_) {
    const int why = SSL_get_error(tls_.get(), static_cast<int>(got));
    if (why == SSL_ERROR_ZERO_RETURN) return false;
    if (why == SSL_ERROR_SSL) fail("the TLS stream was cut off; received: " + received_);
  } else if (got == 0) {
    return false;
  }
  if (errno == ECONNRESET) return false;
  fail_with_errno("nothing more came; received: " + received_);
}

Reply WireClient::receive(bool to_head) {
  std::size_t end = 0;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!read_more()) fail("closed before a response; received: '" + received_ + "'");
  }
  auto reply = parse_reply_head(received_.substr(0, end + 4));
  received_.erase(0, end + 4);
  if (to_head || reply.status == 100) return reply;
  const auto length = std::stoul(reply.fields.at("content-length"));
  while (received_.size() < length) {
    if (!read_more()) fail("closed within a body; received: '" + received_ + "'");
  }
  reply.body = received_.substr(0, length);
  received_.erase(0, length);
  return reply;
}

Reply WireClient::ask(std::string_view request) {
  send(request);
  return receive();
}

std::string WireClient::receive_until_closed() {
  while (read_more()) {
  }
  return std::exchange(received_, {});
}

bool WireClient::is_silent() {
  char next = 0;
  return received_.empty() && ::recv(fd_, &next, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

void WireClient::close_sending() { ::shutdown(fd_, SHUT_WR); }

void WireClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void WireClient::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

}  // namespace hyperpod::emulator::test
