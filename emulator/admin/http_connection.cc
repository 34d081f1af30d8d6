// SPDX-License-Identifier: Apache-2.0
#include "admin/http_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hyperpod::emulator::admin {
namespace {

constexpr std::chrono::seconds reading_time{20};
constexpr std::chrono::seconds writing_time{20};  // without progress
constexpr std::chrono::seconds lingering_time{2};
constexpr std::size_t head_budget = 64 * 1024;
constexpr std::size_t body_budget = 8 << 20;  // 1 MiB even in chunks of one byte
constexpr std::size_t lingering_budget = 64 << 20;

}  // namespace

HttpConnection::HttpConnection(int fd)
    : fd_(fd), deadline_(std::chrono::steady_clock::now() + reading_time), allowed_(head_budget) {}

void HttpConnection::head_is_complete() { allowed_ = body_budget; }

void HttpConnection::linger() {
  ::shutdown(fd_, SHUT_WR);
  deadline_ = std::chrono::steady_clock::now() + lingering_time;
  allowed_ = lingering_budget;
  while (receive(buffer_.data(), buffer_.size()) > 0) {
  }
}

bool HttpConnection::wait_for(short events, Time deadline) const {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd one{fd_, events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

ssize_t HttpConnection::receive(char* to, std::size_t size) {
  if (allowed_ == 0) return -1;
  while (wait_for(POLLIN, deadline_)) {
    const ssize_t count = ::recv(fd_, to, std::min(size, allowed_), 0);
    if (count >= 0) {
      allowed_ -= static_cast<std::size_t>(count);
      return count;
    }
    if (errno != EAGAIN && errno != EINTR) return -1;
  }
  return -1;
}

ssize_t HttpConnection::read(char* to, std::size_t size) {
  if (begin_ == end_) {
    const ssize_t count = receive(buffer_.data(), buffer_.size());
    if (count <= 0) return count;
    begin_ = 0;
    end_ = static_cast<std::size_t>(count);
  }
  const std::size_t count = std::min(size, end_ - begin_);
  std::memcpy(to, buffer_.data() + begin_, count);
  begin_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* from, std::size_t size) {
  const Time deadline = std::chrono::steady_clock::now() + writing_time;
  while (wait_for(POLLOUT, deadline)) {
    const ssize_t count = ::send(fd_, from, size, MSG_NOSIGNAL);
    if (count >= 0) return count;
    if (errno != EAGAIN && errno != EINTR) return -1;
  }
  return -1;
}

bool HttpConnection::is_readable() const { return begin_ != end_ || wait_for(POLLIN, deadline_); }
bool HttpConnection::is_writable() const { return true; }

// The handlers do not ask who called.
void HttpConnection::get_remote_ip_and_port(std::string& /*ip*/, int& port) const { port = 0; }
void HttpConnection::get_local_ip_and_port(std::string& /*ip*/, int& port) const { port = 0; }

// The library only refuses numbers that select() could not take.
socket_t HttpConnection::socket() const { return 0; }

}  // namespace hyperpod::emulator::admin
