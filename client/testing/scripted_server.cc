// SPDX-License-Identifier: Apache-2.0
#include "scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "testing/system_failure.h"

namespace hyperpod::client::testing {

std::string SeenRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key.size() == name.size() && strncasecmp(key.data(), name.data(), name.size()) == 0) {
      return value;
    }
  }
  return {};
}

Conversation::~Conversation() { close(); }

bool Conversation::fill() {
  std::array<char, 65536> bytes{};
  const ssize_t count = recv(fd_, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  buffer_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

std::optional<SeenRequest> Conversation::read_head() {
  std::size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return std::nullopt;
  }
  SeenRequest request;
  std::string_view rest = std::string_view(buffer_).substr(0, end + 2);
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(line.size() + 2);
    if (request.line.empty()) {
      request.line = line;
    } else {
      const auto colon = line.find(": ");
      request.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
  }
  buffer_.erase(0, end + 4);
  return request;
}

std::optional<SeenRequest> Conversation::read_request() {
  auto request = read_head();
  if (!request) return std::nullopt;
  const std::string length = request->header("Content-Length");
  const std::size_t size = length.empty() ? 0 : std::stoul(length);
  while (buffer_.size() < size) {
    if (!fill()) return std::nullopt;
  }
  request->body = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return request;
}

void Conversation::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

bool Conversation::peer_closes(std::chrono::milliseconds within) {
  pollfd poll{fd_, POLLIN, 0};
  while (::poll(&poll, 1, static_cast<int>(within.count())) > 0) {
    if (!fill()) return true;
  }
  return false;
}

void Conversation::close(bool reset) {
  std::lock_guard lock(mutex_);
  if (fd_ < 0) return;
  if (reset) {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  ::close(fd_);
  fd_ = -1;
}

ScriptedServer::ScriptedServer(Script script, std::uint16_t port)
    : script_(std::move(script)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (listener_ < 0) fail("socket");
  const int yes = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fail("bind");
  if (listen(listener_, 128) != 0) fail("listen");
  socklen_t size = sizeof(address);
  if (getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("name");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

ScriptedServer::~ScriptedServer() { stop(); }

void ScriptedServer::accept_all() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    // What a script sends in pieces goes out in pieces.
    constexpr int no_delay = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
    auto conversation = std::make_shared<Conversation>(fd, connections_++);
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    conversations_.push_back(conversation);
    threads_.emplace_back([this, conversation] {
      script_(*conversation);
      conversation->close();
    });
  }
}

void ScriptedServer::stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    for (const auto& conversation : conversations_) {
      std::lock_guard conversation_lock(conversation->mutex_);
      if (conversation->fd_ >= 0) shutdown(conversation->fd_, SHUT_RDWR);
    }
  }
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  for (std::thread& thread : threads_) thread.join();
}

std::string answer(int status, std::string_view body, std::string_view content_type) {
  std::string text = "HTTP/1.1 " + std::to_string(status) +
                     " Status\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (!body.empty()) text += "Content-Type: " + std::string(content_type) + "\r\n";
  return text + "\r\n" + std::string(body);
}

std::string lease_body(
    std::string_view id,
    std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> offsets_and_lengths) {
  std::string offsets;
  for (const auto& [offset, length] : offsets_and_lengths) {
    if (!offsets.empty()) offsets += ",";
    offsets += "{\"offset\":" + std::to_string(offset) + ",\"len\":" + std::to_string(length) + "}";
  }
  return "{\"id\":\"" + std::string(id) + "\",\"offsets\":[" + offsets + "]}";
}

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace hyperpod::client::testing
