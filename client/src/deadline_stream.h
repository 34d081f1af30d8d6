// The streams through which cpp-httplib reads and writes a connection's socket.
//
// A stream lives for one exchange and never waits beyond that exchange's deadline, however the
// bytes dribble. It keeps the lines of an answer's head and the answer as a whole within bounds. If
// the daemon answers while the request's body is still being written, the rest of the body is
// swallowed, so that the answer can be read; the connection is of no further use then.
#pragma once

#include <httplib.h>
#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hyperpod::client {

/// What is known of the exchange under way.
struct ExchangeState {
  std::chrono::steady_clock::time_point deadline;
  bool fresh = false;  // connected for this exchange
  bool handshaking = false;
  bool stale = false;  // was found closed, or with bytes nobody asked for, before sending
  bool timed_out = false;
  bool answered_early = false;  // before all of the body was sent
  bool beyond_bounds = false;   // the answer was
  bool leftover = false;        // bytes came behind the answer
  bool more_follows = false;    // behind what is being written, and at once
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

class DeadlineStream : public httplib::Stream {
 public:
  static constexpr std::size_t max_head_line = 2048;
  static constexpr std::uint64_t max_answer = 64ull << 20;

  DeadlineStream(int fd, ExchangeState& state) : fd_(fd), state_(state) {}

  bool is_readable() const final { return true; }
  bool is_writable() const final { return true; }
  ssize_t read(char* out, size_t size) final;
  ssize_t write(const char* data, size_t size) final;
  void get_remote_ip_and_port(std::string&, int&) const final {}
  void get_local_ip_and_port(std::string&, int&) const final {}
  socket_t socket() const final { return fd_; }

  bool has_leftover() const { return begin_ < end_; }

 protected:
  // Bytes moved; 0 at the end of the stream; -1 with what to wait for, or with 0 if it is broken.
  struct Transfer {
    ssize_t count;
    short events;
  };
  enum class Peek { nothing, interim_answer, final_answer, closed };

  virtual Transfer receive(char* out, std::size_t size) = 0;
  virtual Transfer transmit(const char* data, std::size_t size, bool more_follows) = 0;
  virtual bool has_pending() const = 0;  // can be received without waiting for the socket
  virtual Peek peek() const = 0;

  const int fd_;

 private:
  ssize_t fill();
  short wait(short events);
  bool head_is_within_bounds(std::string_view bytes);

  ExchangeState& state_;
  std::array<char, 16384> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  // Where the reader of the head is.
  bool in_head_ = true;
  bool interim_ = false;
  std::size_t line_length_ = 0;
  std::size_t head_length_ = 0;
  bool watch_for_answer_ = true;
};

class PlainStream final : public DeadlineStream {
 public:
  using DeadlineStream::DeadlineStream;

 private:
  Transfer receive(char* out, std::size_t size) override;
  Transfer transmit(const char* data, std::size_t size, bool more_follows) override;
  bool has_pending() const override { return false; }
  Peek peek() const override;
};

/// Makes its socket non-blocking. Cannot tell an early answer from TLS's own records, so a daemon
/// that refuses a body and closes before having read it appears as a broken connection.
class TlsStream final : public DeadlineStream {
 public:
  TlsStream(int fd, SSL* ssl, ExchangeState& state);

 private:
  Transfer receive(char* out, std::size_t size) override;
  Transfer transmit(const char* data, std::size_t size, bool more_follows) override;
  bool has_pending() const override { return SSL_pending(ssl_) > 0; }
  Peek peek() const override { return Peek::nothing; }

  Transfer outcome(int result) const;

  SSL* const ssl_;
};

/// Waits for `events`; returns those that came, or 0 once the deadline has passed.
short wait_for_socket(int fd, short events, std::chrono::steady_clock::time_point deadline);

/// Whether an idle connection's peer has closed it, or has sent what nobody asked for.
bool is_stale(int fd);

}  // namespace hyperpod::client
