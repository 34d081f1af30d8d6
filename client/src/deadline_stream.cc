#include "deadline_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace hyperpod::client {
namespace {

using SteadyClock = std::chrono::steady_clock;

timespec time_left(SteadyClock::time_point deadline) {
  const auto left = std::max(deadline - SteadyClock::now(), SteadyClock::duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

short wait_for_socket(int fd, short events, SteadyClock::time_point deadline) {
  while (true) {
    pollfd poll{fd, events, 0};
    const timespec left = time_left(deadline);
    const int ready = ppoll(&poll, 1, &left, nullptr);
    if (ready > 0) return poll.revents;
    if (ready == 0 || errno != EINTR) return 0;
  }
}

short DeadlineStream::wait(short events) {
  const short came = wait_for_socket(fd_, events, state_.deadline);
  if (came == 0) state_.timed_out = true;
  return came;
}

ssize_t DeadlineStream::read(char* out, size_t size) {
  if (begin_ == end_) {
    const ssize_t filled = fill();
    if (filled <= 0) return filled;
  }
  const std::size_t count = std::min(size, end_ - begin_);
  std::memcpy(out, buffer_.data() + begin_, count);
  begin_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t DeadlineStream::fill() {
  short events = has_pending() ? short{0} : short{POLLIN};
  Transfer transfer{};
  do {
    if (events != 0 && wait(events) == 0) return -1;
    transfer = receive(buffer_.data(), buffer_.size());
    events = transfer.events;
  } while (transfer.count < 0 && events != 0);
  if (transfer.count <= 0) return transfer.count;

  begin_ = 0;
  end_ = static_cast<std::size_t>(transfer.count);
  state_.received += end_;
  if (state_.received > max_answer || !head_is_within_bounds({buffer_.data(), end_})) {
    state_.beyond_bounds = true;
    begin_ = end_;
    return -1;
  }
  return transfer.count;
}

bool DeadlineStream::head_is_within_bounds(std::string_view bytes) {
  constexpr std::size_t interim_digit = 9;  // of "HTTP/1.1 100 Continue"
  for (char c : bytes) {
    if (!in_head_) return true;
    if (head_length_++ == interim_digit) interim_ = c == '1';
    if (c != '\n') {
      if (c != '\r' && ++line_length_ > max_head_line) return false;
      continue;
    }
    if (line_length_ == 0) {  // an empty line ends a head, and another follows an interim one
      in_head_ = interim_;
      head_length_ = 0;
    }
    line_length_ = 0;
  }
  return true;
}

ssize_t DeadlineStream::write(const char* data, size_t size) {
  while (!state_.answered_early) {
    const Transfer transfer = transmit(data, size, state_.more_follows);
    if (transfer.count > 0) {
      state_.sent += static_cast<std::uint64_t>(transfer.count);
      return transfer.count;
    }
    if (transfer.events == 0) {  // broken; but the peer may have answered before it closed
      if (peek() != Peek::final_answer) return -1;
      state_.answered_early = true;
      break;
    }
    const short watched = watch_for_answer_ ? short{POLLIN} : short{0};
    const short came = wait(static_cast<short>(transfer.events | watched));
    if (came == 0) return -1;
    if ((came & POLLIN) == 0 || watched == 0) continue;
    switch (peek()) {
      case Peek::nothing:
        break;
      case Peek::interim_answer:
        watch_for_answer_ = false;
        break;
      case Peek::final_answer:
        state_.answered_early = true;
        break;
      case Peek::closed:
        return -1;
    }
  }
  return static_cast<ssize_t>(size);
}

DeadlineStream::Transfer PlainStream::receive(char* out, std::size_t size) {
  const ssize_t count = recv(fd_, out, size, MSG_DONTWAIT);
  return {count, count < 0 && would_block(errno) ? short{POLLIN} : short{0}};
}

// A piece as long as a segment would else be sent as a full segment and a tiny one behind it.
DeadlineStream::Transfer PlainStream::transmit(const char* data, std::size_t size,
                                               bool more_follows) {
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0);
  const ssize_t count = send(fd_, data, size, flags);
  return {count, count < 0 && would_block(errno) ? short{POLLOUT} : short{0}};
}

DeadlineStream::Peek PlainStream::peek() const {
  constexpr std::string_view version = "HTTP/1.";
  std::array<char, 10> start;  // up to the first digit of the status
  const ssize_t count = recv(fd_, start.data(), start.size(), MSG_DONTWAIT | MSG_PEEK);
  if (count == 0) return Peek::closed;
  if (count < 0) return would_block(errno) ? Peek::nothing : Peek::closed;
  const std::string_view text(start.data(), static_cast<std::size_t>(count));
  if (text.size() < start.size() || !text.starts_with(version)) return Peek::nothing;
  return text.back() == '1' ? Peek::interim_answer : Peek::final_answer;
}

TlsStream::TlsStream(int fd, SSL* ssl, ExchangeState& state)
    : DeadlineStream(fd, state), ssl_(ssl) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
  // A write that has to be repeated may be repeated from where httplib keeps it by then.
  SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

DeadlineStream::Transfer TlsStream::outcome(int result) const {
  if (result > 0) return {result, 0};
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return {-1, POLLIN};
    case SSL_ERROR_WANT_WRITE:
      return {-1, POLLOUT};
    case SSL_ERROR_ZERO_RETURN:
      return {0, 0};
    default:
      return {-1, 0};
  }
}

DeadlineStream::Transfer TlsStream::receive(char* out, std::size_t size) {
  ERR_clear_error();
  return outcome(SSL_read(ssl_, out, static_cast<int>(size)));
}

DeadlineStream::Transfer TlsStream::transmit(const char* data, std::size_t size, bool) {
  ERR_clear_error();
  return outcome(SSL_write(ssl_, data, static_cast<int>(std::min<std::size_t>(size, INT_MAX))));
}

bool is_stale(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || !would_block(errno);
}

}  // namespace hyperpod::client
